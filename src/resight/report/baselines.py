"""Untrained baselines to compare with: a model's score is only meaningful if it is better."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from matplotlib.colors import rgb_to_hsv
from numpy.typing import NDArray
from torch import Tensor

from resight.data.benchmark import Protocol
from resight.data.cache import PixelCache
from resight.evaluation.embedded import Embedded
from resight.evaluation.scores import AveragePrecision, evaluate
from resight.imaging import Pixels
from resight.progress import track
from resight.seeds import derive_seed
from resight.training.testing import EmbeddedBenchmark

Features = NDArray[np.float32]
Pair = tuple[Embedded, Embedded]

STRIPES = 6
HSV_BINS = (8, 4, 4)
LAB_BINS = (8, 8, 8)
COLOURS = int(np.prod(HSV_BINS) + np.prod(LAB_BINS))
CHANCE_DRAWS = 10
SCORES = ("mAP", "rank1", "rank5", "rank10", "mINP")


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline and its scores.

    Attributes:
        name: shown in tables.
        meaning: one sentence: what it does, and what a better score shows.
        scores: the fractions of ``SCORES``, by name.
        cmc: rank-k rates from rank 1 on.
    """

    name: str
    meaning: str
    scores: dict[str, float]
    cmc: tuple[float, ...]


def pixels_of(embedded: EmbeddedBenchmark, size: tuple[int, int]) -> tuple[Pixels, list[int], list[int]]:
    """Return the pixels uint8 [N, *size, 3] of all crops, and the rows of the queries and of the gallery."""
    crops = list(dict.fromkeys((*embedded.query_crops, *embedded.gallery_crops)))
    row = {crop: index for index, crop in enumerate(crops)}
    query, gallery = ([row[crop] for crop in part] for part in (embedded.query_crops, embedded.gallery_crops))
    return PixelCache.open(crops, size).pixels, query, gallery


def baselines_of(
    embedded: EmbeddedBenchmark,
    protocol: Protocol,
    size: tuple[int, int],
    *,
    seed: int = 0,
    ap: AveragePrecision = "mean",
) -> list[Baseline]:
    """Score the baselines on the crops of an embedded benchmark, at height and width ``size``."""
    pixels, query, gallery = pixels_of(embedded, size)
    colours = stripe_histogram(pixels)
    return score_baselines(
        embedded.query, embedded.gallery, colours[query], colours[gallery], protocol, seed=seed, ap=ap
    )


def score_baselines(
    query: Embedded,
    gallery: Embedded,
    query_colours: Tensor,
    gallery_colours: Tensor,
    protocol: Protocol,
    *,
    seed: int = 0,
    ap: AveragePrecision = "mean",
) -> list[Baseline]:
    """Score chance, the stripe histogram and, if cameras are known, the histogram minus each camera's mean.

    Args:
        query, gallery: labels of the crops; their features are not read.
        query_colours, gallery_colours: ``stripe_histogram`` of the same crops.
        protocol: the evaluation rule.
        seed: of the random features of chance.
        ap: as in ``evaluate``.
    """
    guesses = (chance(query, gallery, derive_seed(seed, "chance", draw)) for draw in range(CHANCE_DRAWS))
    coloured = replace(query, features=query_colours), replace(gallery, features=gallery_colours)
    pairs: list[tuple[str, str, Iterable[Pair]]] = [
        ("Chance", "Random features: the score of guessing.", guesses),
        (
            "Stripe histogram",
            "The colours of six horizontal stripes: the score of clothes and light alone.",
            [coloured],
        ),
    ]
    if query.cameras is not None and gallery.cameras is not None:
        meaning = "The same, minus the mean of each camera: the score of colours without the cameras' light."
        pairs.append(("Histogram, camera mean removed", meaning, [without_camera_mean(*coloured)]))
    return [_average(name, meaning, draws, protocol, ap) for name, meaning, draws in pairs]


def chance(query: Embedded, gallery: Embedded, seed: int, size: int = 16) -> Pair:
    """Return the crops with random features: every ranking is equally likely."""
    generator = torch.Generator().manual_seed(seed)
    return (
        replace(query, features=torch.randn(len(query), size, generator=generator)),
        replace(gallery, features=torch.randn(len(gallery), size, generator=generator)),
    )


def without_camera_mean(query: Embedded, gallery: Embedded) -> Pair:
    """Return the crops minus the mean feature of their camera over query and gallery, L2-normalised.

    Both need camera labels.
    """
    if query.cameras is None or gallery.cameras is None:
        raise ValueError("the mean of each camera needs camera labels in query and gallery")
    features = torch.cat([query.features, gallery.features])
    cameras = torch.cat([query.cameras, gallery.cameras])
    for camera in cameras.unique():
        here = cameras == camera
        features[here] -= features[here].mean(0)
    features[:, 0] += 1e-3  # a crop that equals its camera's mean still needs a direction
    features = torch.nn.functional.normalize(features, dim=1)
    return replace(query, features=features[: len(query)]), replace(gallery, features=features[len(query) :])


def stripe_histogram(pixels: Pixels, batch_size: int = 256) -> Tensor:
    """Return the stripe colour histograms of crops: float32 [N, 6 * 640] of length 1.

    Six horizontal stripes, each with a histogram of HSV (8 x 4 x 4 bins) and of CIE L*a*b* (8 x 8 x 8).
    Columns near the middle count more (Gaussian, a quarter of the width); the square root reduces the weight
    of large areas.

    Args:
        pixels: uint8 [N, H, W, 3], RGB.
        batch_size: crops at a time.
    """
    count, height, width, _ = pixels.shape
    hsv, lab = _bins()
    stripe = (np.arange(height) * STRIPES // height)[:, None] * COLOURS
    column = np.exp(-(((np.arange(width) - (width - 1) / 2) / (width / 4)) ** 2))
    features = np.empty((count, STRIPES * COLOURS), np.float32)
    starts = range(0, count, batch_size)
    for start in track(starts, "Colour histograms", len(starts)):
        batch = pixels[start : start + batch_size].astype(np.int32) >> 2
        colour = batch[..., 0] << 12 | batch[..., 1] << 6 | batch[..., 2]
        place = np.arange(len(batch))[:, None, None] * (STRIPES * COLOURS) + stripe
        weights = np.broadcast_to(column, colour.shape).ravel()
        total = len(batch) * STRIPES * COLOURS
        sums = sum(np.bincount((place + bins[colour]).ravel(), weights, total) for bins in (hsv, lab))
        roots = np.sqrt(sums).reshape(len(batch), -1)
        features[start : start + len(batch)] = roots / np.linalg.norm(roots, axis=1, keepdims=True)
    return torch.from_numpy(features)


@cache
def _bins() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the HSV and L*a*b* bins of all colours at six bits per channel: int32 [64^3] each."""
    levels = ((np.arange(64) + 0.5) / 64).astype(np.float32)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    hsv = np.stack(
        [_quantise(part, 0, 1, n) for part, n in zip(rgb_to_hsv(colours).T, HSV_BINS, strict=True)]
    )
    light, red, blue = _to_lab(colours)
    lab = np.stack(  # most clothes are within 32 of grey
        [
            _quantise(light, 0, 100, LAB_BINS[0]),
            _quantise(red, -32, 32, LAB_BINS[1]),
            _quantise(blue, -32, 32, LAB_BINS[2]),
        ]
    )
    hsv_bin = np.ravel_multi_index(tuple(hsv), HSV_BINS).astype(np.int32)
    lab_bin = np.ravel_multi_index(tuple(lab), LAB_BINS).astype(np.int32) + int(np.prod(HSV_BINS))
    return hsv_bin, lab_bin


def _quantise(values: Features, low: float, high: float, bins: int) -> NDArray[np.int64]:
    places: NDArray[np.int64] = np.clip((values - low) / (high - low) * bins, 0, bins - 1).astype(np.int64)
    return places


def _to_lab(colours: Features) -> tuple[Features, Features, Features]:
    """Return L* in [0, 100], a* and b* of sRGB [N, 3] in [0, 1], white D65."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / to_xyz.sum(1)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return 116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])


def _average(
    name: str, meaning: str, draws: Iterable[Pair], protocol: Protocol, ap: AveragePrecision
) -> Baseline:
    """Evaluate every draw of a baseline and average the scores."""
    scores = [evaluate(*draw, protocol, ap=ap) for draw in draws]
    values = [score.as_dict() for score in scores]
    means = {key: float(np.mean([value[key] for value in values])) for key in SCORES}
    cmc = np.mean([score.cmc.numpy() for score in scores], axis=0)
    return Baseline(name, meaning, means, tuple(cmc.tolist()))

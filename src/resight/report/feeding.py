"""How a model wants its crops: colours, range and normalisation, each tried on crops with labels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from resight.data.benchmark import Protocol
from resight.data.crop import DISTRACTOR
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.scores import evaluate
from resight.evaluation.statistics import Spread, spread
from resight.features.crop_list import CropList
from resight.imaging import Pixels, read_image, resize_all
from resight.inference.graphs import GraphEmbedder, GraphModel
from resight.inference.loading import LoadedModel
from resight.inference.model_folder import feed, preprocessing_of
from resight.inference.preprocessing import PLAIN, Preprocessing
from resight.models.embedding import PixelEmbedder, in_batches
from resight.models.network import IMAGENET_MEAN, IMAGENET_STD
from resight.progress import track

Colours = Literal["rgb", "bgr"]

SECONDS = 60.0
"""In which all ways are tried, on a sample that is so small."""

CROPS = (160, 600)
"""Of the sample: at least, and at most."""

EACH = 4
"""Crops of a person or a track in the sample, at most."""

BATCH = 32

HALVES, ONE_DEVIATION = (0.5, 0.5, 0.5), (0.226, 0.226, 0.226)

NORMALISATIONS: dict[str, dict[str, Any]] = {
    "0 to 255": PLAIN,
    "0 to 1": PLAIN | {"value_range": 1},
    "-1 to 1 (mean and deviation 0.5)": {"value_range": 1, "mean": HALVES, "deviation": HALVES},
    "ImageNet's mean and deviation": {"value_range": 1, "mean": IMAGENET_MEAN, "deviation": IMAGENET_STD},
    "ImageNet's mean, one deviation": {"value_range": 1, "mean": IMAGENET_MEAN, "deviation": ONE_DEVIATION},
}


@dataclass(frozen=True, slots=True)
class Feeding:
    """One way to feed crops, and its score.

    Attributes:
        colours: order of the channels.
        normalisation: in words.
        preprocessing: the same as settings.
        own: whether it is the model's own.
        mAP: on the sample; None where vectors cannot be compared.
        deficit: mAP below the best way: mean and 95 % interval over persons; None for the best way.
    """

    colours: Colours
    normalisation: str
    preprocessing: Preprocessing
    own: bool = False
    mAP: float | None = None
    deficit: Spread | None = None

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.colours.upper()}, {self.normalisation}"

    @property
    def as_good(self) -> bool:
        """Whether the sample cannot tell it from the best."""
        return self.mAP is not None and (self.deficit is None or (self.deficit.low or 0) <= 0)


@dataclass(frozen=True, slots=True)
class FeedingCheck:
    """What was found.

    Attributes:
        ways: best first.
        crops, persons: in the sample.
        cross_camera: whether only crops of other cameras count.
    """

    ways: list[Feeding]
    crops: int
    persons: int
    cross_camera: bool

    @property
    def own(self) -> Feeding:
        """How the model is fed now."""
        return next(way for way in self.ways if way.own)

    @property
    def best(self) -> list[Feeding]:
        """The best way, and those that cannot be told from it."""
        return [way for way in self.ways if way.as_good]


def check_feeding(model: LoadedModel, crops: CropList, *, tracks: bool = False) -> FeedingCheck:
    """Try colour orders, value ranges and normalisations; the right one finds crops of one person best.

    Args:
        model: a network or a graph.
        crops: with labels.
        tracks: labels are of tracks: two crops of one track are one person's, whatever the camera.

    Raises:
        UserError: too few crops have labels; or no way gives vectors that can be compared.
    """
    fed = preprocessing_of(model.network, model.resizing)
    embed, feed_by = _feeder(model, fed)
    ways = list(_ways(model, fed))
    cross_camera = crops.cameras is not None and not tracks
    rows = _sample(crops, cross_camera)
    sample = rows[: CROPS[0]]
    pixels = _read(crops, sample, fed)
    embed(torch.from_numpy(pixels[:BATCH]))
    start = perf_counter()
    embed(torch.from_numpy(pixels[:BATCH]))
    affordable = int(SECONDS / len(ways) * min(BATCH, len(pixels)) / max(perf_counter() - start, 1e-6))
    sample = rows[: max(CROPS[0], min(CROPS[1], affordable))]
    pixels = np.concatenate([pixels, _read(crops, sample[len(pixels) :], fed)])
    assert crops.persons is not None
    persons = torch.from_numpy(crops.persons[sample])
    cameras = torch.from_numpy(crops.cameras[sample]) if cross_camera and crops.cameras is not None else None
    scored: list[tuple[Feeding, Tensor | None]] = []
    for way in track(ways, "Trying ways to feed crops", len(ways)):
        feed_by(way)
        scored.append((way, _precisions(in_batches(embed, pixels, BATCH), persons, cameras)))
    return FeedingCheck(_compare(scored, persons), len(sample), len(set(persons.tolist())), cross_camera)


def _ways(model: LoadedModel, fed: Preprocessing) -> Iterator[Feeding]:
    """Yield the ways to try; the model's own is among them."""
    whole = isinstance(model.network, GraphModel) and _takes_whole_numbers(model.network)
    own_seen = False
    for name, settings in NORMALISATIONS.items():
        if whole and settings is not PLAIN:
            continue
        for colours in ("rgb", "bgr"):
            ordered = {
                key: value[::-1] if colours == "bgr" and isinstance(value, tuple) else value
                for key, value in settings.items()
            }
            tried = fed.model_copy(update={"colours": colours, **ordered})
            own = _alike(tried, fed)
            own_seen |= own
            yield Feeding(colours, name, tried, own)
    if not own_seen:
        yield Feeding(fed.colours, "the model's own mean and deviation", fed, True)


def _alike(one: Preprocessing, other: Preprocessing) -> bool:
    """Return whether two ways give the same numbers to rounding."""
    first, second = (np.array([*each.mean, *each.deviation]) / each.value_range for each in (one, other))
    return one.colours == other.colours and bool(np.allclose(first, second, atol=1e-4))


def _takes_whole_numbers(model: GraphModel) -> bool:
    from resight.inference.runtimes.graph import open_graph

    return open_graph(model.path, threads=1).inputs[0].dtype == "uint8"


def _feeder(
    model: LoadedModel, fed: Preprocessing
) -> tuple[Callable[[Tensor], Tensor], Callable[[Feeding], None]]:
    """Return what embeds a batch, and what changes how it is fed."""
    one_view = fed.model_copy(update={"views": "one"})
    if isinstance(model.network, GraphModel):
        graph_model = replace(model.network, preprocessing=one_view)
        graph = GraphEmbedder(graph_model)

        def feed_graph(way: Feeding) -> None:
            settings = way.preprocessing.model_copy(update={"views": "one"})
            graph.model = replace(graph_model, preprocessing=settings)

        return graph, feed_graph
    network = PixelEmbedder(model.network, device=torch.device("cpu"), precision="float32", views="one")
    flipped = False

    def embed(pixels: Tensor) -> Tensor:
        return network(pixels.flip(3) if flipped else pixels)

    def feed_network(way: Feeding) -> None:
        nonlocal flipped
        flipped = way.colours == "bgr"
        feed(network.network, way.preprocessing.model_copy(update={"views": "one"}))

    return embed, feed_network


def _sample(crops: CropList, cross_camera: bool) -> list[int]:
    """Return rows, person by person in random order: a few of each, of two cameras where these count."""
    if crops.persons is None:
        raise UserError(
            f"The crops in {crops.source} have no labels, so nobody knows which show one person. Give crops "
            "with labels, or a folder with one sub-folder for each track and --tracks."
        )
    of_person: dict[int, list[int]] = {}
    for row, person in enumerate(crops.persons.tolist()):
        if person > DISTRACTOR:
            of_person.setdefault(person, []).append(row)
    chosen = []
    for rows in of_person.values():
        spread_out = rows
        if cross_camera and crops.cameras is not None:
            by_camera: dict[int, list[int]] = {}
            for row in rows:
                by_camera.setdefault(int(crops.cameras[row]), []).append(row)
            if len(by_camera) < 2:
                continue
            first, second = list(by_camera.values())[:2]
            spread_out = [row for pair in zip(first, second, strict=False) for row in pair]
        if len(spread_out) > 1:
            step = max(1, len(spread_out) // EACH)
            chosen.append(spread_out[:EACH] if cross_camera else spread_out[::step][:EACH])
    if len(chosen) < 2:
        needed = "crops of two cameras" if cross_camera else "two crops"
        raise UserError(
            f"Of {len(of_person):,} persons in {crops.source}, {len(chosen)} have {needed}. At least 2 "
            "such persons are needed, and 50 tell more."
        )
    order = np.random.default_rng(0).permutation(len(chosen))
    return [row for number in order for row in chosen[number]]


def _read(crops: CropList, rows: Sequence[int], fed: Preprocessing) -> Pixels:
    pictures = (read_image(crops.paths[row]) for row in rows)
    found = resize_all(pictures, fed.input_size, fed.resizing)
    return np.stack(found) if found else np.empty((0, *fed.input_size, 3), np.uint8)


def _precisions(vectors: Tensor, persons: Tensor, cameras: Tensor | None) -> Tensor | None:
    """Return each crop's average precision among the others, NaN where it has no match."""
    if not torch.isfinite(vectors).all() or not vectors.any(1).all():
        return None
    side = Embedded(vectors, persons, cameras, torch.arange(len(vectors)))
    scores = evaluate(side, side, Protocol("check", cross_camera=cameras is not None))
    return scores.per_query.average_precision


def _compare(scored: Sequence[tuple[Feeding, Tensor | None]], persons: Tensor) -> list[Feeding]:
    usable = [(way, found) for way, found in scored if found is not None]
    if not usable:
        raise UserError(
            "However crops are fed to it, the model gives vectors that cannot be compared: zeros, NaN or "
            "infinity."
        )
    best = max(usable, key=_rank)[1]

    def deficit(found: Tensor) -> Spread:
        lost = (best - found).double()
        valid = ~lost.isnan()
        people = persons[valid].unique(return_inverse=True)[1]
        sums = torch.zeros(int(people.max()) + 1, dtype=torch.float64).index_add_(0, people, lost[valid])
        return spread((sums / people.bincount()).tolist())

    ways = [
        replace(
            way,
            mAP=None if found is None else float(found.nanmean()),
            deficit=None if found is None or found is best else deficit(found),
        )
        for way, found in scored
    ]
    order = {way.name: _rank((way, found)) for way, found in scored if found is not None}
    return sorted(ways, key=lambda way: order.get(way.name, (-1.0, False)), reverse=True)


def _rank(scored: tuple[Feeding, Tensor]) -> tuple[float, bool]:
    """Return what ways are ordered by: the score to half a thousandth, then whether it is the model's own."""
    return round(2000 * float(scored[1].nanmean())) / 2000, scored[0].own

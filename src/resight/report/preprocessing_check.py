"""Finding the preprocessing that a model was trained with: candidates are scored on labelled crops."""

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
from resight.inference.model_folder import preprocessing_of, set_preprocessing
from resight.inference.preprocessing import RAW_PIXELS, Preprocessing
from resight.models.embedding import PixelEmbedder, in_batches
from resight.models.network import IMAGENET_MEAN, IMAGENET_STD
from resight.progress import track

Colours = Literal["rgb", "bgr"]

SECONDS = 60.0
"""Time for all trials; the sample is made small enough for it."""

CROPS = (160, 600)
"""Smallest and largest sample."""

EACH = 4
"""Largest number of crops of one person or track in the sample."""

BATCH = 32

HALVES, ONE_DEVIATION = (0.5, 0.5, 0.5), (0.226, 0.226, 0.226)

NORMALISATIONS: dict[str, dict[str, Any]] = {
    "0 to 255": RAW_PIXELS,
    "0 to 1": RAW_PIXELS | {"value_range": 1},
    "-1 to 1 (mean and deviation 0.5)": {"value_range": 1, "mean": HALVES, "deviation": HALVES},
    "ImageNet's mean and deviation": {"value_range": 1, "mean": IMAGENET_MEAN, "deviation": IMAGENET_STD},
    "ImageNet's mean, one deviation": {"value_range": 1, "mean": IMAGENET_MEAN, "deviation": ONE_DEVIATION},
}


@dataclass(frozen=True, slots=True)
class PreprocessingTrial:
    """One preprocessing, and its score.

    Attributes:
        colours: order of the channels.
        normalisation: description of value range, mean and deviation.
        preprocessing: the settings.
        own: whether it is the model's own.
        mAP: mAP on the sample; None if the vectors cannot be compared.
        deficit: how far its mAP is below the best: mean and 95 % interval over persons; None for the best.
    """

    colours: Colours
    normalisation: str
    preprocessing: Preprocessing
    own: bool = False
    mAP: float | None = None
    deficit: Spread | None = None

    @property
    def name(self) -> str:
        """Description for users."""
        return f"{self.colours.upper()}, {self.normalisation}"

    @property
    def tied(self) -> bool:
        """Whether the sample cannot distinguish it from the best."""
        return self.mAP is not None and (self.deficit is None or (self.deficit.low or 0) <= 0)


@dataclass(frozen=True, slots=True)
class PreprocessingCheck:
    """Result of ``check_preprocessing``.

    Attributes:
        trials: the best first.
        crops, persons: number in the sample.
        cross_camera: whether only crops of other cameras count.
    """

    trials: list[PreprocessingTrial]
    crops: int
    persons: int
    cross_camera: bool

    @property
    def own(self) -> PreprocessingTrial:
        """The model's own preprocessing."""
        return next(trial for trial in self.trials if trial.own)

    @property
    def best(self) -> list[PreprocessingTrial]:
        """The best, and those that the sample cannot distinguish from it."""
        return [trial for trial in self.trials if trial.tied]


def check_preprocessing(model: LoadedModel, crops: CropList, *, tracks: bool = False) -> PreprocessingCheck:
    """Score colour orders, value ranges and normalisations by how well crops of one person find each other.

    Args:
        model: a network or a graph.
        crops: labelled crops.
        tracks: whether labels are of tracks: then matches by the same camera count, too.

    Raises:
        UserError: too few crops have labels; or no preprocessing gives vectors that can be compared.
    """
    preprocessing = preprocessing_of(model.network, model.resizing)
    embed, set_trial = _embedder(model, preprocessing)
    trials = list(_trials(model, preprocessing))
    cross_camera = crops.cameras is not None and not tracks
    rows = _sample(crops, cross_camera)
    sample = rows[: CROPS[0]]
    pixels = _read(crops, sample, preprocessing)
    embed(torch.from_numpy(pixels[:BATCH]))
    start = perf_counter()
    embed(torch.from_numpy(pixels[:BATCH]))
    affordable = int(SECONDS / len(trials) * min(BATCH, len(pixels)) / max(perf_counter() - start, 1e-6))
    sample = rows[: max(CROPS[0], min(CROPS[1], affordable))]
    pixels = np.concatenate([pixels, _read(crops, sample[len(pixels) :], preprocessing)])
    assert crops.persons is not None
    persons = torch.from_numpy(crops.persons[sample])
    cameras = torch.from_numpy(crops.cameras[sample]) if cross_camera and crops.cameras is not None else None
    scored: list[tuple[PreprocessingTrial, Tensor | None]] = []
    for trial in track(trials, "Trying preprocessings", len(trials)):
        set_trial(trial)
        scored.append((trial, _precisions(in_batches(embed, pixels, BATCH), persons, cameras)))
    return PreprocessingCheck(
        _compare(scored, persons), len(sample), len(set(persons.tolist())), cross_camera
    )


def _trials(model: LoadedModel, preprocessing: Preprocessing) -> Iterator[PreprocessingTrial]:
    """Yield the preprocessings to try, the model's own among them."""
    whole_numbers = isinstance(model.network, GraphModel) and _takes_whole_numbers(model.network)
    own_seen = False
    for name, settings in NORMALISATIONS.items():
        if whole_numbers and settings is not RAW_PIXELS:
            continue
        for colours in ("rgb", "bgr"):
            ordered = {
                key: value[::-1] if colours == "bgr" and isinstance(value, tuple) else value
                for key, value in settings.items()
            }
            tried = preprocessing.model_copy(update={"colours": colours, **ordered})
            own = _alike(tried, preprocessing)
            own_seen |= own
            yield PreprocessingTrial(colours, name, tried, own)
    if not own_seen:
        yield PreprocessingTrial(
            preprocessing.colours, "the model's own mean and deviation", preprocessing, True
        )


def _alike(one: Preprocessing, other: Preprocessing) -> bool:
    """Return whether two preprocessings give the same numbers, except for rounding."""
    first, second = (np.array([*each.mean, *each.deviation]) / each.value_range for each in (one, other))
    return one.colours == other.colours and bool(np.allclose(first, second, atol=1e-4))


def _takes_whole_numbers(model: GraphModel) -> bool:
    from resight.inference.runtimes.graph import open_graph

    return open_graph(model.path, threads=1).inputs[0].dtype == "uint8"


def _embedder(
    model: LoadedModel, preprocessing: Preprocessing
) -> tuple[Callable[[Tensor], Tensor], Callable[[PreprocessingTrial], None]]:
    """Return a function that embeds a batch, and one that sets its preprocessing."""
    one_view = preprocessing.model_copy(update={"views": "one"})
    if isinstance(model.network, GraphModel):
        graph_model = replace(model.network, preprocessing=one_view)
        graph = GraphEmbedder(graph_model)

        def set_graph(trial: PreprocessingTrial) -> None:
            settings = trial.preprocessing.model_copy(update={"views": "one"})
            graph.model = replace(graph_model, preprocessing=settings)

        return graph, set_graph
    network = PixelEmbedder(model.network, device=torch.device("cpu"), precision="float32", views="one")
    flipped = False

    def embed(pixels: Tensor) -> Tensor:
        return network(pixels.flip(3) if flipped else pixels)

    def set_network(trial: PreprocessingTrial) -> None:
        nonlocal flipped
        flipped = trial.colours == "bgr"
        set_preprocessing(network.network, trial.preprocessing.model_copy(update={"views": "one"}))

    return embed, set_network


def _sample(crops: CropList, cross_camera: bool) -> list[int]:
    """Return rows of a few crops of each person, persons in random order; of two cameras if these count."""
    if crops.persons is None:
        raise UserError(
            f"The crops in {crops.source} have no labels, so it is not known which show one person. Give "
            "labelled crops, or a folder with one sub-folder for each track and --tracks."
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
            "such persons are needed; 50 or more give a clearer result."
        )
    order = np.random.default_rng(0).permutation(len(chosen))
    return [row for number in order for row in chosen[number]]


def _read(crops: CropList, rows: Sequence[int], preprocessing: Preprocessing) -> Pixels:
    pictures = (read_image(crops.paths[row]) for row in rows)
    found = resize_all(pictures, preprocessing.input_size, preprocessing.resizing)
    return np.stack(found) if found else np.empty((0, *preprocessing.input_size, 3), np.uint8)


def _precisions(vectors: Tensor, persons: Tensor, cameras: Tensor | None) -> Tensor | None:
    """Return the average precision of each crop as a query among the others; NaN if it has no match."""
    if not torch.isfinite(vectors).all() or not vectors.any(1).all():
        return None
    crops = Embedded(vectors, persons, cameras, torch.arange(len(vectors)))
    scores = evaluate(crops, crops, Protocol("check", cross_camera=cameras is not None))
    return scores.per_query.average_precision


def _compare(
    scored: Sequence[tuple[PreprocessingTrial, Tensor | None]], persons: Tensor
) -> list[PreprocessingTrial]:
    usable = [(trial, found) for trial, found in scored if found is not None]
    if not usable:
        raise UserError(
            "With every preprocessing, the model returns vectors that cannot be compared: zeros, NaN or "
            "infinity."
        )
    best = max(usable, key=_rank)[1]

    def deficit(found: Tensor) -> Spread:
        lost = (best - found).double()
        valid = ~lost.isnan()
        people = persons[valid].unique(return_inverse=True)[1]
        sums = torch.zeros(int(people.max()) + 1, dtype=torch.float64).index_add_(0, people, lost[valid])
        return spread((sums / people.bincount()).tolist())

    trials = [
        replace(
            trial,
            mAP=None if found is None else float(found.nanmean()),
            deficit=None if found is None or found is best else deficit(found),
        )
        for trial, found in scored
    ]
    order = {trial.name: _rank((trial, found)) for trial, found in scored if found is not None}
    return sorted(trials, key=lambda trial: order.get(trial.name, (-1.0, False)), reverse=True)


def _rank(scored: tuple[PreprocessingTrial, Tensor]) -> tuple[float, bool]:
    """Return the sort key of a trial: mAP rounded to 0.0005, then whether it is the model's own."""
    return round(2000 * float(scored[1].nanmean())) / 2000, scored[0].own

"""Quantising a model to int8, and judging the result by accuracy and speed against float32."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from resight.data.benchmark import Benchmark
from resight.errors import UserError
from resight.evaluation.scores import Scores
from resight.imaging import Pixels, read_image, resize_all
from resight.inference.embedder import Embedder
from resight.inference.graphs import GraphModel
from resight.inference.importing import new_folder
from resight.inference.loading import LoadedModel
from resight.inference.model_folder import load_folder, write_settings
from resight.inference.quantising import check_crops, quantise
from resight.inference.runtimes.choice import BATCH, MARGIN, rates_in_turn
from resight.inference.runtimes.graph import installed
from resight.inference.runtimes.reasons import NAMES, GraphRuntime
from resight.progress import say, track
from resight.training.testing import embed_benchmark, score_benchmark

CALIBRATION = 300
"""Most crops to calibrate with."""

POINTS = 0.005
"""Largest loss of mAP, a fraction."""

FIRST = 10
AGREEMENT = 0.93
"""Smallest share of the first ten results that must stay the same, where there are no labels. HAN(Small) kept
95 % where it lost 0.3 points of mAP, and 94 % where it lost 0.5 (docs/measurements/inference.md)."""


@dataclass(frozen=True, slots=True)
class QuantisationData:
    """Crops to calibrate with, and crops to judge with.

    Attributes:
        source: origin of the crops, for users.
        calibration: paths of crops.
        judging: a data set with a test part; or paths of crops without labels.
    """

    source: str
    calibration: Sequence[Path]
    judging: Benchmark | Sequence[Path]


@dataclass(frozen=True, slots=True)
class QuantisationResult:
    """What int8 costs in accuracy and gains in speed.

    Attributes:
        judged_by: ``mAP``, or ``agreement`` of the first ten results with those in float32.
        float32, int8: mAP in both; for agreement 1, and the share of results that stay the same.
        queries: number of queries.
        milliseconds: for each crop of a large batch, in float32 and in int8.
        milliseconds_one: for crops one by one.
        runtimes: the fastest runtime in float32, and in int8.
    """

    judged_by: Literal["mAP", "agreement"]
    float32: float
    int8: float
    queries: int
    milliseconds: tuple[float, float]
    milliseconds_one: tuple[float, float]
    runtimes: tuple[GraphRuntime, GraphRuntime]

    @property
    def accurate(self) -> bool:
        """Whether little enough is lost."""
        return self.int8 >= (self.float32 - POINTS if self.judged_by == "mAP" else AGREEMENT)

    @property
    def faster(self) -> bool:
        """Whether int8 is faster than float32, by more than may be chance."""
        return self.milliseconds[0] > MARGIN * self.milliseconds[1]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return asdict(self)

    def describe(self) -> str:
        """Return both figures in a sentence."""
        slow, fast = self.milliseconds
        speed = (
            f"{fast:.2f} ms a crop in int8 ({NAMES[self.runtimes[1]]}) and {slow:.2f} in float32 "
            f"({NAMES[self.runtimes[0]]}), {slow / fast:.2f} times as fast"
        )
        if self.judged_by == "mAP":
            lost = round(100 * (self.float32 - self.int8), 1)
            accuracy = (
                f"mAP {100 * self.int8:.1f} in int8 and {100 * self.float32:.1f} in float32, {abs(lost):.1f} "
                f"points {'gained' if lost < 0 else 'lost'} over {self.queries:,} queries (a loss of at most "
                f"{100 * POINTS:.1f} is allowed)"
            )
        else:
            accuracy = (
                f"without labels, {100 * self.int8:.0f} % of the first ten results are the same as in "
                f"float32, for {self.queries:,} queries (at least {100 * AGREEMENT:.0f} % are needed)"
            )
        return f"{accuracy}; {speed}"


def quantise_model(model: LoadedModel, data: QuantisationData, folder: Path) -> QuantisationResult:
    """Write a model folder in int8, if it is accurate enough and faster than float32 on this machine.

    Args:
        model: one of our own networks, or an ONNX graph.
        data: crops to calibrate and to judge with, none of them in both.
        folder: new or empty folder to write.

    Raises:
        UserError: it is not; the message has both figures. Or see ``inference.quantising.quantise``.
    """
    usual = Embedder(replace(model, device="cpu", precision="float32", runtime="auto"))
    step = max(1, len(data.calibration) // CALIBRATION)
    crops = _read(usual, data.calibration[::step][:CALIBRATION])
    check_crops(crops, data.source)
    with new_folder(folder) as temporary:
        say(f"Calibrating with {len(crops):,} crops of {data.source}.")
        settings = quantise(model, crops, data.source, temporary)
        write_settings(settings, temporary)
        quantised = load_folder(temporary)
        small = LoadedModel(quantised.network, quantised.name, device="cpu", resizing=quantised.resizing)
        pairs = {
            "float32": _embedders(replace(model, device="cpu", precision="float32")),
            "int8": _embedders(small),
        }
        found = _judge(pairs, torch.from_numpy(crops), data)
        if not (found.accurate and found.faster):
            why = "loses too much" if found.faster else "is not faster here"
            why = why if found.accurate or found.faster else "loses too much, and is not faster here"
            raise UserError(f"{model.name} in int8 {why}, so it was not written: {found.describe()}.")
        graph = settings.graph
        assert graph is not None
        pinned = graph.model_copy(update={"runtime": found.runtimes[1]})
        write_settings(settings.model_copy(update={"graph": pinned}), temporary)
    return found


def _embedders(model: LoadedModel) -> dict[GraphRuntime, Embedder]:
    """Return what embeds the model with each runtime that can."""
    found: dict[GraphRuntime, Embedder] = {}
    is_ir = isinstance(model.network, GraphModel) and model.network.path.suffix.lower() == ".xml"
    for runtime in NAMES:
        if installed(runtime) and not (is_ir and runtime != "openvino"):
            network = model.network
            if isinstance(network, GraphModel):  # so that its vectors need not be those of other runtimes
                settings = network.settings.model_copy(update={"runtime": runtime})
                network = replace(network, settings=settings)
            found[runtime] = Embedder(replace(model, network=network, runtime=runtime))
    return found


def _judge(
    pairs: dict[str, dict[GraphRuntime, Embedder]], crops: Tensor, data: QuantisationData
) -> QuantisationResult:
    say("Measuring speed: all in turn.")
    computes = {
        f"{kind} {runtime}": embedder.compute
        for kind, embedders in pairs.items()
        for runtime, embedder in embedders.items()
    }
    one, many = (rates_in_turn(computes, crops[:count]) for count in (1, BATCH))
    best = {
        kind: max(embedders, key=lambda runtime: many[f"{kind} {runtime}"])
        for kind, embedders in pairs.items()
    }
    chosen = [pairs[kind][runtime] for kind, runtime in best.items()]
    names = [f"{kind} {runtime}" for kind, runtime in best.items()]
    judged_by, before, after, queries = _accuracy(chosen[0], chosen[1], data)
    return QuantisationResult(
        judged_by,
        before,
        after,
        queries,
        (1000 / many[names[0]], 1000 / many[names[1]]),
        (1000 / one[names[0]], 1000 / one[names[1]]),
        (best["float32"], best["int8"]),
    )


def _accuracy(
    usual: Embedder, small: Embedder, data: QuantisationData
) -> tuple[Literal["mAP", "agreement"], float, float, int]:
    """Return what is compared, its values in float32 and in int8, and the number of queries."""
    judging = data.judging
    if isinstance(judging, Benchmark):
        before, queries = _mAP(usual, judging)
        return "mAP", before, _usable(lambda: _mAP(small, judging)[0]), queries
    pixels = _read(usual, judging)
    vectors = functional.normalize(usual.embed(pixels), dim=1)
    same = _usable(lambda: agreement(vectors, functional.normalize(small.embed(pixels), dim=1)))
    return "agreement", 1.0, same, len(pixels)


def _mAP(embedder: Embedder, benchmark: Benchmark) -> tuple[float, int]:
    scores = score_benchmark(embed_benchmark(embedder, benchmark), benchmark)
    queries = scores.queries if isinstance(scores, Scores) else scores.draws[0].queries
    return float(scores.as_dict()["mAP"]), queries


def _usable(score: Callable[[], float]) -> float:
    """Return the score, or 0 if the vectors in int8 are unusable: the network has collapsed."""
    try:
        return score()
    except UserError as error:
        say(f"In int8: {error}")
        return 0.0


def agreement(first: Tensor, second: Tensor) -> float:
    """Return the share of each crop's ten nearest others that are the same by both vectors [N, D]."""
    count = min(FIRST, len(first) - 1)
    nearest = []
    for vectors in (first, second):
        similar = vectors @ vectors.T
        similar.fill_diagonal_(-2)
        nearest.append(similar.topk(count).indices)
    same = (nearest[0][:, :, None] == nearest[1][:, None, :]).any(2)
    return float(same.double().mean())


def _read(embedder: Embedder, paths: Sequence[Path]) -> Pixels:
    shown = track(paths, "Reading crops", len(paths))
    pictures = resize_all((read_image(path) for path in shown), embedder.picture_size, embedder.resizing)
    return np.stack(pictures) if pictures else np.empty((0, *embedder.picture_size, 3), np.uint8)

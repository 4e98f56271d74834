"""Comparing models on data sets: accuracy with intervals, cost, speed and memory."""

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pydantic
import torch
from torch import Tensor

from resight import __version__
from resight.data.benchmark import Benchmark
from resight.errors import UserError
from resight.evaluation.repeated import RepeatedScores
from resight.evaluation.scores import Scores
from resight.evaluation.statistics import bootstrap_interval
from resight.files import short_digest, write_json
from resight.inference.cost import Cost, cost_of
from resight.inference.embedder import Embedder
from resight.inference.runtimes.choice import BATCH, machine_key, rates_in_turn, sample_crops
from resight.progress import say, track
from resight.registry import Settings
from resight.training.testing import embed_benchmark, score_benchmark

LONGEST = 300
"""Seconds that measuring one model's memory may take."""

FORMAT = 1
"""Part of each kept score's key: increased when the same model would get other figures."""


class Estimate(Settings):
    """A score, a fraction, with its 95 % interval; None where a single draw has none."""

    value: float
    low: float | None
    high: float | None


class SetScores(Settings):
    """A model's scores on a data set.

    Attributes:
        mAP, rank1: with intervals over queries, or over the draws of a protocol that draws at random.
        queries: number of queries with a match.
        unreadable: crops that were left out.
    """

    mAP: Estimate
    rank1: Estimate
    queries: int
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComparedSet:
    """A data set to compare on.

    Attributes:
        name: unique among the sets.
        benchmark: with a test part.
        trained: for each model, how many of the test crops it was trained on; None if that is not known.
    """

    name: str
    benchmark: Benchmark
    trained: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """A model and what it costs.

    Attributes:
        name: unique among the models.
        embedder: ready to embed.
        cost: parameters and multiply-adds.
        milliseconds: for one crop; and for each crop of a large batch.
        megabytes: by how much a process grows at most when it loads the model and embeds a large batch; None
            if that is not known.
    """

    name: str
    embedder: Embedder
    cost: Cost = Cost(None, None)  # noqa: RUF009 (frozen)
    milliseconds: tuple[float, float] = (math.nan, math.nan)
    megabytes: float | None = None


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """The result of ``compare``.

    Attributes:
        models, sets: what was compared.
        scores: for each model, its scores on each set, or why there are none.
    """

    models: tuple[ComparedModel, ...]
    sets: tuple[ComparedSet, ...]
    scores: tuple[tuple[SetScores | str, ...], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data: fractions, milliseconds per crop, megabytes."""
        return {
            "models": [_model_facts(model) for model in self.models],
            "data": [
                {
                    "name": one.name,
                    "path": str(one.benchmark.root),
                    "protocol": one.benchmark.protocol.name,
                    "tested": one.benchmark.tested(),
                }
                for one in self.sets
            ],
            "scores": [
                {"model": model.name, "data": one.name, "trained_on": one.trained[number]}
                | ({"failed": found} if isinstance(found, str) else found.model_dump(mode="json"))
                for number, (model, row) in enumerate(zip(self.models, self.scores, strict=True))
                for one, found in zip(self.sets, row, strict=True)
            ],
            "batch": BATCH,
        }


def compare(
    models: Sequence[ComparedModel],
    sets: Sequence[ComparedSet],
    folder: Path,
    *,
    skip_unreadable: bool = False,
) -> ModelComparison:
    """Score each model on each set, then measure what the models cost.

    Scores are kept in the folder: what was scored before, in whatever call, is not embedded again.

    Args:
        models, sets: with unique names; costs are filled in.
        folder: for the scores.
        skip_unreadable: leave unreadable crops out instead of giving the pair no scores.
    """
    runs = len(models) * len(sets)
    rows = []
    for number, model in enumerate(models):
        row: list[SetScores | str] = []
        for place, one in enumerate(sets, number * len(sets) + 1):
            say(f"{place} of {runs}: {model.name} on {one.name}.")
            row.append(_scores(model.embedder, one.benchmark, folder, skip_unreadable))
        rows.append(tuple(row))
    return ModelComparison(tuple(measured(models)), tuple(sets), tuple(rows))


def measured(models: Sequence[ComparedModel]) -> list[ComparedModel]:
    """Return the models with their costs; their speeds are measured in turn."""
    for model in models:
        model.embedder.prepare()
    say("Measuring speed and memory.")
    computes = {model.name: _on_own_crops(model.embedder) for model in models}
    one, many = (rates_in_turn(computes, torch.empty(count)) for count in (1, BATCH))
    return [
        replace(
            model,
            cost=cost_of(model.embedder.model),
            milliseconds=(1000 / one[model.name], 1000 / many[model.name]),
            megabytes=_megabytes(model.embedder),
        )
        for model in track(models, "Measuring memory", len(models))
    ]


def describe_machine() -> dict[str, Any]:
    """Return what the speeds depend on: processor, threads and versions."""
    found = machine_key("", "", torch.get_num_threads())
    return {name: found[name] for name in ("processor", "instructions", "threads", "versions")}


def _on_own_crops(embedder: Embedder) -> Callable[[Tensor], Tensor]:
    """Return a function that embeds as many generated crops of the model's size as its argument has rows."""
    crops = sample_crops(embedder.picture_size, BATCH)
    return lambda rows: embedder.compute(crops[: len(rows)]).cpu()  # waits for a GPU


def _megabytes(embedder: Embedder) -> float | None:
    """Measure a model's memory in a process of its own; None if that fails."""
    arguments = (embedder.weights, embedder.device, embedder.precision, embedder.runtime, embedder.views)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "resight.report.memory_of", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
        return float(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        return None


def _scores(embedder: Embedder, benchmark: Benchmark, folder: Path, skip_unreadable: bool) -> SetScores | str:
    """Return the scores of a model on a set, kept or new; or why there are none."""
    key = _key(embedder, benchmark) | {"skip_unreadable": skip_unreadable}
    path = folder / f"{short_digest(json.dumps(key, sort_keys=True).encode())}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] == key:
            return SetScores.model_validate(content["scores"])
    except (OSError, ValueError, KeyError, TypeError, pydantic.ValidationError):
        pass  # not scored yet
    try:
        embedded = embed_benchmark(embedder, benchmark, skip_unreadable=skip_unreadable)
        scores = score_benchmark(embedded, benchmark)
    except UserError as error:
        return str(error)
    found = _with_intervals(scores).model_copy(
        update={"unreadable": tuple(f"{path} {reason}" for path, reason in embedded.skipped)}
    )
    write_json(path, {"key": key, "scores": found.model_dump(mode="json")})
    return found


def _key(embedder: Embedder, benchmark: Benchmark) -> dict[str, Any]:
    """Return everything that the scores depend on."""
    crops = hashlib.blake2b(digest_size=16)
    for part in (benchmark.query, benchmark.gallery, benchmark.query_pool):
        for crop in part:
            stat = crop.path.stat() if crop.path.is_file() else None
            known = repr(crop), stat and (stat.st_size, stat.st_mtime_ns)
            crops.update(repr(known).encode("utf-8", "surrogateescape"))
    crops.update(repr(benchmark.draws).encode("utf-8", "surrogateescape"))
    return {
        "format": FORMAT,
        "resight": __version__,
        "model": embedder.fingerprint,
        "crops": crops.hexdigest(),
        "protocol": asdict(benchmark.protocol),
    }


def _with_intervals(scores: Scores | RepeatedScores) -> SetScores:
    if isinstance(scores, RepeatedScores):
        spreads = scores.spreads()
        estimates = [
            Estimate(value=one.mean, low=one.low, high=one.high) for one in (spreads["mAP"], spreads["rank1"])
        ]
        return SetScores(mAP=estimates[0], rank1=estimates[1], queries=scores.draws[0].queries)
    found = scores.per_query
    first = found.first_match_rank[None, found.valid] if scores.drawn_ranks is None else scores.drawn_ranks
    precision, hits = found.average_precision[found.valid], (first <= 1).double().mean(0)
    return SetScores(
        mAP=_over_queries(scores.mAP, precision),
        rank1=_over_queries(scores.rank(1), hits),
        queries=scores.queries,
    )


def _over_queries(value: float, of_queries: Tensor) -> Estimate:
    low, high = bootstrap_interval(of_queries.numpy())
    return Estimate(value=value, low=low, high=high)


def _model_facts(model: ComparedModel) -> dict[str, Any]:
    embedder = model.embedder
    one, many = model.milliseconds
    return {
        "name": model.name,
        "path": embedder.weights,
        "fingerprint": embedder.fingerprint,
        "runtime": embedder.runtime,
        "precision": embedder.precision,
        "views": embedder.views,
        "input_size": list(embedder.model.network.input_size),
        "width": embedder.width,
        "parameters": model.cost.parameters,
        "multiply_adds": model.cost.multiply_adds,
        "unknown": model.cost.unknown,
        "milliseconds_one": one,
        "milliseconds_batch": many,
        "megabytes": model.megabytes,
    }

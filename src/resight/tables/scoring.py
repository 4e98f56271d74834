"""Testing a trained run in the ways that a table's cells need."""

from typing import Any

import torch

from resight.data.benchmark import Benchmark
from resight.data.classification import Classification
from resight.device import resolve_device
from resight.errors import UserError
from resight.evaluation.features import Metric
from resight.evaluation.growing import evaluate_growing
from resight.evaluation.repeated import RepeatedScores
from resight.evaluation.reranking import Reranking
from resight.evaluation.scores import AveragePrecision, Scores
from resight.files import write_json
from resight.models.embedding import PixelEmbedder
from resight.models.network import Descriptor, Network
from resight.tables.jobs import Job, Scoring
from resight.tables.sources import Opened, are_distractors
from resight.training.classifying import classify
from resight.training.run import Run
from resight.training.testing import EmbeddedBenchmark, embed_benchmark, score_benchmark

KEPT = ("mAP", "rank1", "rank5", "rank10", "mINP", "queries")
AVERAGE_PRECISIONS: dict[AveragePrecision, str] = {"mean": "", "trapezoid": " trapezoid"}
"""Definition -> how it is named after the descriptor. The papers do not say which one is theirs."""

METRIC: Metric = "euclidean"
"""The papers rank by Euclidean distance."""


def score_job(job: Job, device: str) -> dict[str, str]:
    """Test a finished run in every way that has no stored scores yet, and store them.

    Returns:
        Key of the scores that there are not -> the reason: an image is unreadable, the model has no such
        branch, no query has a match.
    """
    missing = {key: job.scorings[key] for key in job.scorings if not job.scores_file(key).is_file()}
    failed: dict[str, str] = {}
    if not missing:
        return failed
    run = Run.open(job.folder)
    network, target = run.load_network("cpu"), resolve_device(device)
    for (opened, branches), keys in _grouped(missing).items():
        try:
            if isinstance(opened.data, Classification):
                scores = classify(network, opened.data, device=device)
                found = {key: {"top1_error": 1 - scores.accuracy(1)} for key in keys}
            else:
                wanted = {key: job.scorings[key][1] for key in keys}
                found = _score(network, run, opened.data, branches, wanted, target, failed)
        except UserError as error:
            failed |= dict.fromkeys(keys, str(error))
            continue
        for key, result in found.items():
            write_json(job.scores_file(key), result)
    return failed


def _grouped(
    scorings: dict[str, tuple[Opened, Scoring]],
) -> dict[tuple[Opened, str | None], list[str]]:
    """Group keys whose crops are embedded alike."""
    groups: dict[tuple[Opened, str | None], list[str]] = {}
    for key, (opened, scoring) in scorings.items():
        groups.setdefault((opened, scoring.branches), []).append(key)
    return groups


def _score(
    network: Network,
    run: Run,
    benchmark: Benchmark,
    branches: str | None,
    wanted: dict[str, Scoring],
    device: torch.device,
    failed: dict[str, str],
) -> dict[str, dict[str, Any]]:
    """Return the scores of each key: as the recipe tests, by trapezoids, and of unit descriptors.

    What cannot be scored is added to ``failed``, with the reason.
    """
    variants: dict[str, dict[str, Any]] = {key: {} for key in wanted}
    own = network.descriptor
    descriptors: tuple[Descriptor, ...] = (own,) if own == "unit" else (own, "unit")
    for descriptor in descriptors:
        network.descriptor = descriptor
        embedder = PixelEmbedder(
            network,
            device=device,
            precision=run.recipe.precision,
            branches=None if branches is None else [branches],
        )
        embedded = embed_benchmark(embedder, benchmark)
        for key, scoring in wanted.items():
            try:
                for ap, name in AVERAGE_PRECISIONS.items():
                    scores = _ranked(embedded, benchmark, scoring, ap, device).as_dict()
                    variants[key][f"{descriptor}{name}"] = {name: scores[name] for name in KEPT}
            except UserError as error:
                failed[key] = str(error)
    network.descriptor = own  # for the next group
    scored = {key: found for key, found in variants.items() if key not in failed}
    return {key: found[own] | {"variants": found} for key, found in scored.items()}


def _ranked(
    embedded: EmbeddedBenchmark,
    benchmark: Benchmark,
    scoring: Scoring,
    ap: AveragePrecision,
    device: torch.device,
) -> Scores | RepeatedScores:
    if scoring.distractors is None:
        reranking = Reranking(junk=True) if scoring.rerank else None
        return score_benchmark(embedded, benchmark, metric=METRIC, reranking=reranking, ap=ap, device=device)
    core, added = (
        torch.tensor([far == side for far in are_distractors(benchmark, embedded.gallery_crops)]).nonzero()[
            :, 0
        ]
        for side in (False, True)
    )
    sides = embedded.query, embedded.gallery.take(core), embedded.gallery.features[added]
    [scores] = evaluate_growing(
        *sides, [scoring.distractors], benchmark.protocol, metric=METRIC, ap=ap, device=device
    )
    return scores

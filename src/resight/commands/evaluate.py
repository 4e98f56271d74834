"""``resight evaluate``: score a model on a data set."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from resight.commands.data_options import DEFAULT, CrossCamera, DataOptions
from resight.commands.options import Device, Flag, Json, RuntimeName, SkipUnreadable
from resight.commands.output import (
    leave_out,
    print_classified,
    print_json,
    print_left_out,
    print_scores,
    print_spreads,
    print_table,
    show,
)
from resight.commands.postprocessing import NO_POSTPROCESSING, Postprocessing
from resight.commands.protocol_options import UNCHANGED_PROTOCOL, ProtocolOptions
from resight.commands.tested_data import open_tested
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.data.benchmark import Benchmark
    from resight.data.classification import Classification
    from resight.evaluation.reranking import Reranking
    from resight.evaluation.scores import Scores
    from resight.inference.loading import LoadedModel
    from resight.training.testing import EmbeddedBenchmark


def evaluate(
    model: Path,
    *,
    data: Path | None = None,
    reading: DataOptions = DEFAULT,
    cross_camera: CrossCamera = True,
    branches: Literal["global", "local", "both"] = "both",
    descriptor: Literal["raw", "unit"] | None = None,
    metric: Literal["cosine", "euclidean"] = "cosine",
    postprocessing: Postprocessing = NO_POSTPROCESSING,
    protocol_options: ProtocolOptions = UNCHANGED_PROTOCOL,
    ap: Literal["mean", "trapezoid"] = "mean",
    adapt_statistics: Flag = False,
    threshold: Flag = False,
    false_match_rate: float | None = None,
    device: Device = "auto",
    runtime: RuntimeName = "auto",
    skip_unreadable: SkipUnreadable = False,
    report: Path | None = None,
    json: Json = False,
) -> None:
    """Score a model on the test part of a data set.

    Args:
        model: a run, a model folder, or a weights, ONNX or OpenVINO file.
        data: folder of crops; by default the run's own test set. A different data set shows how well the run
            works on other cameras; if it has no test part, every person is tested.
        branches: part of the descriptor to use.
        descriptor: the branches' embeddings as trained (raw), or each scaled to unit length; by default as in
            the recipe.
        metric: cosine similarity or Euclidean distance.
        ap: average precision: mean of the precision at each match, or trapezoidal as in Market-1501's script.
        adapt_statistics: replace the mean and variance of batch normalisation by those of each camera's crops
            in this data set, without their labels; for models that were trained on other cameras.
        threshold: also print the error rates of deciding by distance whether two crops show one person, and
            the threshold for --false-match-rate, chosen on half of the persons and checked on the others.
        false_match_rate: allowed share of pairs of different persons within the threshold; by default 0.001.
        report: also write a report on this data set to this file.
    """
    from resight.data.classification import Classification
    from resight.data.matching import refuse_without_match
    from resight.evaluation.repeated import RepeatedScores
    from resight.inference.by_camera import CameraEmbedder
    from resight.inference.embedder import Embedder
    from resight.inference.loading import load_model
    from resight.report.page import write_report
    from resight.training.testing import embed_benchmark, score_benchmark

    scoring = postprocessing.options()
    if postprocessing.given() and (threshold or report is not None):
        raise UserError(
            f"{' and '.join(postprocessing.given())} would change the ranking, but thresholds and reports "
            "use the original distances. Leave out either these options, or --threshold and --report."
        )
    if false_match_rate is not None and not threshold:
        raise UserError("--false-match-rate is for --threshold. Give both, or leave it out.")
    rate = 0.001 if false_match_rate is None else false_match_rate
    loaded = load_model(model, device=device, runtime=runtime)
    if descriptor is not None:
        loaded.network.descriptor = descriptor
    if report is not None and loaded.run is None:
        raise UserError("A report needs a run: name the run's folder instead.")
    benchmark = open_tested(data, reading, cross_camera, loaded.run)
    if isinstance(benchmark, Classification):
        _refuse_for_classes(
            threshold, report, branches, metric, ap, adapt_statistics, postprocessing, protocol_options
        )
        _classify(model, loaded, benchmark, json)
        return
    if benchmark.draws and protocol_options.given():
        raise UserError(
            f"The protocol '{benchmark.protocol.name}' of {benchmark.root} draws queries and galleries. "
            f"Leave {' and '.join(protocol_options.given())} out."
        )
    benchmark = replace(benchmark, protocol=protocol_options.apply(benchmark.protocol))
    refuse_without_match(benchmark)
    if scoring["reranking"] is not None:
        _refuse_small(benchmark, scoring["reranking"])
    embedder = Embedder(loaded, branches=None if branches == "both" else [branches])
    if adapt_statistics:
        cameras = {crop.path: crop.camera for crop in (*benchmark.query, *benchmark.gallery)}
        cameras |= {crop.path: crop.camera for crop in benchmark.query_pool}
        embedded = embed_benchmark(
            CameraEmbedder(embedder, cameras), benchmark, skip_unreadable=skip_unreadable
        )
    else:
        say(f"Embedding with {embedder.prepare(len(benchmark.query) + len(benchmark.gallery))}.")
        embedded = embed_benchmark(embedder, benchmark, skip_unreadable=skip_unreadable)
    leave_out(benchmark.left_out, embedded.skipped, benchmark.relative)
    scores = score_benchmark(embedded, benchmark, metric=metric, ap=ap, **scoring)
    if report is not None:
        write_report(loaded, benchmark, report, embedded=embedded, scores=scores)
        say(f"Report: {report}")
    result = scores.as_dict() | postprocessing.as_dict()
    result |= {"model": str(model), "data": str(benchmark.root), "branches": branches}
    result |= {"adapt_statistics": adapt_statistics}
    result |= {"descriptor": loaded.network.descriptor, "tested": benchmark.tested()}
    result["left_out"] = benchmark.left_out.as_list()
    if threshold:
        result["verification"] = _verify(embedded, benchmark, metric, rate)
    normalised = (
        None if postprocessing.camera_normalise else _without_camera_means(embedded, benchmark, metric, ap)
    )
    if normalised is not None:
        result["cameras_means_removed"] = {"mAP": normalised.mAP, "rank1": normalised.rank(1)}
    if json:
        print_json(result)
        return
    show(f"Tested: {benchmark.describe_test()}.")
    title = ", ".join(
        [
            f"{model} on {benchmark.name}",
            *["batch statistics of each camera"] * adapt_statistics,
            *postprocessing.describe(),
            *benchmark.protocol.describe(),
        ]
    )
    if isinstance(scores, RepeatedScores):
        print_spreads(scores.spreads(), title)
        draws, first = len(scores.draws), scores.draws[0]
        print(f"{draws} draws; in the first, {first.queries:,} of {first.total_queries:,} have a match.")
    else:
        print_scores(scores, title)
    if normalised is not None:
        print(
            f"With camera means removed (--camera-normalise): mAP {100 * normalised.mAP:.1f}, "
            f"Rank-1 {100 * normalised.rank(1):.1f}."
        )
    if threshold:
        _print_verification(result["verification"])
    print_left_out(benchmark.left_out)


def _without_camera_means(
    embedded: "EmbeddedBenchmark",
    benchmark: "Benchmark",
    metric: Literal["cosine", "euclidean"],
    ap: Literal["mean", "trapezoid"],
) -> "Scores | None":
    """Score with camera means removed; None for random draws, or if fewer than two cameras are known."""
    from resight.evaluation.scores import Scores
    from resight.training.testing import score_benchmark

    cameras = embedded.gallery.cameras
    if benchmark.draws or cameras is None or embedded.query.cameras is None or len(cameras.unique()) < 2:
        return None
    scores = score_benchmark(embedded, benchmark, metric=metric, ap=ap, camera_normalise=True)
    return scores if isinstance(scores, Scores) else None


def _verify(
    embedded: "EmbeddedBenchmark",
    benchmark: "Benchmark",
    metric: Literal["cosine", "euclidean"],
    false_match_rate: float,
) -> dict[str, Any]:
    from dataclasses import asdict

    from resight.evaluation.verification import calibrate, verify

    sides = embedded.query, embedded.gallery, benchmark.protocol
    whole = verify(*sides, metric=metric)
    return whole.as_dict() | asdict(calibrate(*sides, false_match_rate, metric=metric))


def _refuse_small(benchmark: "Benchmark", reranking: "Reranking") -> None:
    """Refuse a gallery, or a draw of it, that is too small for re-ranking, before embedding anything."""
    from resight.data.crop import JUNK

    for part in benchmark.draws or (benchmark,):
        taking_part = sum(reranking.junk or crop.person != JUNK for crop in part.gallery)
        reranking.check(len(part.query), taking_part)


def _refuse_for_classes(
    threshold: bool,
    report: Path | None,
    branches: str,
    metric: str,
    ap: str,
    adapt_statistics: bool,
    postprocessing: Postprocessing,
    protocol_options: ProtocolOptions,
) -> None:
    given = {"--threshold": threshold, "--report": report, "--branches": branches != "both"}
    given |= {
        "--metric": metric != "cosine",
        "--ap": ap != "mean",
        "--adapt-statistics": adapt_statistics,
    } | dict.fromkeys([*postprocessing.given(), *protocol_options.given()], True)
    if wrong := [option for option, value in given.items() if value]:
        raise UserError(
            f"A classification is scored by its accuracy, not by ranking. Leave {' and '.join(wrong)} out."
        )


def _classify(path: Path, model: "LoadedModel", data: "Classification", json: bool) -> None:
    from resight.training.classifying import classify

    run = model.run
    if run is not None and run.info["data"].get("classes") != list(data.classes):
        raise UserError(
            f"{path} was trained on {run.info['data']['name']}, whose classes are not those of {data.root}. "
            "Name a run that was trained on these classes."
        )
    scores = classify(model.need_network("to name classes"), data, device=model.device)
    if json:
        print_json(scores.as_dict() | {"model": str(path), "data": str(data.root)})
    else:
        print_classified(scores, f"{path} on {data.name}")


def _print_verification(found: dict[str, Any]) -> None:
    pairs = f"{found['pairs_of_one_person']:,} pairs of one person, {found['pairs_of_two_persons']:,} of two"
    print_table(
        ["False matches", "Matches found %", f"Threshold ({found['distance']})"],
        [
            [
                f"{row['false_match_rate']:.1e}",
                f"{100 * (1 - row['false_non_match_rate']):.1f}",
                f"{row['threshold']:.4f}",
            ]
            for row in found["roc"]
        ],
        title=f"Do two crops show one person? {pairs}",
    )
    print(f"Equal error rate {found['equal_error_rate']:.4f} at {found['equal_error_threshold']:.4f}.")
    chosen, checked = found["chosen"], found["checked"]
    print(
        f"Threshold {chosen['threshold']:.4f} for a false-match rate of {found['target']:g}, chosen on half "
        f"of the persons. On the other half: false-match rate {checked['false_match_rate']:.2g}, matches "
        f"found {100 * (1 - checked['false_non_match_rate']):.1f} %."
    )

"""``resight evaluate``: score a trained run, or a weights file, on a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from resight.commands.output import print_json, print_scores, print_table
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.data.benchmark import Benchmark
    from resight.evaluation.repeated import RepeatedScores
    from resight.training.run import Run
    from resight.training.testing import EmbeddedBenchmark


def evaluate(
    run: Path,
    *,
    data: Path | None = None,
    reader: str | None = None,
    listing: Path | None = None,
    holdout: int | None = None,
    pattern: str | None = None,
    cross_camera: bool = True,
    branches: Literal["global", "local", "both"] = "both",
    metric: Literal["cosine", "euclidean"] = "cosine",
    ap: Literal["mean", "trapezoid"] = "mean",
    threshold: Annotated[bool, Parameter(negative="")] = False,
    false_match_rate: float = 0.001,
    device: str = "auto",
    skip_unreadable: Annotated[bool, Parameter(negative="")] = False,
    report: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Score a trained run on a data set's query and gallery.

    Args:
        run: folder of a run, or a weights.safetensors file.
        data: folder of crops; by default what the run was tested on. Another set than the run was trained on
            shows how well it does elsewhere.
        reader: reader of the data and its options, such as cuhk03,boxes=labelled ('resight data readers').
        listing: file of 'resight data split': which crops are in which part, and what is drawn.
        holdout: persons to hold out for testing, where the set has no test part.
        pattern: regular expression with named groups person and/or camera, searched in each file's path.
        cross_camera: with --no-cross-camera, crops under the query's own camera count too.
        branches: which part of the descriptor to use.
        metric: cosine similarity or Euclidean distance.
        ap: average precision: mean of the precision at each match, or by trapezoids as Market-1501's script.
        threshold: also tell which distance means the same person: error rates of pairs of crops, and the
            threshold for --false-match-rate, chosen on half of the persons and checked on the others.
        false_match_rate: how many pairs of two persons may be taken for one, as a share.
        device: auto, cpu or cuda.
        skip_unreadable: leave unreadable images out, and count them.
        report: also write the report on this data set to that file.
        json: print one JSON object.
    """
    from resight.data.matching import refuse_without_match
    from resight.data.opening import open_benchmark
    from resight.device import resolve_device
    from resight.evaluation.repeated import RepeatedScores
    from resight.models.weights import load_weights
    from resight.report.page import write_report
    from resight.training.run import Run
    from resight.training.testing import embed_benchmark, score_benchmark

    opened = None if run.is_file() else Run.open(run)
    if report is not None and opened is None:
        raise UserError("A report tells of a run: name the run's folder instead of the weights file.")
    if data is not None:
        benchmark = open_benchmark(
            data, reader=reader, holdout=holdout, pattern=pattern, cross_camera=cross_camera, listing=listing
        )
        if opened is not None:
            _warn_of_trained(opened, benchmark)
    elif opened is not None:
        benchmark = _own_benchmark(opened)
    else:
        raise UserError("Name the data to score the weights on: --data FOLDER.")
    refuse_without_match(benchmark)
    for note in benchmark.notes:
        say(f"Note: {note}")
    model = (
        load_weights(run, resolve_device(device))
        if opened is None
        else opened.load_model(resolve_device(device))
    )
    embedded = embed_benchmark(
        model,
        benchmark,
        device=device,
        precision="auto" if opened is None else opened.recipe.precision,
        branches=None if branches == "both" else [branches],
        skip_unreadable=skip_unreadable,
    )
    for path, reason in embedded.skipped:
        say(f"Left out: {path} {reason}")
    scores = score_benchmark(embedded, benchmark, metric=metric, ap=ap)
    if report is not None and opened is not None:
        write_report(
            opened, benchmark, report, device=device, embedded=embedded, skip_unreadable=skip_unreadable
        )
        say(f"Report: {report}")
    result = scores.as_dict() | {"run": str(run), "data": str(benchmark.root), "branches": branches}
    if threshold:
        result["verification"] = _verify(embedded, benchmark, metric, false_match_rate)
    if json:
        print_json(result)
        return
    title = f"{run} on {benchmark.name}, {benchmark.protocol.name}"
    if isinstance(scores, RepeatedScores):
        _print_repeated(scores, title)
    else:
        print_scores(scores, title)
    if threshold:
        _print_verification(result["verification"])


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


def _print_repeated(scores: "RepeatedScores", title: str) -> None:
    print(title)
    rows = [
        [name.replace("rank", "Rank-"), *map(_per_cent, (figure.mean, figure.std, figure.low, figure.high))]
        for name, figure in scores.spreads().items()
    ]
    print_table(["Score", "Mean %", "Std", "95 % from", "to"], rows)
    first = scores.draws[0]
    print(
        f"{len(scores.draws)} draws; in the first, {first.queries:,} of {first.total_queries:,} have a match."
    )


def _per_cent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


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
        f"Threshold {chosen['threshold']:.4f} for a false-match rate of {found['wished']:g}, chosen on half "
        f"of the persons. On the other half: false matches {checked['false_match_rate']:.2g}, matches found "
        f"{100 * (1 - checked['false_non_match_rate']):.1f} %."
    )


def _own_benchmark(run: "Run") -> "Benchmark":
    """Open the data that the run was trained on, split as it was then."""
    from resight.data.opening import reopen

    return reopen(run.info["data"]["opened"])


def _warn_of_trained(run: "Run", benchmark: "Benchmark") -> None:
    """Say so where crops to test on are crops that the run was trained on."""
    data = run.info["data"]
    paths: Sequence[str] = data["opened"]["paths"]
    if str(benchmark.root.absolute()) not in paths:
        return
    trained = {crop.path for crop in _own_benchmark(run).train}
    tested = {crop.path for crop in (*benchmark.query, *benchmark.gallery)}
    if both := len(trained & tested):
        say(
            f"Warning: the run was trained on {both:,} of these {len(tested):,} test crops, so the scores do "
            "not say how well it does on new persons."
        )

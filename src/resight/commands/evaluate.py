"""``resight evaluate``: score a trained run, or a weights file, on a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from resight.commands.output import print_json, print_scores
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.data.benchmark import Benchmark
    from resight.training.run import Run


def evaluate(
    run: Path,
    *,
    data: Path | None = None,
    holdout: int | None = None,
    pattern: str | None = None,
    cross_camera: bool = True,
    branches: Literal["global", "local", "both"] = "both",
    metric: Literal["cosine", "euclidean"] = "cosine",
    ap: Literal["mean", "trapezoid"] = "mean",
    device: str = "auto",
    skip_unreadable: Annotated[bool, Parameter(negative="")] = False,
    report: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Score a trained run on a data set's query and gallery.

    Args:
        run: folder of a run, or a weights.safetensors file.
        data: folder of crops; by default what the run was tested on.
        holdout: persons to hold out for testing, where the set has no test part.
        pattern: regular expression with named groups person and/or camera, searched in each file's path.
        cross_camera: with --no-cross-camera, crops under the query's own camera count too.
        branches: which part of the descriptor to use.
        metric: cosine similarity or Euclidean distance.
        ap: average precision: mean of the precision at each match, or by trapezoids as Market-1501's script.
        device: auto, cpu or cuda.
        skip_unreadable: leave unreadable images out, and count them.
        report: also write the report on this data set to that file.
        json: print one JSON object.
    """
    from resight.data.check import refuse_without_match
    from resight.data.opening import open_benchmark
    from resight.device import resolve_device
    from resight.evaluation.scores import evaluate as score
    from resight.models.weights import load_weights
    from resight.report.page import write_report
    from resight.training.run import Run
    from resight.training.testing import embed_benchmark

    opened = None if run.is_file() else Run.open(run)
    if report is not None and opened is None:
        raise UserError("A report tells of a run: name the run's folder instead of the weights file.")
    if data is not None:
        benchmark = open_benchmark(data, holdout=holdout, pattern=pattern, cross_camera=cross_camera)
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
    scores = score(embedded.query, embedded.gallery, benchmark.protocol, metric=metric, ap=ap)
    if report is not None and opened is not None:
        write_report(
            opened, benchmark, report, device=device, embedded=embedded, skip_unreadable=skip_unreadable
        )
        say(f"Report: {report}")
    result = scores.as_dict() | {"run": str(run), "data": str(benchmark.root), "branches": branches}
    if json:
        print_json(result)
        return
    print_scores(scores, f"{run} on {benchmark.name}, {benchmark.protocol.name}")


def _own_benchmark(run: "Run") -> "Benchmark":
    """Open the data that the run was trained on, split as it was then."""
    from resight.data.opening import open_benchmark

    data = run.info["data"]
    return open_benchmark(
        Path(data["path"]),
        holdout=data["holdout"],
        pattern=data["pattern"],
        cross_camera=data["cross_camera"],
    )


def _warn_of_trained(run: "Run", benchmark: "Benchmark") -> None:
    """Say so where crops to test on are crops that the run was trained on."""
    if benchmark.root.absolute() != Path(run.info["data"]["path"]):
        return
    trained = {crop.path for crop in _own_benchmark(run).train}
    tested = {crop.path for crop in (*benchmark.query, *benchmark.gallery)}
    if both := len(trained & tested):
        say(
            f"Warning: the run was trained on {both:,} of these {len(tested):,} test crops, so the scores do "
            "not say how well it does on new persons."
        )

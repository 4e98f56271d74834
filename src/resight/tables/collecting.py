"""Collecting the result of a plan from the scores that its runs have stored."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import resight
from resight.device import resolve_device
from resight.files import read_json
from resight.tables.jobs import Job
from resight.tables.metrics import METRICS, network_figure, pass_times
from resight.tables.plan import PlannedColumn, TablePlan
from resight.tables.results import (
    Cell,
    Interval,
    ResultRow,
    RunRecord,
    TableResult,
    check_claims,
    printed_difference,
)
from resight.tables.table import Row
from resight.training.metrics import read_metrics
from resight.training.run import read_info


def collect(plan: TablePlan, failed: Mapping[str, str]) -> TableResult:
    """Return the result of a plan, from the stored scores of its runs.

    Args:
        plan: whose jobs have run, as far as they could.
        failed: what has not, as of ``run_jobs`` -> the reason.
    """
    table = plan.request.table
    values = {
        (row.name, planned.number): _values(plan, row, planned)
        for row in plan.rows
        for planned in plan.columns
    }
    reference = next((row for row in table.rows if row.name == table.reference), None)
    rows = tuple(_row(plan, row, reference, values, failed) for row in plan.rows)
    headings = tuple(planned.title for planned in plan.columns)
    return TableResult(
        name=plan.request.name,
        title=table.title,
        source=table.source,
        note=table.note,
        conditions=plan.conditions,
        substitute=plan.substitute,
        reference=table.reference,
        headings=headings,
        metrics=tuple(planned.column.metrics for planned in plan.columns),
        distractors=tuple(planned.column.distractors for planned in plan.columns),
        rows=rows,
        claims=check_claims(table.claims, rows, [planned.column.title for planned in plan.columns]),
        runs=tuple(_record(job) for job in plan.jobs.values() if job.finished),
        plot=table.plot,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        version=resight.__version__,
    )


Values = dict[str, dict[int, float]]
"""Metric -> run -> figure; ``metric/variant`` for other definitions."""


def _values(plan: TablePlan, row: Row, planned: PlannedColumn) -> Values:
    """Return the row's figures in a column."""
    found: Values = {}
    if row.name not in plan.recipes or (row.name, planned.number) in plan.reasons:
        return found
    for name in planned.column.metrics:
        if METRICS[name].kind == "network":
            found[name] = {0: network_figure(name, plan.counted[row.name])}
        elif METRICS[name].kind == "time":
            times = pass_times(plan.counted[row.name], resolve_device(plan.request.device))
            found[name] = dict(enumerate(times))
    for (name, number, run), (digest, key) in plan.cells.items():
        job = plan.jobs[digest]
        if (name, number) != (row.name, planned.number) or not job.tested(key):
            continue
        scores = read_json(job.scores_file(key), "Remove it, and the run is tested again.")
        for metric in planned.column.metrics:
            if METRICS[metric].kind == "training":
                found.setdefault(metric, {})[run] = _mean_loss(job)
            else:
                for variant, scored in [("", scores), *scores.get("variants", {}).items()]:
                    place = f"{metric}/{variant}" if variant else metric
                    found.setdefault(place, {})[run] = METRICS[metric].factor * scored[metric]
    return found


def _mean_loss(job: Job) -> float:
    """Return the mean of the objective over all steps of a training (SONA, Section 3.4: "average loss")."""
    ends, total = 0, 0.0
    for line in read_metrics(job.folder / "metrics.jsonl"):
        if line["kind"] == "epoch":
            total += line["loss"] * (line["step"] - ends)
            ends = line["step"]
    return total / ends


def _row(
    plan: TablePlan,
    row: Row,
    reference: Row | None,
    values: Mapping[tuple[str, int], Values],
    failed: Mapping[str, str],
) -> ResultRow:
    recipe = plan.recipes.get(row.name)
    return ResultRow(
        name=row.name,
        quoted=row.recipe is None and not row.without,
        recipe=row.recipe if recipe is None else recipe.name,
        overrides=plan.overrides.get(row.name, row.overrides),
        x=row.x,
        series=row.series,
        labels=row.labels,
        counted=row.counted,
        missing=dict(_missing(plan, row, failed)),
        cells=tuple(tuple(_cells(row, reference, planned, values)) for planned in plan.columns),
    )


def _missing(plan: TablePlan, row: Row, failed: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if (why := plan.reasons.get((row.name, None))) is not None:
        yield "", why
    for planned in plan.columns:
        if (why := plan.reasons.get((row.name, planned.number))) is not None:
            yield planned.title, why
            continue
        tests = [test for place, test in plan.cells.items() if place[:2] == (row.name, planned.number)]
        if incomplete := [test for test in tests if not plan.jobs[test[0]].tested(test[1])]:
            digest, key = incomplete[0]
            why = failed.get(digest, failed.get(f"{digest}/{key}", "not run yet"))
            yield planned.title, why if len(tests) == 1 else f"{len(incomplete)} of {len(tests)} runs: {why}"


def _cells(
    row: Row,
    reference: Row | None,
    planned: PlannedColumn,
    values: Mapping[tuple[str, int], Values],
) -> Iterator[Cell]:
    own = values[row.name, planned.number]
    other = {} if reference is None else values.get((reference.name, planned.number), {})
    for place, metric in enumerate(planned.column.metrics, planned.first):
        figures, compared = own.get(metric, {}), other.get(metric, {})
        relative = METRICS[metric].kind == "training"
        if relative:  # a loss has no unit: only its change says something
            figures = {run: 100 * (figures[run] / compared[run] - 1) for run in figures if run in compared}
        both = [] if relative or row is reference else sorted(figures.keys() & compared.keys())
        published, base = (
            None if one is None or one.published is None else one.published[place] for one in (row, reference)
        )
        yield Cell(
            metric=metric,
            values=figures,
            ours=Interval.of(list(figures.values())),
            difference=Interval.of([figures[run] - compared[run] for run in both]),
            published=published,
            published_std=None if row.std is None else row.std[place],
            published_difference=None
            if relative or row is reference
            else printed_difference(published, base),
            variants={
                name.partition("/")[2]: math.fsum(found.values()) / len(found)
                for name, found in own.items()
                if name.startswith(f"{metric}/")
            },
        )


def _record(job: Job) -> RunRecord:
    info = read_info(job.folder)
    return RunRecord(
        run=job.folder.name,
        recipe=job.recipe.name,
        seed=job.recipe.seed,
        epochs=job.recipe.epochs,
        seconds=info["seconds"],
        data=info["data"]["name"],
        trained_on=job.trained.trained_on,
        machine=info["machine"],
        versions=info["versions"],
    )

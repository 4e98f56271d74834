"""What came of a plan: our figures beside the published ones, as plain data that can be stored."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import resight
from resight.device import resolve_device
from resight.errors import UserError
from resight.evaluation.statistics import spread
from resight.files import write_json
from resight.registry import Settings
from resight.tables.metrics import METRICS, network_figure, pass_times
from resight.tables.plan import Job, PlannedColumn, TablePlan
from resight.tables.table import Plot, PrintedFigure, Row
from resight.training.metrics import read_metrics
from resight.training.reading import load_recipe
from resight.training.run import read_info

FORMAT = 1
"""Increased when earlier files cannot be read."""


class Interval(Settings):
    """Mean, standard deviation and Student's 95 % interval; None where there is one value."""

    mean: float
    std: float | None
    low: float | None
    high: float | None


class Cell(Settings):
    """One quantity of a row.

    Attributes:
        metric: see ``METRICS``.
        values: run -> our figure, in the paper's unit; empty if there is none.
        ours: over the runs, or None.
        difference: from the reference row, over the runs that both have; or None.
        published, published_std: the paper's.
        published_difference: between the paper's figures.
        variants: by other definitions (trapezoids; unit descriptors): name -> mean over the runs.
    """

    metric: str
    values: dict[int, float]
    ours: Interval | None
    difference: Interval | None
    published: PrintedFigure | None
    published_std: PrintedFigure | None
    published_difference: float | None
    variants: dict[str, float]


class ResultRow(Settings):
    """A row: its cells, in the order of the columns.

    Attributes:
        name: as printed.
        quoted: whether it is another method's, quoted from the paper.
        recipe, overrides: of ours.
        x, series, labels, counted: as in ``Row``.
        missing: heading of the column ("" for the whole row) -> why it was not run.
        cells: one list per heading.
    """

    name: str
    quoted: bool
    recipe: str | None
    overrides: tuple[str, ...]
    x: float | None
    series: str
    labels: tuple[str, ...] = ()
    counted: str
    missing: dict[str, str]
    cells: tuple[tuple[Cell, ...], ...]


class RunRecord(Settings):
    """One training, for whoever wants to repeat it.

    Attributes:
        run: name of its folder, which ends with the hash of recipe, seed and data.
        recipe, seed, epochs, seconds: of the training.
        data: name, and the number of crops to train on; trained_on: SHA-256 of the list of files.
        machine, versions: where it was trained.
    """

    run: str
    recipe: str
    seed: int
    epochs: int
    seconds: float
    data: str
    trained_on: str
    machine: dict[str, Any]
    versions: dict[str, str]


class TableResult(Settings):
    """A table, ours beside the published one.

    Attributes:
        format: of the file.
        name, title, source, note: of the table.
        conditions: what is not as in the paper; every heading says so.
        substitute: name of the data that stand for all of the table's, or None.
        reference: row that others are compared with.
        headings: of the columns; metrics: of each.
        distractors: of each column, for the plot.
        rows: as printed.
        runs: the trainings.
        plot: of the table.
        made, version: when, and with which Resight.
    """

    format: int = FORMAT
    name: str
    title: str
    source: str
    note: str
    conditions: tuple[str, ...]
    substitute: str | None
    reference: str | None
    headings: tuple[str, ...]
    metrics: tuple[tuple[str, ...], ...]
    distractors: tuple[int | None, ...]
    rows: tuple[ResultRow, ...]
    runs: tuple[RunRecord, ...]
    plot: Plot | None
    made: str
    version: str

    @property
    def heading(self) -> str:
        """The title with all that is not as in the paper."""
        return ", ".join([self.title, *self.conditions])

    @property
    def missing(self) -> dict[str, list[str]]:
        """Why something was not run -> which rows and columns."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            for column, why in row.missing.items():
                found.setdefault(why, []).append(f"{row.name}, {column}" if column else row.name)
        return found

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        write_json(path, self.model_dump(mode="json"))


def load_result(path: Path) -> TableResult:
    """Read a stored result.

    Raises:
        UserError: the file cannot be read, or is of another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a table's result: {error}.") from None
    if found != FORMAT:
        raise UserError(f"{path} has the format {found}; this version of Resight reads format {FORMAT}.")
    return TableResult.model_validate(content)


def collect(plan: TablePlan, failed: Mapping[str, str]) -> TableResult:
    """Return the result of a plan, from the stored scores of its runs.

    Args:
        plan: whose jobs have run, as far as they could.
        failed: digest of a job that has not -> the reason.
    """
    table = plan.request.table
    values = {
        (row.name, planned.number): _values(plan, row, planned)
        for row in plan.rows
        for planned in plan.columns
    }
    reference = next((row for row in table.rows if row.name == table.reference), None)
    rows = [_row(plan, row, reference, values, failed) for row in plan.rows]
    return TableResult(
        name=plan.request.name,
        title=table.title,
        source=table.source,
        note=table.note,
        conditions=plan.conditions,
        substitute=plan.substitute,
        reference=table.reference,
        headings=tuple(planned.title for planned in plan.columns),
        metrics=tuple(planned.column.metrics for planned in plan.columns),
        distractors=tuple(planned.column.distractors for planned in plan.columns),
        rows=tuple(rows),
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
    if (recipe := plan.recipes.get(row.name)) is None or (row.name, planned.number) in plan.reasons:
        return found
    for name in planned.column.metrics:
        if METRICS[name].kind == "network":
            counted = load_recipe(recipe.name, (*_overrides(plan, row), *row.cost)) if row.cost else recipe
            found[name] = {0: network_figure(name, counted)}
        elif METRICS[name].kind == "time":
            times = pass_times(recipe, resolve_device(plan.request.device))
            found[name] = dict(enumerate(times))
    for (name, number, run), (digest, key) in plan.cells.items():
        job = plan.jobs[digest]
        if (name, number) != (row.name, planned.number) or not job.complete:
            continue
        scores = json.loads(job.scores_file(key).read_text(encoding="utf-8"))
        for metric in planned.column.metrics:
            if METRICS[metric].kind == "training":
                found.setdefault(metric, {})[run] = _mean_loss(job)
            else:
                for variant, scored in [("", scores), *scores.get("variants", {}).items()]:
                    place = f"{metric}/{variant}" if variant else metric
                    found.setdefault(place, {})[run] = METRICS[metric].factor * scored[metric]
    return found


def _overrides(plan: TablePlan, row: Row) -> tuple[str, ...]:
    return row.overrides if not plan.request.fast or row.fast is None else row.fast


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
        overrides=_overrides(plan, row),
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
        jobs = [
            digest
            for (name, number, _), (digest, _) in plan.cells.items()
            if (name, number) == (row.name, planned.number)
        ]
        if incomplete := [digest for digest in jobs if not plan.jobs[digest].complete]:
            why = failed.get(incomplete[0], "not run yet")
            yield planned.title, why if len(jobs) == 1 else f"{len(incomplete)} of {len(jobs)} runs: {why}"


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
            ours=_interval(list(figures.values())),
            difference=_interval([figures[run] - compared[run] for run in both]),
            published=published,
            published_std=None if row.std is None else row.std[place],
            published_difference=None
            if relative or row is reference or published is None or base is None
            else round(published.value - base.value, 9),
            variants={
                name.partition("/")[2]: math.fsum(found.values()) / len(found)
                for name, found in own.items()
                if name.startswith(f"{metric}/")
            },
        )


def _interval(values: list[float]) -> Interval | None:
    if not values:
        return None
    found = spread(values)
    return Interval(mean=found.mean, std=found.std, low=found.low, high=found.high)


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

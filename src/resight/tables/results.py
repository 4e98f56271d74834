"""The result of a table: our figures beside the published ones, as plain data that can be stored."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from resight.errors import UserError
from resight.evaluation.statistics import spread
from resight.files import write_json
from resight.registry import Settings
from resight.tables.metrics import METRICS
from resight.tables.table import Claim, Plot, PrintedFigure

FORMAT = 1
"""Increased when earlier files cannot be read."""


class Interval(Settings):
    """Mean, standard deviation and Student's 95 % interval; None where there is one value."""

    mean: float
    std: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """Return that of some values, or None without any."""
        if not values:
            return None
        found = spread(values)
        return cls(mean=found.mean, std=found.std, low=found.low, high=found.high)


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


def printed_difference(one: PrintedFigure | None, other: PrintedFigure | None) -> float | None:
    """Return the difference of two printed figures; None if one is missing, or only a bound."""
    if one is None or other is None or one.sign or other.sign:
        return None
    return round(one.value - other.value, 9)


class CheckedClaim(Settings):
    """A claim of the paper, beside our runs.

    Attributes:
        claim: as in the table's file.
        column: place of the column that it is checked in.
        ours: difference between the two rows, over the runs that both have; None without any.
        published: the paper's difference, or None where it prints none, or only bounds.
        shows: see ``verdict``.
    """

    claim: Claim
    column: int
    ours: Interval | None
    published: float | None
    shows: str


def verdict(metric: str, ours: Interval | None) -> str:
    """Return whether a difference agrees with the claim that the first row is better.

    ``yes``: the interval is on the claim's side of 0; ``opposite``: on the other side; ``no``: it includes 0.
    One run has no interval: ``same sign``, ``other sign`` or ``equal``. Without a run: ``-``. What is counted
    needs no interval.
    """
    if ours is None:
        return "-"
    better = -ours.mean if METRICS[metric].smaller else ours.mean
    if ours.low is not None and ours.high is not None and ours.low <= 0 <= ours.high:
        return "no"
    if better == 0:
        return "equal"
    if ours.low is None and METRICS[metric].kind != "network":
        return "same sign" if better > 0 else "other sign"
    return "yes" if better > 0 else "opposite"


def check_claims(
    claims: Sequence[Claim], rows: Sequence[ResultRow], titles: Sequence[str]
) -> tuple[CheckedClaim, ...]:
    """Return each claim in each of its columns, for the rows that are there.

    Args:
        claims: of the table.
        rows: of the result.
        titles: of the table's columns that the result has; other data may stand in for theirs.
    """
    cells = {
        (row.name, cell.metric, column): cell
        for row in rows
        for column, group in enumerate(row.cells)
        for cell in group
    }
    found = []
    for claim, (column, title) in itertools.product(claims, enumerate(titles)):
        if claim.columns and title not in claim.columns:
            continue
        one, other = (cells.get((name, claim.metric, column)) for name in (claim.row, claim.over))
        if one is None or other is None:
            continue
        both = sorted(one.values.keys() & other.values.keys())
        ours = Interval.of([one.values[run] - other.values[run] for run in both])
        printed = printed_difference(one.published, other.published)
        published = claim.published if printed is None else printed
        shows = verdict(claim.metric, ours)
        found.append(CheckedClaim(claim=claim, column=column, ours=ours, published=published, shows=shows))
    return tuple(found)


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
        claims: of the paper's text, of the rows that are there.
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
    claims: tuple[CheckedClaim, ...] = ()
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
        """Why something was not run -> which rows, and in which columns."""
        columns: dict[str, dict[str, list[str]]] = {}
        for row in self.rows:
            for column, why in row.missing.items():
                columns.setdefault(why, {}).setdefault(column, []).append(row.name)
        found: dict[str, list[str]] = {}
        for why, rows_of in columns.items():
            groups: dict[str, list[str]] = {}
            for column, rows in rows_of.items():
                groups.setdefault(", ".join(rows), []).append(column)
            found[why] = [
                ", in ".join(filter(None, (rows, " and ".join(names)))) for rows, names in groups.items()
            ]
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

"""The result of a table: our figures beside the published ones, as plain data that can be stored."""

import json
from pathlib import Path
from typing import Any

from resight.errors import UserError
from resight.files import write_json
from resight.registry import Settings
from resight.tables.table import Plot, PrintedFigure

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

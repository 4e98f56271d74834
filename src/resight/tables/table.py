"""Published tables as typed data, one YAML file each, in one folder a paper."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from resight.errors import UserError, did_you_mean
from resight.registry import Settings
from resight.tables.metrics import METRICS

ANY = "any"
"""The data of a column that takes whatever the user names: of grids, which no paper has."""

FIGURE = re.compile(r"([>≫≈]?)(-?\d+(?:\.\d+)?(?:e\d+)?)")
"""A printed figure, perhaps after a sign that says that it is only a bound or about right."""


class PrintedFigure(Settings):
    """A figure as a paper prints it.

    Attributes:
        value: in the paper's unit.
        sign: ``>``, ``≫`` or ``≈`` before it, or nothing.
        text: as printed.
    """

    value: float
    sign: str
    text: str


class Column(Settings):
    """Neighbouring columns of a table: one data set and one way to test, several quantities.

    Attributes:
        title: heading above the columns.
        metrics: the quantity of each, see ``METRICS``.
        data: reader of the data set and its options, such as ``cuhk03,boxes=labelled``; None for quantities
            that need no data.
        splits: number of splits of the data set to average over; run number r is on split r.
        distractors: number of distractors added to the gallery (SN, Fig. 4); ``data`` then has them all.
    """

    title: str = ""
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    data: str | None = None
    splits: Annotated[int, Field(ge=1)] = 1
    distractors: Annotated[int, Field(ge=0)] | None = None

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for name in metrics:
            if name not in METRICS:
                raise ValueError(f"unknown metric '{name}'.{did_you_mean(name, METRICS)}")
        return metrics

    @model_validator(mode="after")
    def _has_data(self) -> "Column":
        kinds = {METRICS[name].kind for name in self.metrics}
        if (self.data is not None) != bool(kinds & {"score", "training"}) or len(kinds) > 1:
            raise ValueError("scores and training losses need data; other quantities need a column without.")
        return self


class Row(Settings):
    """A row of a table: a recipe with overrides and how it is tested, or a quotation.

    Attributes:
        name: as printed.
        recipe: name of the recipe; None for a row that is only quoted.
        overrides: of the recipe (``set`` in the file).
        fast: overrides of its ``-fast`` sibling, where other than ``overrides``; None: the same.
        branches: of the descriptor that is tested; None: all.
        rerank: test with k-reciprocal re-ranking, junk included, as in its authors' script.
        x: place on the plot's axis.
        series: line of the plot that it belongs to.
        labels: its values in a grid of settings.
        cost: further overrides for what is counted without training, such as the size that FLOPs are for.
        counted: what a FLOPs figure counts: ``multiply-adds`` each as one, or as two ``operations``.
        published: the paper's figures, one a column, None where it has none.
        std: their standard deviations, where the paper has them.
        without: why the row cannot be run, if Resight has no recipe for it.
    """

    name: Annotated[str, Field(min_length=1)]
    recipe: str | None = None
    overrides: Annotated[tuple[str, ...], Field(alias="set")] = ()
    fast: tuple[str, ...] | None = None
    branches: Literal["global", "local"] | None = None
    rerank: bool = False
    x: float | None = None
    series: str = ""
    labels: tuple[str, ...] = ()
    cost: tuple[str, ...] = ()
    counted: Literal["multiply-adds", "operations"] = "multiply-adds"
    published: tuple[PrintedFigure | None, ...] | None = None
    std: tuple[PrintedFigure | None, ...] | None = None
    without: str = ""

    @field_validator("overrides", "fast")
    @classmethod
    def _without_seed(cls, overrides: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if any(override.partition("=")[0].strip() == "seed" for override in overrides or ()):
            raise ValueError("the seeds are 0, 1, ...: give their number by --runs.")
        return overrides

    @field_validator("published", "std", mode="before")
    @classmethod
    def _read(cls, text: object) -> object:
        return [_figure(word) for word in text.split()] if isinstance(text, str) else text


class Claim(Settings):
    """What a paper says in words about two of its rows: the first is better.

    Attributes:
        text: the claim.
        row, over: names of the better and of the other row.
        metric: that it is about; better is smaller where ``METRICS`` says so.
        section: of the paper that says so; empty for a claim of one's own.
        columns: titles of the columns that it is about; none: all that have the metric.
        published: the difference, where the text prints it and the table has no figures to give it.
    """

    text: str
    row: str
    over: str
    metric: str = "mAP"
    section: str = ""
    columns: tuple[str, ...] = ()
    published: float | None = None


class Plot(Settings):
    """A table's plot.

    Attributes:
        kind: ``lines`` over ``Row.x`` (or over the numbers of distractors), with error bars; ``cost``,
            accuracy against multiply-adds; ``bars``, differences from the reference row; or ``heat``, a map
            over two settings.
        metric: on the vertical axis, or the colour of a map.
        x_label: of the horizontal axis; of a map, the first label of its rows. y_label: the second.
        log: whether the horizontal axis is logarithmic; 0 then has a place of its own at the left.
    """

    kind: Literal["lines", "cost", "bars", "heat"]
    metric: str = "mAP"
    x_label: str = ""
    y_label: str = ""
    log: bool = False


class Table(Settings):
    """A published table or figure.

    Attributes:
        title: what it compares.
        source: paper and number; empty for a grid of settings, which no paper has.
        note: what a reader should know about our reading of it.
        columns, rows: as printed; names of rows differ.
        reference: name of the row that others are compared with, or None.
        claims: what the paper's text says about pairs of our rows.
        runs: number of runs of each row that the paper averages.
        fast: recipe -> its ``-fast`` sibling, where that is not ``RECIPE-fast``.
        plot: its plot, if it has one.
    """

    title: str
    source: str = ""
    note: str = ""
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    reference: str | None = None
    claims: tuple[Claim, ...] = ()
    runs: Annotated[int, Field(ge=1)] = 1
    fast: dict[str, str] = Field(default_factory=dict)
    plot: Plot | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Table":
        width = sum(len(column.metrics) for column in self.columns)
        names = [row.name for row in self.rows]
        for row in self.rows:
            if row.recipe is None and row.published is None and not row.without:
                raise ValueError(
                    f"row '{row.name}' needs a recipe, published figures, or why it is 'without'."
                )
            if names.count(row.name) > 1:
                raise ValueError(f"two rows are named '{row.name}'.")
            for figures in (row.published, row.std):
                if figures is not None and len(figures) != width:
                    raise ValueError(f"row '{row.name}' has {len(figures)} figures for {width} columns.")
        if self.reference is not None and self.reference not in names:
            unknown = did_you_mean(self.reference, names)
            raise ValueError(f"there is no row '{self.reference}' to compare with.{unknown}")
        self._check_claims()
        self._check_plot()
        return self

    @property
    def _measured(self) -> set[str]:
        return {name for column in self.columns for name in column.metrics}

    def _check_claims(self) -> None:
        ours = {row.name for row in self.rows if row.recipe is not None}
        for claim in self.claims:
            about = f"claim '{claim.text}'"
            for name in (claim.row, claim.over):
                if name not in ours:
                    raise ValueError(
                        f"{about}: no row with a recipe is named '{name}'.{did_you_mean(name, ours)}"
                    )
            if claim.metric not in self._measured:
                unknown = did_you_mean(claim.metric, self._measured)
                raise ValueError(f"{about}: no column has the metric '{claim.metric}'.{unknown}")
            titles = [column.title for column in self.columns if claim.metric in column.metrics]
            for title in claim.columns:
                if title not in titles:
                    raise ValueError(f"{about}: no such column is '{title}'.{did_you_mean(title, titles)}")
            if claim.row == claim.over:
                raise ValueError(f"claim '{claim.text}' compares the row '{claim.row}' with itself.")

    def _check_plot(self) -> None:
        plot = self.plot
        if plot is None:
            return
        if plot.metric not in self._measured:
            unknown = did_you_mean(plot.metric, self._measured)
            raise ValueError(f"the plot is of '{plot.metric}', which no column has.{unknown}")
        if plot.kind == "cost" and "flops" not in self._measured:
            raise ValueError("a plot of the kind 'cost' needs a column with flops.")
        if plot.kind == "bars" and self.reference is None:
            raise ValueError("a plot of the kind 'bars' needs a reference row.")
        if plot.kind == "heat":
            if plot.metric not in self.columns[0].metrics:
                raise ValueError(f"a plot of the kind 'heat' needs '{plot.metric}' in the first column.")
            if any(len(row.labels) != 2 for row in self.rows):
                raise ValueError("a plot of the kind 'heat' needs two labels in each row.")

    def chosen(self, names: tuple[str, ...]) -> tuple[Row, ...]:
        """Return the rows with these names, in the table's order; all for none.

        Raises:
            UserError: there is no row of a name.
        """
        known = [row.name for row in self.rows]
        for name in names:
            if name not in known:
                raise UserError(f"The table has no row '{name}'.{did_you_mean(name, known)}")
        return tuple(row for row in self.rows if not names or row.name in names)


def _figure(word: str) -> dict[str, object] | None:
    if word == "-":
        return None
    found = FIGURE.fullmatch(word)
    if found is None:
        raise ValueError(f"'{word}' is no figure.")
    return {"value": float(found[2]), "sign": found[1], "text": word}

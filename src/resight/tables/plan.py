"""What a table needs: the trainings, how each is tested, and what cannot run and why."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

import resight
from resight.data.examples import cameras_of, labels_of
from resight.errors import UserError
from resight.models.pretrained import read_trunk, trunk_of
from resight.registry import Settings
from resight.tables.jobs import Job, Scoring
from resight.tables.sources import DataChoice, Opened, choose_data
from resight.tables.table import Column, Row, Table
from resight.training.comparing import what_counts
from resight.training.components import Component
from resight.training.fitting import bare_model
from resight.training.reading import load_recipe, names_file, recipe_files, refuse_labelling
from resight.training.recipe import Recipe
from resight.training.run import read_info
from resight.training.scaling import scaled
from resight.training.stages import check_sampler

RUNS = "runs"
USUAL = "Market-1501"
"""The published column that other data are set beside: most tables have it, and their layout is its."""


class Request(Settings):
    """What a user asks for: everything that a plan depends on, so that worker processes make the same one.

    Attributes:
        name: of the table, such as ``sona/table5``.
        table: the table.
        data: values of ``--data``.
        reading: how to read a data set of another name; arguments of ``open_data``.
        rows: names of the rows to run; all for none.
        runs: runs of each row; None: as many as the paper averages.
        epochs_scale: share of the recipe's epochs to train.
        fast: train the ``-fast`` recipes.
        from_scratch: train from random weights where a recipe starts from pretrained ones.
        other_versions: use finished runs of other versions of Resight.
        out: folder of the runs.
        device: name, or ``auto``.
    """

    name: str
    table: Table
    data: tuple[str, ...] = ()
    reading: dict[str, Any] = Field(default_factory=dict)
    rows: tuple[str, ...] = ()
    runs: int | None = None
    epochs_scale: float = 1.0
    fast: bool = False
    from_scratch: bool = False
    other_versions: bool = False
    out: Path
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    """A column that is shown.

    Attributes:
        column: of the table.
        number: its place among the table's columns.
        first: place of its first figure in a row.
        title: with the data that stand in for the table's own.
    """

    column: Column
    number: int
    first: int
    title: str


@dataclass(frozen=True, slots=True)
class TablePlan:
    """Everything that a request leads to.

    Attributes:
        request: what was asked for.
        conditions: what headings say: other data, other recipes, fewer epochs.
        substitute: name of the data that stand for all of the table's, or None.
        columns, rows: that are shown.
        recipes: row -> its recipe; without the rows that are only quoted or cannot run.
        counted: row -> the recipe whose costs are counted: the paper's (with ``Row.cost``), even if a
            faster one is trained.
        overrides: row -> of its recipe.
        jobs: the trainings, by digest, in the order of rows and runs.
        cells: row, number of the column and run -> digest of the job, and key of the scores.
        reasons: row and number of the column (None: all) -> why it cannot run.
    """

    request: Request
    conditions: tuple[str, ...]
    substitute: str | None
    columns: tuple[PlannedColumn, ...]
    rows: tuple[Row, ...]
    recipes: dict[str, Recipe]
    counted: dict[str, Recipe]
    overrides: dict[str, tuple[str, ...]]
    jobs: dict[str, Job]
    cells: dict[tuple[str, int, int], tuple[str, str]]
    reasons: dict[tuple[str, int | None], str]


def make_plan(request: Request) -> TablePlan:
    """Work out the trainings of a table, without training.

    Raises:
        UserError: options contradict each other or the table; no data set that was named can be used; a
            finished run is of another version.
    """
    table = request.table
    if request.runs is not None and request.runs < 1:
        raise UserError(f"--runs must be 1 or more; got {request.runs}.")
    if not 0 < request.epochs_scale < math.inf:
        raise UserError(f"--epochs-scale must be a number above 0; got {request.epochs_scale:g}.")
    rows = table.chosen(request.rows)
    choice = choose_data(request.data, request.reading, table, request.out)
    if choice.substitute is not None:  # figures of other people's methods on other data say nothing here
        rows = tuple(row for row in rows if row.recipe is not None or row.without)
    columns = tuple(_columns(table, choice))
    plan = TablePlan(
        request, _conditions(request, choice, columns), choice.name, columns, rows, {}, {}, {}, {}, {}, {}
    )
    needing = [planned for planned in plan.columns if planned.column.data is not None]
    for row in rows:
        _plan_recipe(plan, row, needing)
    refused = {planned.number: why for planned in needing if (why := _plan_column(plan, planned, choice))}
    if request.data and needing and len(refused) == len(needing):
        named = [refused[planned.number] for planned in needing if choice.missing(planned.column) is None]
        raise UserError("\n".join(dict.fromkeys(named or refused.values())))
    for name, (number, why) in itertools.product(plan.recipes, refused.items()):
        before = plan.reasons.get((name, number))
        plan.reasons[name, number] = why if before is None else f"{why.rstrip('.')}. {before}"
    _refuse_other_versions(plan)
    return plan


def _conditions(request: Request, choice: DataChoice, columns: Sequence[PlannedColumn]) -> tuple[str, ...]:
    if all(planned.column.data is None for planned in columns):
        return ()  # costs are those of the paper's recipes
    found = [
        choice.condition,
        "by the -fast recipes" if request.fast else None,
        f"with {request.epochs_scale:g} times the epochs" if request.epochs_scale != 1 else None,
        "from random weights instead of pretrained ones" if request.from_scratch else None,
    ]
    return tuple(condition for condition in found if condition is not None)


def _columns(table: Table, choice: DataChoice) -> Iterator[PlannedColumn]:
    """Yield the columns to show: if other data stand for all sets, one column stands for all columns."""
    first, every = 0, []
    for number, column in enumerate(table.columns):
        every.append(PlannedColumn(column, number, first, column.title))
        first += len(column.metrics)
    alike = [one for one in every if one.column.data is not None and one.column.distractors is None]
    shown = next((one for one in alike if USUAL in one.title), alike[0] if alike else None)
    for one in every:
        if choice.substitute is None or one not in alike:
            yield one
        elif one is shown:
            beside = f"; paper: {one.title}" if one.title and table.source else ""
            yield replace(one, title=f"{choice.name}{beside}")


def _plan_recipe(plan: TablePlan, row: Row, needing: list[PlannedColumn]) -> None:
    """Add the row's recipe to the plan, or the reason why it cannot run in the columns that need training."""
    request = plan.request
    if row.recipe is None:
        if row.without:
            plan.reasons[row.name, None] = row.without
        return
    name, overrides = row.recipe, row.overrides
    why: str | None = None
    if request.fast and needing:
        alone = names_file(name) or name.endswith("-fast")  # has no faster sibling
        name = request.table.fast.get(name, name if alone else f"{name}-fast")
        overrides = overrides if row.fast is None else row.fast
        if not alone and row.recipe in recipe_files() and name not in recipe_files():
            why = f"there is no recipe {name}"
            name, overrides = row.recipe, row.overrides
    plan.overrides[row.name] = overrides
    try:
        recipe = load_recipe(name, overrides)
        refuse_labelling(recipe)
        plan.counted[row.name] = load_recipe(row.recipe, (*row.overrides, *row.cost))
    except UserError as error:
        raise UserError(f"Row '{row.name}': {error}") from None
    if request.from_scratch:
        recipe = recipe.model_copy(update={"pretrained": None})
    recipe = scaled(recipe, request.epochs_scale)
    plan.recipes[row.name] = recipe
    if why is None and needing and recipe.pretrained is not None:
        trunk = json.dumps(recipe.model.settings.get("trunk"))
        why = _weights_missing(recipe.model.name, trunk, recipe.pretrained)
    if why is not None:
        plan.reasons.update({(row.name, planned.number): why for planned in needing})


@cache
def _weights_missing(model: str, trunk: str, source: str) -> str | None:
    """Return why pretrained weights cannot be loaded into a trunk, or None."""
    component = Component(name=model, settings={"trunk": json.loads(trunk)})
    try:
        read_trunk(trunk_of(bare_model(component), source), source)
    except UserError as error:
        scratch = (
            "or train from random weights, which the headings of reproduce then say: --from-scratch "
            "(with sweep: --set pretrained=null)"
        )
        return f"{str(error).rstrip('.')}; {scratch}"
    return None


def _plan_column(plan: TablePlan, planned: PlannedColumn, choice: DataChoice) -> str | None:
    """Add the trainings of a column to the plan; return why there are none, or None."""
    column = planned.column
    if why := choice.missing(column):
        return why
    splits = column.splits if choice.substitute is None else 1
    try:
        opened = [choice.open(column, split if splits > 1 else None) for split in range(splits)]
    except UserError as error:
        return str(error)
    runs = plan.request.runs or max(plan.request.table.runs, splits)
    for row in plan.rows:
        if (recipe := plan.recipes.get(row.name)) is None or (row.name, planned.number) in plan.reasons:
            continue
        scoring = Scoring(row.branches, row.rerank, column.distractors)
        for run in range(runs):
            data = opened[run % splits]
            if run == 0:
                try:
                    check_sampler(recipe, labels_of(data.data), cameras_of(data.data))
                except UserError as error:
                    plan.reasons[row.name, planned.number] = str(error)
                    break
            job = _job(plan, recipe, run, data)
            job.scorings[scoring.key(data)] = data, scoring
            plan.cells[row.name, planned.number, run] = job.digest, scoring.key(data)
    return None


def _job(plan: TablePlan, recipe: Recipe, seed: int, data: Opened) -> Job:
    """Return the training of a recipe with a seed; rows that share one get the same."""
    recipe = recipe.model_copy(update={"seed": seed})
    text = json.dumps([what_counts(recipe.as_dict()), data.trained_on], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    runs = plan.request.out / RUNS
    named = f"{recipe.name}-seed{seed}-{digest}"
    # the same training may have begun under another name of the recipe
    folder = next((path for path in sorted(runs.glob(f"*-{digest}")) if path.is_dir()), runs / named)
    return plan.jobs.setdefault(digest, Job(digest, recipe, data, folder))


def _refuse_other_versions(plan: TablePlan) -> None:
    if plan.request.other_versions:
        return
    for job in plan.jobs.values():
        if job.finished and (made := read_info(job.folder)["versions"]["resight"]) != resight.__version__:
            raise UserError(
                f"The finished run {job.folder} is of Resight {made}; this is {resight.__version__}, which "
                "may train or score otherwise. Train all anew in another folder with --out, or use runs of "
                "other versions, which the results then name: --other-versions"
            )

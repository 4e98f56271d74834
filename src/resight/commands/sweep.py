"""``resight sweep``: train a recipe with every combination of some settings, and compare the scores."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.table_options import DEFAULT_RUNS, RunOptions, run_and_print
from resight.errors import UserError


def sweep(
    recipe: str,
    *grid: str,
    data: str,
    reading: DataOptions = DEFAULT,
    overrides: Annotated[Sequence[str], Parameter(name="--set", negative="")] = (),
    running: RunOptions = DEFAULT_RUNS,
) -> None:
    """Train a recipe with every combination of some settings, and compare the scores.

    With one setting, --write draws a line over its values; with two, a heat map. Differences are from the
    first combination. Finished runs are not repeated, and an interrupted command goes on where it was.

    Args:
        recipe: name of a recipe, or a YAML file.
        grid: key.path=value,value,..., such as stages.0.optimizer.lr=0.001,0.01; one or more.
        data: the data set to train and test on, or 'synthetic' for people that are drawn.
        overrides: key.path=value for every run; may be repeated.
    """
    if not grid:
        raise UserError("Name a setting and its values, such as stages.0.optimizer.lr=0.001,0.01.")
    from resight.tables.grids import grid_table
    from resight.tables.plan import Request
    from resight.tables.sources import is_classification

    metrics = ("top1_error",) if is_classification(data) else ("mAP", "rank1")
    request = Request(
        name=f"sweep-{recipe.rpartition('/')[2].removesuffix('.yaml')}",
        table=grid_table(recipe, grid, overrides, metrics),
        data=(data,),
        reading={name: value for name, value in reading.arguments().items() if value is not None},
        runs=running.runs,
        epochs_scale=running.epochs_scale,
        other_versions=running.other_versions,
        out=running.out,
        device=running.device,
    )
    run_and_print(request, running)

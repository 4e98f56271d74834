"""``resight sweep``: train every combination of some recipes and settings, and compare the scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.table_options import DEFAULT_RUNS, RunOptions, run_and_print
from resight.errors import UserError


def sweep(
    recipes: str,
    *grid: str,
    data: str,
    reading: DataOptions = DEFAULT,
    overrides: Annotated[Sequence[str], Parameter(name="--set", negative="")] = (),
    running: RunOptions = DEFAULT_RUNS,
) -> None:
    """Train every combination of some recipes and settings, and compare the scores.

    With one setting, --write draws a line over its values; with two, a heat map; of recipes alone, bars.
    Differences are from the first combination. Finished runs are not repeated, and an interrupted command
    goes on where it was.

    Args:
        recipes: name of a recipe, or a YAML file; or several, with commas between: sal-fast,sn-fast.
        grid: key.path=value,value,..., such as stages.0.optimizer.lr=0.001,0.01; one or more, unless there
            are several recipes.
        data: the data set to train and test on, or 'synthetic' for people that are drawn.
        overrides: key.path=value for every run; may be repeated.
    """
    names = recipes.split(",")
    if not grid and len(names) == 1:
        raise UserError(
            "Name a setting and its values, such as stages.0.optimizer.lr=0.001,0.01, or several recipes, "
            "such as sal-fast,sn-fast."
        )
    from resight.tables.grids import grid_table
    from resight.tables.plan import Request
    from resight.tables.sources import is_classification

    metrics = ("top1_error",) if is_classification(data) else ("mAP", "rank1")
    request = Request(
        name="sweep-recipes" if len(names) > 1 else f"sweep-{Path(recipes).name.removesuffix('.yaml')}",
        table=grid_table(names, grid, overrides, metrics),
        data=(data,),
        reading={name: value for name, value in reading.arguments().items() if value is not None},
        runs=running.runs,
        epochs_scale=running.epochs_scale,
        other_versions=running.other_versions,
        out=running.out,
        device=running.device,
    )
    run_and_print(request, running)

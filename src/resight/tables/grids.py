"""Grids of recipes and settings as tables: a row for each combination."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import yaml

from resight.errors import UserError
from resight.tables.table import ANY, Column, Plot, Row, Table
from resight.training.reading import load_yaml

EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
"""A number that YAML takes for text, because it has no point or no sign in the exponent."""


def grid_table(
    recipes: Sequence[str],
    grid: Sequence[str],
    overrides: Sequence[str] = (),
    metrics: Sequence[str] = ("mAP", "rank1"),
) -> Table:
    """Return the table of every combination of some recipes and settings.

    Args:
        recipes: names or files; one or more.
        grid: ``key.path=value,value,...`` each.
        overrides: ``key.path=value`` for every row.
        metrics: of the column; the first is plotted.

    Raises:
        UserError: a setting has no values, or the same one twice; a recipe is named twice.
    """
    axes = [_axis(text) for text in grid]
    keys = [key for key, _ in axes]
    if any(text.partition("=")[0] == "seed" for text in (*grid, *overrides)):
        raise UserError(
            "The seeds of a sweep are 0, 1, ...: give their number by --runs instead of a setting."
        )
    if twice := next((name for name in recipes if recipes.count(name) > 1), None):
        raise UserError(f"The recipe {twice} is named twice. Name each one once.")
    if both := next((key for key in keys if any(text.partition("=")[0] == key for text in overrides)), None):
        raise UserError(f"The setting {both} has its values in the grid: leave out --set {both}.")
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(
            f"The setting {twice} is given twice: give all of its values at once, with commas between."
        )
    rows = []
    several = len(recipes) > 1
    for recipe, *values in itertools.product(recipes, *(values for _, values in axes)):
        sets = [f"{key}={_text(value)}" for key, value in zip(keys, values, strict=True)]
        named = [recipe] if several else []
        shown = [*named, *values]
        number = shown[0] if isinstance(shown[0], int | float) and not isinstance(shown[0], bool) else None
        rows.append(
            Row.model_validate(
                {"name": ", ".join([*named, *sets]), "recipe": recipe, "set": (*overrides, *sets)}
                | {"x": number if len(shown) == 1 else None, "labels": tuple(map(_text, shown))}
            )
        )
    keys = [*(["recipe"] if several else []), *keys]
    kind = "bars" if keys == ["recipe"] else {1: "lines", 2: "heat"}.get(len(keys))
    return Table(
        title=f"{', '.join(recipes)}: {' x '.join(keys)}",
        columns=(Column(metrics=tuple(metrics), data=ANY),),
        rows=tuple(rows),
        reference=rows[0].name,
        plot=None
        if kind is None
        else Plot(
            kind=kind,
            metric=metrics[0],
            x_label=keys[0],
            y_label=keys[-1],
            log=_far_apart([row.x for row in rows]),
        ),
    )


def _far_apart(values: Sequence[float | None]) -> bool:
    """Return whether values belong on a logarithmic axis: none is negative, and two differ by 100 times."""
    if any(value is None or value < 0 for value in values):
        return False
    above = [value for value in values if value]
    return len(above) > 1 and max(above) >= 100 * min(above)


def _axis(text: str) -> tuple[str, list[Any]]:
    key, equals, values = text.partition("=")
    if not equals or not key or not values:
        raise UserError(
            f"'{text}' is no setting with values. Write key.path=value,value, such as "
            "stages.0.optimizer.lr=0.001,0.01."
        )
    try:
        found = load_yaml(f"[{values}]")
    except yaml.YAMLError as error:
        raise UserError(f"The values of '{text}' are no YAML: {error}") from None
    found = [float(one) if isinstance(one, str) and EXPONENT.fullmatch(one) else one for one in found]
    if len({_text(value) for value in found}) < len(found):
        raise UserError(f"'{text}' has the same value twice.")
    return key, found


def _text(value: Any) -> str:
    """Return a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()

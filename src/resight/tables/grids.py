"""Grids of settings as tables: a row for each combination."""

import itertools
from collections.abc import Sequence
from typing import Any

import yaml

from resight.errors import UserError
from resight.tables.table import Column, Plot, Row, Table

ANY = "any"
"""The data of a grid's column: what the user names."""


def grid_table(
    recipe: str, grid: Sequence[str], overrides: Sequence[str] = (), metrics: Sequence[str] = ("mAP", "rank1")
) -> Table:
    """Return the table of a recipe with every combination of some settings.

    Args:
        recipe: name or file.
        grid: ``key.path=value,value,...`` each.
        overrides: ``key.path=value`` for every row.
        metrics: of the column; the first is plotted.

    Raises:
        UserError: a setting has no values, or the same one twice.
    """
    axes = [_axis(text) for text in grid]
    keys = [key for key, _ in axes]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(
            f"The setting {twice} is given twice: give all of its values at once, with commas between."
        )
    rows = []
    for values in itertools.product(*(values for _, values in axes)):
        sets = [f"{key}={_text(value)}" for key, value in zip(keys, values, strict=True)]
        number = values[0] if isinstance(values[0], int | float) and not isinstance(values[0], bool) else None
        rows.append(
            Row.model_validate(
                {"name": ", ".join(sets), "recipe": recipe, "set": (*overrides, *sets)}
                | {"x": number if len(axes) == 1 else None, "labels": tuple(map(_text, values))}
            )
        )
    kind = {1: "lines", 2: "heat"}.get(len(axes))
    return Table(
        title=f"{recipe}: {' x '.join(keys)}",
        columns=(Column(metrics=tuple(metrics), data=ANY),),
        rows=tuple(rows),
        reference=rows[0].name,
        plot=None if kind is None else Plot(kind=kind, metric=metrics[0], x_label=keys[0], y_label=keys[-1]),
    )


def _axis(text: str) -> tuple[str, list[Any]]:
    key, equals, values = text.partition("=")
    if not equals or not key or not values:
        raise UserError(
            f"'{text}' is no setting with values. Write key.path=value,value, such as "
            "stages.0.optimizer.lr=0.001,0.01."
        )
    try:
        found = yaml.safe_load(f"[{values}]")
    except yaml.YAMLError as error:
        raise UserError(f"The values of '{text}' are no YAML: {error}") from None
    if len({_text(value) for value in found}) < len(found):
        raise UserError(f"'{text}' has the same value twice.")
    return key, found


def _text(value: Any) -> str:
    """Return a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()

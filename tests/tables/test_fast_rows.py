"""With ``--fast``, two rows differ in what they differ in without: no other setting is lost on the way.

Of a stage, this is what it trains on and for. A ``-fast`` recipe may have other stages, epochs and schedules.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from resight.tables.reading import load_table, table_files
from resight.tables.table import Row, Table
from resight.training.reading import load_recipe, recipe_files

Settings = dict[str, set[str]]


def settings_of(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield each setting below a place; parts of a list are told apart by their names, stages are not."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from settings_of(below, f"{place}.{key}")
    elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        for part in value:
            name = "" if place == ".stages" else part.get("term", part.get("name"))
            yield from settings_of(part, f"{place}[{name}]")
    else:
        yield place, json.dumps(value)


def collected(recipe: str, overrides: tuple[str, ...]) -> Settings:
    """Return the values of each setting of the network and the objectives, over all stages."""
    found: Settings = {}
    values = load_recipe(recipe, overrides, fitting=False).as_dict()
    stages = [{key: stage[key] for key in ("augment", "objective", "sampler")} for stage in values["stages"]]
    for place, value in settings_of({"model": values["model"], "stages": stages}):
        found.setdefault(place, set()).add(value)
    return found


def differing(one: Settings, other: Settings) -> set[str]:
    return {place for place in one.keys() | other.keys() if one.get(place) != other.get(place)}


def fast_of(table: Table, row: Row) -> tuple[str, tuple[str, ...]] | None:
    if row.recipe is None:
        return None
    name = table.fast.get(row.recipe, f"{row.recipe}-fast")
    return (name, row.overrides if row.fast is None else row.fast) if name in recipe_files() else None


@pytest.mark.parametrize("name", table_files())
def test_rows_that_are_compared_differ_in_the_same_settings_when_they_are_fast(name: str) -> None:
    table = load_table(name)
    rows = {row.name: row for row in table.rows}
    for row, over in {(claim.row, claim.over) for claim in table.claims}:
        pair = rows[row], rows[over]
        fast = [fast_of(table, one) for one in pair]
        if fast[0] is None or fast[1] is None:
            continue
        whole = differing(*(collected(one.recipe or "", one.overrides) for one in pair))
        quick = differing(collected(*fast[0]), collected(*fast[1]))
        assert not {".model.descriptor", ".model.views"} & (quick | whole), (row, over)  # tested alike
        assert quick <= whole, (row, over)
        assert bool(quick) == bool(whole), (row, over)

"""docs/images/draw.py: which pictures a run is good for depends on its network and losses."""

import runpy
from pathlib import Path

import pytest

from resight.training.reading import load_recipe

DRAW = Path(__file__).parents[2] / "docs" / "images" / "draw.py"


@pytest.mark.parametrize(
    ("recipe", "pictures"),
    [
        ("han-small-fast", ["ranked", "han"]),
        ("sal-fast", ["sal"]),
        ("sona-2-fast", ["sona"]),
        ("sona-23", ["sona"]),
        ("sona-3-fast", ["sona"]),
        ("sona-plain-fast", []),
        ("sharp-fast", ["sharp", "sharp_draws"]),
        ("sn", ["neighbours"]),
        ("softmax-fast", []),
    ],
)
def test_pictures_of_recipes(recipe: str, pictures: list[str]) -> None:
    figures_of = runpy.run_path(str(DRAW))["figures_of"]
    assert [
        draw.__name__ for draw in figures_of(load_recipe(recipe, ["name=own"], fitting=False))
    ] == pictures

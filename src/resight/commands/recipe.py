"""``resight recipe``: show and list recipes."""

import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from resight.commands.options import Flag
from resight.commands.output import print_json, print_table


def show(
    name: str,
    *,
    overrides: Annotated[Sequence[str], Parameter(name="--set", negative="")] = (),
    json: Flag = False,
) -> None:
    """Print a recipe in full, with every default filled in.

    Args:
        name: a recipe that comes with Resight, or a YAML file.
        overrides: key.path=value, such as stages.0.epochs=20; may be repeated.
        json: print it as JSON.
    """
    from resight.training.reading import load_recipe

    recipe = load_recipe(name, overrides)
    if json:
        print_json(recipe.as_dict())
    else:
        sys.stdout.write(recipe.to_yaml())


def list_recipes(*, json: Flag = False) -> None:
    """List the recipes that come with Resight.

    Args:
        json: print a list of objects.
    """
    from resight.training.reading import load_recipe, recipe_files

    recipes = [load_recipe(name, fitting=False) for name in recipe_files()]
    if json:
        print_json(
            [
                {"name": recipe.name, "description": recipe.description, "model": recipe.model.name}
                | {"epochs": recipe.epochs, "source": recipe.source}
                for recipe in recipes
            ]
        )
    else:
        rows = [[recipe.name, recipe.description, recipe.model.name, recipe.epochs] for recipe in recipes]
        print_table(["Recipe", "What it is", "Model", "Epochs"], rows)

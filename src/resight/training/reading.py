"""Reading recipes: YAML to typed data, checked before anything runs; mistakes are named by path."""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from resight.errors import UserError, did_you_mean
from resight.program import command_line
from resight.training.components import REGISTRIES, TermFrame
from resight.training.fitting import incompatibilities
from resight.training.recipe import Labelling, Recipe, Stage

FOLDER = Path(__file__).parents[1] / "recipes"
"""The recipes that come with Resight: one folder per paper."""


def names_file(name: str | Path) -> bool:
    """Return whether a name is that of a YAML file, and not of something that comes with Resight."""
    return Path(name).suffix in (".yaml", ".yml")


def recipe_files() -> dict[str, Path]:
    """Return the recipes that come with Resight: name -> file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*/*.yaml"))}


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = (), *, fitting: bool = True) -> Recipe:
    """Read a recipe, apply overrides such as ``stages.0.epochs=2``, and check the result.

    Args:
        name_or_path: the name of a recipe that comes with Resight, or a YAML file.
        overrides: ``key.path=value`` each, the value in YAML.
        fitting: also check that its parts fit each other, which takes a third of a second.

    Raises:
        UserError: there is no such recipe, or it has mistakes: all are listed, each with its path.
    """
    path = _find(name_or_path)
    content = _read(path)
    for override in overrides:
        _override(content, override)
    return parse_recipe(content, f"recipe {name_or_path}", fitting=fitting)


def parse_recipe(content: Mapping[str, Any], title: str, *, fitting: bool = True) -> Recipe:
    """Check plain data and return the recipe; ``title`` names it in errors.

    Raises:
        UserError: there are mistakes: all are listed, each with its path.
    """
    try:
        recipe = Recipe.model_validate(content)
        mistakes = incompatibilities(recipe) if fitting else []
    except ValidationError as error:
        mistakes = [(_path(item["loc"]), _explain(item, content)) for item in error.errors()]
    if mistakes:
        count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = [f"  {place}: {sentence}" for place, sentence in mistakes]
        raise UserError("\n".join([f"The {title} has {count}:", *lines]))
    return recipe


def refuse_labelling(recipe: Recipe) -> None:
    """Refuse to train a recipe that is for adapting.

    Raises:
        UserError: the recipe says how to make pseudo-labels.
    """
    if recipe.labelling is not None:
        raise UserError(
            f"The recipe {recipe.name} adapts a model to crops without labels, and trains none: "
            f"{command_line('adapt', 'MODEL', '--data', 'CROPS', '--recipe', recipe.name)}"
        )


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if names_file(path):
        if not path.is_file():
            raise UserError(f"There is no recipe file {path}.")
        return path
    known = recipe_files()
    if str(name_or_path) not in known:
        listed = "'resight recipe list' lists those that come with Resight; name your own as FILE.yaml."
        raise UserError(f"Unknown recipe '{name_or_path}'.{did_you_mean(str(name_or_path), known, listed)}")
    return known[str(name_or_path)]


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML file; if it has a ``base``, its keys override that recipe's.

    ``above``: the files that build on this one.
    """
    if path in above:
        raise UserError(f"The recipe {path} builds on itself: {' -> '.join(map(str, (*above, path)))}.")
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"The recipe {path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(
            f"The recipe {path} should be a mapping with the keys {', '.join(Recipe.model_fields)}."
        )
    content.setdefault("name", path.stem)
    base = content.pop("base", None)
    if base is None:
        return content
    beside = path.parent / str(base)
    under = _read(beside if beside.is_file() else _find(str(base)), (*above, path))
    return _laid_over(under, content)


def _laid_over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge mappings key by key; a list, or a component with another name, replaces the old value."""
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        same = (
            isinstance(old, dict)
            and isinstance(value, dict)
            and value.get("name", old.get("name")) == old.get("name")
        )
        merged[key] = _laid_over(old, value) if same else value  # type: ignore[arg-type]
    return merged


def load_yaml(text: str) -> Any:
    """Return the content of a YAML document, in which no key may be repeated.

    Raises:
        yaml.YAMLError: it is none, or has a value that is none, such as the date 2020-13-45.
    """
    try:
        return yaml.load(text, Loader=StrictLoader)
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from None


def _override(content: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"'{override}' is no override. Write key.path=value, such as stages.0.epochs=20.")
    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        raise UserError(f"The value of '{override}' is no YAML: {error}") from None
    place: Any = content
    for depth, key in enumerate(keys):
        here = ".".join(keys[:depth]) or "the recipe"
        index: Any = key
        if isinstance(place, list):
            if not key.isdecimal() or int(key) >= len(place):
                raise UserError(
                    f"Cannot set {path}: {here} is a list: its entries are 0 to {len(place) - 1}; got {key}."
                )
            index = int(key)
        elif not isinstance(place, dict):
            raise UserError(f"Cannot set {path}: {here} is the value {place!r}, which has no keys.")
        if depth == len(keys) - 1:
            place[index] = value
        else:
            inner = place[index] if isinstance(place, list) else place.get(index, {})
            place[index] = copy(inner)  # an anchor may share it with other places
            place = place[index]


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))


def _explain(error: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """Describe what is wrong at a place and what was got; for an unknown key, suggest a known one."""
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        return f"unknown key.{did_you_mean(str(location[-1]), _known_keys(location[:-1], content))}"
    if error["type"] == "missing":
        return "is missing."
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("component", "value_error"):
        return str(message)
    return f"{message}; got {error['input']!r}."


def _known_keys(location: tuple[int | str, ...], content: Any) -> set[str]:
    """Return the keys that are allowed at a place of the recipe."""
    if not location:
        return {*Recipe.model_fields, "base"}
    if location[0] == "stages" and len(location) == 2:
        return set(Stage.model_fields)
    if location[0] == "labelling":
        return set(Labelling.model_fields)
    for key in location:
        alone = key == 0 and isinstance(content, Mapping)  # one component in place of a list
        content = content if alone else content[key]
    kind = next(key for key in reversed(location) if key in REGISTRIES)
    registry = REGISTRIES[str(kind)]
    if kind == "objective":
        return {"term", *TermFrame.model_fields, *registry.settings(content["term"]).model_fields}
    return {"name", *registry.settings(content["name"]).model_fields}


class StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, but a duplicate key is an error."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # without the keys that '<<' adds
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(
                None, None, "this mapping has a duplicate key", node.start_mark
            )
        return node

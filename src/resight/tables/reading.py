"""Reading tables: those that come with Resight, and files of a user's own that may build on one of them."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from resight.errors import UserError, did_you_mean
from resight.registry import Settings
from resight.tables.table import Claim, Column, Plot, Row, Table
from resight.training.reading import load_yaml, names_file

FOLDER = Path(__file__).parent
ADDED = ("rows", "claims")
"""Lists that a file adds to those of its base; its other keys replace the base's."""


PARTS: dict[Any, type[Settings]] = {"rows": Row, "claims": Claim, "columns": Column, "plot": Plot}
WORDS = {
    "tuple_type": "should be a list",
    "model_type": "should be a mapping",
    "dict_type": "should be a mapping",
    "string_type": "should be text",
}
"""Kind of a mistake -> what is expected, in YAML's words."""


def table_files() -> dict[str, Path]:
    """Return the tables that come with Resight: name, such as ``sona/table5`` -> file."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(FOLDER.glob("*/*.yaml"))}


def load_table(name: str) -> Table:
    """Read a table.

    Args:
        name: of one that comes with Resight; or a YAML file in the same format. If that has a ``base``, its
            rows and claims are added to that table's.

    Raises:
        UserError: there is no such table, or the file has mistakes: all are listed, each with its place.
    """
    if not names_file(name):
        return Table.model_validate(_shipped(name))
    content = _own(Path(name))
    try:
        return Table.model_validate(content)
    except ValidationError as error:
        mistakes = error.errors()
        if len(mistakes) > 1:  # a list with a mistake counts as empty, which is none of the user's
            mistakes = [one for one in mistakes if one["type"] != "too_short"] or mistakes
        lines = dict.fromkeys(f"  {_place(one['loc'], content)}: {_explain(one)}" for one in mistakes)
        raise UserError("\n".join([f"The table {name} has mistakes:", *lines])) from None


def _shipped(name: str) -> dict[str, Any]:
    known = table_files()
    if name not in known:
        listed = "'resight reproduce --list' lists them; name your own as FILE.yaml."
        raise UserError(f"Unknown table '{name}'.{did_you_mean(name, known, listed)}")
    found: dict[str, Any] = yaml.safe_load(known[name].read_text(encoding="utf-8"))
    return found


def _own(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The table file {path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The table file {path} is no YAML: {error}") from None
    if not isinstance(content, dict):
        keys = ", ".join(("base", *Table.model_fields))
        raise UserError(f"The table file {path} should be a mapping with the keys {keys}.")
    rows = content.get("rows")
    for row in rows if isinstance(rows, list) else ():
        recipe = Path(str(row.get("recipe"))) if isinstance(row, dict) else Path()
        if names_file(recipe) and (beside := path.parent / recipe).is_file():
            row["recipe"] = str(beside)
    if (base := content.pop("base", None)) is None:
        return content
    if names_file(str(base)):
        raise UserError(f"The base of {path} is {base}; it must be a table that comes with Resight.")
    if "columns" in content:
        raise UserError(f"The table file {path} has the columns of its base. Leave out 'columns' or 'base'.")
    under = _shipped(str(base))
    for key in ADDED:
        if isinstance(added := content.get(key, []), list):
            content[key] = [*under.get(key, []), *added]
    return under | content


def _place(location: tuple[int | str, ...], content: dict[str, Any]) -> str:
    """Return where a mistake is, with the name of a row or the text of a claim for its number."""
    if len(location) > 1 and location[0] in ADDED:
        found: Any = content[str(location[0])][location[1]]
        if isinstance(found, dict) and (named := found.get("name", found.get("text"))):
            return ": ".join([f"{str(location[0]).removesuffix('s')} '{named}'", *map(str, location[2:])])
    return ".".join(map(str, location)) or "the table"


def _explain(error: Any) -> str:
    """Return a sentence about a mistake."""
    kind, location = error["type"], error["loc"]
    if kind == "extra_forbidden":
        fields = PARTS.get(location[0], Table) if len(location) > 1 else Table
        known = {field.alias or name for name, field in fields.model_fields.items()}
        return (
            f"unknown key.{did_you_mean(str(location[-1]), known | ({'base'} if fields is Table else set()))}"
        )
    if kind == "missing":
        return "is missing."
    message = WORDS.get(kind, error["msg"].removeprefix("Value error, "))
    return message if kind == "value_error" else f"{message.rstrip('.')}; got {error['input']!r}."

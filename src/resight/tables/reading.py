"""Reading tables: those that come with Resight, and files of a user's own that may build on one of them."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from resight.errors import UserError, did_you_mean
from resight.tables.table import Row, Table

FOLDER = Path(__file__).parent
ADDED = ("rows", "claims")
"""Lists that a file adds to those of its base; its other keys replace the base's."""


def table_files() -> dict[str, Path]:
    """Return the tables that come with Resight: name, such as ``sona/table5`` -> file."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(FOLDER.glob("*/*.yaml"))}


def load_table(name: str) -> Table:
    """Read a table.

    Args:
        name: of one that comes with Resight; or a YAML file in the same format. If that has a ``base``, its
            rows and claims are added to that table's.

    Raises:
        UserError: there is no such table, or the file has mistakes: all are listed, each with its path.
    """
    if Path(name).suffix not in (".yaml", ".yml"):
        return Table.model_validate(_shipped(name))
    content = _own(Path(name))
    try:
        return Table.model_validate(content)
    except ValidationError as error:
        lines = (f"  {place}: {sentence}" for place, sentence in map(_mistake, error.errors()))
        raise UserError("\n".join([f"The table {name} has mistakes:", *dict.fromkeys(lines)])) from None


def _shipped(name: str) -> dict[str, Any]:
    known = table_files()
    if name not in known:
        listed = "'resight reproduce --list' lists them; name your own as FILE.yaml."
        raise UserError(f"Unknown table '{name}'.{did_you_mean(name, known, listed)}")
    found: dict[str, Any] = yaml.safe_load(known[name].read_text(encoding="utf-8"))
    return found


def _own(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"The table {path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        keys = ", ".join(("base", *Table.model_fields))
        raise UserError(f"The table {path} should be a mapping with the keys {keys}.")
    for row in filter(lambda row: isinstance(row, dict), content.get("rows") or ()):
        beside = path.parent / str(row.get("recipe"))
        if beside.is_file():
            row["recipe"] = str(beside)
    if (base := content.pop("base", None)) is None:
        return content
    under = _shipped(str(base))
    for key in ADDED:
        if isinstance(added := content.get(key, []), list):
            content[key] = [*under.get(key, []), *added]
    return under | content


def _mistake(error: Any) -> tuple[str, str]:
    """Return where a mistake is, and a sentence about it."""
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        fields = Row.model_fields if location[0] == "rows" else Table.model_fields
        known = {field.alias or name for name, field in fields.items()} | {"base"}
        sentence = f"unknown key.{did_you_mean(str(location[-1]), known)}"
    elif error["type"] == "missing":
        sentence = "is missing."
    else:
        sentence = error["msg"].removeprefix("Value error, ")
    return ".".join(map(str, location)) or "the table", sentence

"""The model that comes with Resight: it was trained on drawn people alone."""

from pathlib import Path

import resight

NAME = "drawn-people"
"""Name by which every command and ``load_model`` take it."""

FOLDER = Path(resight.__file__).absolute().parent / "packaged" / NAME
"""Its model folder; ``docs/guides/packaged-model.md`` is its card."""

ABOUT = (
    "It was trained on drawn people alone, and is weak on real ones (docs/guides/packaged-model.md): name a "
    "better one with --model."
)
"""What users are told who named no model."""


def find_packaged(source: Path | str) -> Path:
    """Return the folder of the model if ``source`` is its name; any other source as it is.

    A file or folder of the same name in the current folder comes first.
    """
    source = Path(source).expanduser()
    return FOLDER if source == Path(NAME) and not source.exists() else source


def source_name(source: Path) -> str:
    """Return what records name a model's source by: the path, or ``NAME``, which survives an installation."""
    return NAME if source == FOLDER else str(source)

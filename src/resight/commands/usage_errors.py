"""Errors in how a command was typed, which Cyclopts finds."""

import os

from cyclopts import CycloptsError, CycloptsPanel, UnusedCliTokensError
from rich.console import Console

from resight.folders import IMAGE_SUFFIXES
from resight.names import printable_lines

SHOWN = 3
"""Arguments that are named of those that a command has no use for."""


def print_usage_error(error: CycloptsError) -> None:
    """Print an error in a frame, as Cyclopts does; of many arguments that are too many, only the first."""
    too_many = isinstance(error, UnusedCliTokensError) and error.unused_tokens
    console = error.console or Console(stderr=True)
    sentence = _too_many(error.unused_tokens or []) if too_many else str(error)
    console.print(CycloptsPanel(printable_lines(sentence)))


def _too_many(words: list[str]) -> str:
    named = ", ".join(f"'{word}'" for word in words[:SHOWN])
    more = f" and {len(words) - SHOWN:,} more" if len(words) > SHOWN else ""
    sentence = f"The command does not take these arguments: {named}{more}."
    folder, name = os.path.split(words[0])
    if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and os.path.isfile(words[0]):
        sentence += f" '{words[0]}' is a picture. If its folder is meant, name that: {folder or '.'}"
    return sentence

"""Names of files and labels, which may be any bytes, as text to store and to print."""

import re

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that steer a terminal, break a line or turn the direction of writing."""


def readable(name: str) -> str:
    """Return a file's name as valid text: bytes that are no UTF-8 become ``\\xd5``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def printable(name: str) -> str:
    """Return a name as one line for a terminal: ``readable``, and control characters become ``\\x1b``."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), readable(name))


def printable_lines(text: str) -> str:
    """Return text with names in it for a terminal: ``printable``, but its lines remain."""
    return "\n".join(map(printable, text.split("\n")))

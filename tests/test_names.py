"""Names of files and labels as text."""

import os

import pytest

from resight.names import printable, printable_lines, readable

ESCAPED = {
    "plain name.jpg": "plain name.jpg",
    "Töpferstraße Ж 人 👩‍🦰\u202f\u3000.jpg": "Töpferstraße Ж 人 👩‍🦰\u202f\u3000.jpg",
    "a\033[31m\033[2J.jpg": r"a\x1b[31m\x1b[2J.jpg",
    "a\nb\tc\r.jpg": r"a\nb\tc\r.jpg",
    "a\x9b2J\x7f.jpg": r"a\x9b2J\x7f.jpg",
    "a\u202egpj.exe": r"a\u202egpj.exe",
}


@pytest.mark.parametrize(("name", "shown"), ESCAPED.items())
def test_what_steers_a_terminal_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert readable(name) == name


def test_bytes_that_are_no_text_are_escaped() -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    assert readable(name) == printable(name) == r"caf\xe9.jpg"


def test_lines_of_a_message_remain() -> None:
    assert printable_lines("a\033\nb") == "a\\x1b\nb"

"""What is left out is counted by reason."""

import pytest

from resight.commands.output import print_left_out
from resight.left_out import LeftOut


def test_counts_by_reason_and_keeps_the_first_example() -> None:
    left_out = LeftOut()
    assert not left_out
    assert left_out.as_list() == []
    left_out.add("an empty file", "a.jpg")
    left_out.add("a note", "n.txt", count=0)
    other = LeftOut()
    other.add("a box of a bicycle", "frame 3", count=2)
    other.add("an empty file", "b.jpg")
    left_out.update(other)
    left_out.add("a box of a bicycle", "frame 9")
    assert left_out.total() == 5
    assert left_out.as_list() == [
        {"reason": "a box of a bicycle", "count": 3, "example": "frame 3"},
        {"reason": "an empty file", "count": 2, "example": "a.jpg"},
    ]


def test_is_printed_as_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = LeftOut()
    print_left_out(left_out)
    assert capsys.readouterr().out == ""
    left_out.add("an empty file", "[a].jpg", count=1234)
    print_left_out(left_out)
    table = capsys.readouterr().out
    for word in ("Left out", "First example", "an empty file", "1,234", "[a].jpg"):
        assert word in table

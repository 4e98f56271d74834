"""Tables on the terminal: figures are never broken, whatever the width."""

import json

import pytest

from resight.commands.output import print_json, print_table
from resight.progress import say

COLUMNS = ("Row", *(f"score {number}, paper" for number in range(8)))
ROWS = [("a row with a name of many words", *("87.50 ± 0.16",) * 8), ("short", *("-",) * 8)]


@pytest.mark.parametrize("width", [50, 80, 120])
def test_columns_that_do_not_fit_are_printed_below(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(COLUMNS, ROWS, title="A title")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    assert out.count("87.50 ± 0.16") == 8
    assert out.count("A title") == out.count("│ short") > 1


def test_words_are_folded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_table(("Row", "Claim", "Shows"), [("a", "one word after another " * 5, "yes")], left=(0, 1, 2))
    out = capsys.readouterr().out
    assert out.count("┏") == 1
    assert max(map(len, out.splitlines())) <= 60


def test_whole_names_are_not_folded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    name = "a/name/that/somebody/copies"
    print_table(("Name", "Text"), [(name, "one word after another " * 5)], whole_names=True)
    assert name in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "20")  # where they would leave no room for the rest
    print_table(("Name", "Text"), [(name, "one word after another " * 5)], whole_names=True)
    assert "┃ Text" in " ".join(capsys.readouterr().out.replace("┃", " ┃").split())


def test_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["Row [x]", "[/y]"], [["[red]a", "[/]"]], title="Mine [/v2] [v3]")
    out = capsys.readouterr().out
    for text in ("Mine [/v2] [v3]", "Row [x]", "[/y]", "[red]a"):
        assert text in out


def test_a_pipe_has_no_width(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(COLUMNS, ROWS)
    assert capsys.readouterr().out.count("┏") == 1


def test_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\033[31m\x9b2J.jpg"
    print_table(["Name"], [[name]], title=name)
    say(name)
    for printed in capsys.readouterr():
        assert r"a\x1b[31m\x9b2J.jpg" in printed
        assert not {"\033", "\x9b"} & set(printed)
    print_json([name, "a\nb"])
    printed = capsys.readouterr().out
    assert not {"\033", "\x9b"} & set(printed)
    assert json.loads(printed) == [name, "a\nb"]

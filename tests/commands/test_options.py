"""The values of options, as they are typed."""

import sys
from pathlib import Path

import pytest
from calling import call

from resight.commands.main import main


@pytest.mark.parametrize(
    "words", [("--persons", "10.5"), ("--persons", 12, "--crops", "2.0"), ("--seed", "0.1")]
)
def test_a_fraction_of_a_whole_number_is_refused(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cyclopts 5.5.2 rounds it, also to 10 people for 10.5."""
    with pytest.raises(SystemExit):
        call("synthesize", tmp_path / "people", *words)
    said = " ".join(capsys.readouterr().err.replace("│", "").split())
    assert f"Invalid value for {words[-2]}: it must be a whole number; got {words[-1]}." in said
    assert not (tmp_path / "people").exists()


def test_of_too_many_arguments_the_first_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}.jpg").touch()
    monkeypatch.chdir(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())

    def said(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["resight", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        return " ".join(capsys.readouterr().err.replace("│", "").split())

    assert (
        "The command does not take these arguments: '01.jpg', '02.jpg', '03.jpg' and 26 more. '01.jpg' is a "
        "picture. If its folder is meant, name that: ." in said("data", "check", *names)
    )
    assert "arguments: 'b'. ╰" in said("data", "check", "a", "b")
    assert "'\\x1b[31mred'" in said("data", "check", "a", "\x1b[31mred")
    assert "Unknown option: --jsn. Did you mean --json?" in said("data", "check", "a", "--jsn")

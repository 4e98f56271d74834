"""``resight download``."""

import json
import sys
from pathlib import Path

import pytest

from resight.commands.main import app, main
from resight.models import pretrained
from resight.models.pretrained import Download


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that were asked of a library that finds everything in place."""
    names: list[str] = []

    def found(name: str) -> Download:
        names.append(name)
        return Download(
            Path("/cache/weights/resnet50-0676ba61.pth"), 102_530_333, "0676ba61" + "0" * 56, False
        )

    monkeypatch.setattr(pretrained, "download", found)
    return names


def test_json_is_one_object(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    app(["download", "resnet50", "--json"], result_action="return_value")
    assert asked == ["resnet50"]
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out) == {
        "name": "resnet50",
        "path": "/cache/weights/resnet50-0676ba61.pth",
        "bytes": 102_530_333,
        "sha256": "0676ba61" + "0" * 56,
        "fetched": False,
    }


@pytest.mark.usefixtures("asked")
def test_the_sentence_says_where_the_file_lies(capsys: pytest.CaptureFixture[str]) -> None:
    app(["download", "resnet50"], result_action="return_value")
    said = capsys.readouterr().out
    assert said.startswith(
        "/cache/weights/resnet50-0676ba61.pth was already downloaded: 102.5 MB, SHA-256 0676ba61"
    )


def test_an_unknown_name_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["resight", "download", "resnet5"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "Did you mean 'resnet50'?" in capsys.readouterr().err

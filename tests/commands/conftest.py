"""What tests of commands share; ``weights`` and what follows are for those of ``resight gallery``."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gallery_crops import crops

from resight.commands.main import main
from resight.models.network import build_model
from resight.models.weights import save_weights

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of weights of a tiny network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    trunk = {"name": "osnet", "width": 0.25}
    save_weights(build_model("pooled", 4, trunk=trunk, input_size=[64, 32]), path)
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a function that runs ``resight gallery`` and returns its JSON; or its output, or its error."""
    monkeypatch.setenv("RESIGHT_GALLERY", str(tmp_path / "gallery"))

    def call(*words: object, fails: bool = False, text: bool = False, quiet: bool = True) -> Any:
        arguments = ["resight", "gallery", *map(str, words), *([] if fails or text else ["--json"])]
        monkeypatch.setattr(sys, "argv", arguments)
        capsys.readouterr()
        with pytest.raises(SystemExit) if fails else _nothing() as stopped:  # type: ignore[attr-defined]
            try:
                main()
            except SystemExit as end:
                if fails or end.code:
                    raise
        out, error = capsys.readouterr()
        if fails:
            assert stopped.value.code == 1
            assert not (quiet and out)
            return error
        return out if text else json.loads(out)

    return call


class _nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the notes that commands print."""
    notes: list[str] = []
    for module in ("gallery", "gallery_output"):
        monkeypatch.setattr(f"resight.commands.{module}.say", notes.append)
    return notes


@pytest.fixture
def filled(run: Run, weights: Path, tmp_path: Path) -> Path:
    """Return the folder of crops whose gallery part was added."""
    data = crops(tmp_path / "data")
    added = run("add", data, "--part", "gallery", "--model", weights, "--time", "name", "--tag", "demo")
    assert (added["new"], added["known"], added["crops"]) == (18, 0, 18)
    return data

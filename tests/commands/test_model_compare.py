"""``resight model compare``."""

import json
from pathlib import Path

import numpy as np
import pytest
from calling import call, call_json
from onnx_files import write_embedder
from PIL import Image

from resight.commands.model_compare import compare
from resight.errors import UserError
from resight.inference.embedder import Embedder

PLAIN = ("--value-range", "255", "--mean", "0", "--deviation", "1")


def write_crops(folder: Path, persons: int = 4, noise: int = 120) -> Path:
    """Write crops of noise, two of each person by two cameras, alike for one person."""
    generator = np.random.default_rng(0)
    for person in range(1, persons + 1):
        own = generator.integers(0, 256 - noise, (16, 8, 3))
        for part, camera in (("query", 1), ("bounding_box_test", 2)):
            picture = (own + generator.integers(0, noise, own.shape)).astype(np.uint8)
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / part / f"{person:04}_c{camera}s1_000001_00.png")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    for name, width in (("narrow", 6), ("wide", 12)):
        write_embedder(tmp_path / f"{name}.onnx", width=width)
        call("model", "import", tmp_path / f"{name}.onnx", "--out", tmp_path / name, *PLAIN)
    return [tmp_path / "narrow", tmp_path / "wide"]


@pytest.fixture(autouse=True)
def _no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not start processes, nor measure for seconds."""
    monkeypatch.setattr("resight.report.comparison._megabytes", lambda embedder: 12.0)
    monkeypatch.setattr("resight.inference.runtimes.choice.ROUND", 0.0)
    monkeypatch.setattr("resight.inference.runtimes.choice.ROUNDS", 1)


def test_every_model_is_scored_on_every_set(
    models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (write_crops(tmp_path / name, count) for name, count in (("first", 4), ("second", 6)))
    out = tmp_path / "out"
    gone = tmp_path / "gone"
    found = call_json(capsys, "model", "compare", *models, "--data", first, second, gone, "--out", out)
    assert [(one["model"], one["data"]) for one in found["scores"]] == [
        (model, data) for model in ("narrow", "wide") for data in ("first", "second")
    ]
    for one in found["scores"]:
        assert 0 <= one["mAP"]["low"] <= one["mAP"]["value"] <= one["mAP"]["high"] <= 1
        assert one["queries"] == {"first": 4, "second": 6}[one["data"]]
        assert one["trained_on"] is None
    # a 4x4 convolution of 3 to 4 channels at 4x2 places, and a linear layer from 32 numbers
    costs = [(one["parameters"], one["multiply_adds"]) for one in found["models"]]
    assert costs == [(192 + 32 * width, 192 * 8 + 32 * width) for width in (6, 12)]
    assert all(one["milliseconds_one"] > 0 < one["milliseconds_batch"] for one in found["models"])
    assert found["left_out"] == [
        {"path": str(gone), "reason": f"There is no folder {gone}. Name the folder that holds the data set."}
    ]
    assert json.loads((out / "comparison.json").read_text()) == found
    page = (out / "comparison.md").read_text()
    assert f"- Left out: {gone}." in page
    value = found["scores"][0]["mAP"]
    cell = f"{100 * value['value']:.1f} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"
    assert f"| narrow | mAP | {cell} |" in page
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr(Embedder, "embed", refuse)
    again = call_json(capsys, "model", "compare", *models, "--data", first, second, "--out", out)
    assert again["scores"] == found["scores"]
    call("model", "compare", models[0], "--data", first, "--out", out)
    shown = capsys.readouterr().out
    assert "narrow" in shown
    assert "95 % intervals" in shown


def test_what_is_missing_is_said_before_anything_runs(
    models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resight.report.comparison.embed_benchmark", stop)
    data, gone = write_crops(tmp_path / "data"), tmp_path / "gone"
    with pytest.raises(KeyboardInterrupt, match="goes on where it was"):
        compare(*models, gone, data=[data, gone], out=tmp_path / "out")
    said = capsys.readouterr().err
    assert said.count(f"Left out: {gone}.") == 2
    assert said.index("Left out") < said.index("1 of 2: narrow on data.")
    with pytest.raises(UserError, match="There are no data sets: There is no folder"):
        compare(*models, data=[gone], out=tmp_path / "out")
    with pytest.raises(UserError, match="There are no models: The file or folder"):
        compare(gone, data=[data], out=tmp_path / "out")


def test_a_model_that_cannot_be_used_fails_alone(
    models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_embedder(tmp_path / "zero.onnx", zero=True)
    call("model", "import", tmp_path / "zero.onnx", "--out", tmp_path / "zero", *PLAIN)
    data = write_crops(tmp_path / "data")
    found = call_json(
        capsys, "model", "compare", tmp_path / "zero", models[0], "--data", data, "--out", tmp_path / "out"
    )
    failed, fine = found["scores"]
    assert "as zeros, so it cannot be used" in failed["failed"]
    assert fine["queries"] == 4
    assert "| zero | mAP | failed |" in (tmp_path / "out" / "comparison.md").read_text()

"""CIFAR-100 as a user types it: check, train, evaluate, with a very small archive."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calling import call, call_json
from PIL import Image

from resight.errors import UserError
from resight.models.network import build_model
from resight.models.weights import save_weights

NAMES = ("apple", "bear", "chair")


SETTINGS = (
    "model={name: han, widths: [16, 16, 16], feature_size: 16, input_size: [64, 32]}",
    "stages.0.objective=[{term: cross-entropy}]",
    "stages.0.sampler.batch_size=9",
    "stages.0.optimizer.lr=0.01",
)
"""Another network, for its speed, and pictures of another size than the archive's."""


def write_archive(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    """Write binary files: 18 pictures to train on and 9 to test on, each class of a colour."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, number in (("train", 18), ("test", 9)):
        records = b""
        for label in (row % len(names) for row in range(number)):
            planes = np.full((3, 1024), 60.0)
            planes[label] = 190
            pixels = np.clip(planes + random.normal(0, 30, planes.shape), 0, 255).astype(np.uint8)
            records += bytes([0, label]) + pixels.tobytes()
        (folder / f"{part}.bin").write_bytes(records)
    (folder / "fine_label_names.txt").write_text("\n".join(names))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("sets") / "cifar-100-binary")


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "cifar"
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    call("train", "sal-cifar-fast", "--data", data, "--epochs", 20, "--device", "cpu", "--out", out, *sets)
    return out


def test_training_leaves_a_run_with_its_scores(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {path.name for path in trained.iterdir()}
    assert files >= {"recipe.yaml", "run.json", "metrics.jsonl", "weights.safetensors", "scores.json"}
    scores = json.loads((trained / "scores.json").read_text())
    assert (scores["pictures"], scores["classes"], scores["protocol"]) == (9, 3, "classification")
    assert scores["top1_error"] == pytest.approx(1 - scores["top1"])
    assert scores["top1"] > 0.5
    again = call_json(capsys, "train", trained, "--resume", "--device", "cpu")
    assert again["scores"] == scores
    assert again["report"] is None
    call("train", trained, "--resume", "--device", "cpu")
    out = capsys.readouterr().out
    assert "sal-cifar-fast on cifar-100-binary" in out
    assert "Top-5" in out


def test_evaluating_prints_accuracy_and_error(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = json.loads((trained / "scores.json").read_text())
    for arguments in (
        (trained,),
        (trained, "--data", data),
        (trained / "weights.safetensors", "--data", data),
    ):
        found = call_json(capsys, "evaluate", *arguments, "--device", "cpu")
        assert found == scores | {"model": str(arguments[0]), "data": str(data)}
    call("evaluate", trained, "--device", "cpu")
    out = capsys.readouterr().out
    for expected in ("Right %", "Error %", f"{100 * scores['top1_error']:.2f}", "9 pictures of 3 classes."):
        assert expected in out


def test_what_has_no_meaning_is_refused(trained: Path, data: Path, tmp_path: Path) -> None:
    for options in (["--threshold"], ["--branches", "global"], ["--report", tmp_path / "page.html"]):
        with pytest.raises(UserError, match=rf"not by ranking. Leave {options[0]} out"):
            call("evaluate", trained, *options)
    other = write_archive(tmp_path / "other", ("apple", "bear", "clock"))
    with pytest.raises(UserError, match="whose classes are not those of"):
        call("evaluate", trained, "--data", other)
    more = write_archive(tmp_path / "more", ("apple", "bear", "clock"))
    (more / "fine_label_names.txt").write_text("apple bear clock door")
    with pytest.raises(UserError, match=r"has 3 classes or persons; .* has 4 classes"):
        call("evaluate", trained / "weights.safetensors", "--data", more)
    with pytest.raises(UserError, match="has its own training and test part"):
        call("train", "sal-cifar-fast", "--data", data, "--holdout", 2)
    with pytest.raises(UserError, match="a classification: it has no query"):
        call("train", "sal-cifar-fast", "--data", data, "--data", other)
    with pytest.raises(UserError, match="a classification: it has no query"):
        call("data", "split", data, "--out", tmp_path / "split.json")


def test_people_may_be_searched_by_what_learned_classes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the other way round not: a network of persons has no names for the classes."""
    for person in (1, 2, 3):
        for camera in (1, 2):
            path = tmp_path / "people" / ("query" if camera == 1 else "bounding_box_test")
            path.mkdir(parents=True, exist_ok=True)
            colour = (60 * person, 40, 200 - 60 * person)
            Image.new("RGB", (16, 32), colour).save(path / f"{person:04d}_c{camera}s1_000001_00.png")
    found = call_json(capsys, "evaluate", trained, "--data", tmp_path / "people", "--device", "cpu")
    assert found["queries"] == 3


def test_the_check_compares_with_what_was_published(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("data", "check", data)
    out = capsys.readouterr().out
    for expected in (
        "cifar-100-binary, protocol classification",
        "32 x 32",
        "Pictures of a class",
        "Usable.",
    ):
        assert expected in out
    assert "Warning: Not as CIFAR-100 was published" in out
    found = call_json(capsys, "data", "check", data)
    assert (found["usable"], found["published"]["as_published"]) == (True, False)
    assert found["parts"]["train"]["pictures"] == 18
    (data / "fine_label_names.txt").write_text("apple bear chair door")
    try:
        with pytest.raises(SystemExit) as exited:
            call("data", "check", data)
    finally:
        (data / "fine_label_names.txt").write_text("\n".join(NAMES))
    assert exited.value.code == 1
    assert "Problem: 1 of 4 classes have no picture to train on, such as door" in capsys.readouterr().out


def test_the_reader_is_listed_with_its_owners_page(capsys: pytest.CaptureFixture[str]) -> None:
    found = {entry["name"]: entry for entry in call_json(capsys, "data", "readers")}
    assert found["cifar-100"]["source"]["address"] == "https://www.cs.toronto.edu/~kriz/cifar.html"
    assert found["cifar-100"]["options"] == {}


def test_a_run_of_people_names_no_classes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"trunk": {"name": "mobilenet", "width": 0.125}, "input_size": (32, 32)}
    torch.manual_seed(0)
    save_weights(build_model("pooled", 3, classifier=False, **settings), tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match="The model has no classifier"):
        call("evaluate", tmp_path / "weights.safetensors", "--data", data, "--device", "cpu")

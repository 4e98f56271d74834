"""``resight gallery`` from the command line: forgetting, correcting, another model."""

import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from resight.models.network import build_model
from resight.models.weights import save_weights

Run = Callable[..., Any]


class Terminal(io.StringIO):
    """Standard input from somebody who types."""

    def isatty(self) -> bool:
        """Return that it is a terminal."""
        return True


def test_forgetting(run: Run, filled: Path) -> None:
    preview = run("forget", "--camera", "1", "--dry-run")
    (camera,) = preview.pop("cameras")
    assert preview | {"gallery": ""} == {
        "gallery": "",
        "forgotten": 0,
        "found": 6,
        "crops": 18,
        "traces": False,
    }
    assert (camera["camera"], camera["crops"]) == ("1", 6)
    assert camera["first"] < camera["last"]
    kept = run("forget", "--camera", "1", "--no-compact", "--yes")
    assert (kept["forgotten"], kept["traces"]) == (6, True)
    assert run("info")["traces"]
    run("compact")
    assert not run("info")["traces"]
    assert run("forget", "--person", "2", "--person", "3", "--yes")["crops"] == 8
    assert "options that select crops" in run("forget", fails=True)
    assert "Give exactly one of" in run("forget", "--expired", "--camera", "2", fails=True)
    assert run("forget", "--before", "2024-01-01")["forgotten"] == 0
    assert "is not a time" in run("forget", "--before", "yesterday", fails=True)


def test_deleting_is_shown_and_asked(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ("forget", "--person", "2", "--person", "3")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    refused = "6 crops would be deleted (camera 1: 2, camera 2: 4). Nobody can be asked without a terminal"
    assert refused in run(*everything, fails=True, quiet=False)
    assert "asked with --json: give --yes" in run(*everything, "--json", fails=True, quiet=False)
    for answer, left in (("n\n", 18), ("", 18), ("y\n", 12)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        if left == 18:
            assert "Nothing was deleted." in run(*everything, fails=True, quiet=False)
        else:
            printed = run(*everything, text=True)
            assert "Delete these 6 crops permanently? [y/N]" in printed
            assert "First" in printed
            assert "2024-05-31" in printed
        assert run("info")["crops"] == left


def test_a_retention_period_is_shown_and_asked(run: Run, filled: Path) -> None:
    error = run("forget", "--keep-days", "30", fails=True, quiet=False)
    assert "18 crops would be deleted" in error
    assert run("forget", "--keep-days", "30", "--dry-run")["found"] == 18
    assert run("info")["forget_after_days"] is None
    assert "must be longer than 0 days; got -3" in run("forget", "--keep-days=-3", "--yes", fails=True)
    assert run("forget", "--keep-days", "36500") | {"gallery": ""} == {
        "gallery": "", "forgotten": 0, "found": 0, "cameras": [], "crops": 18, "traces": False,
    }  # fmt: skip
    assert run("forget", "--keep-days", "30", "--yes")["forgotten"] == 18
    assert run("forget", "--expired")["crops"] == 0
    assert run("forget", "--keep-days", "0")["found"] == 0


def test_a_deleted_crop_does_not_come_back(run: Run, filled: Path) -> None:
    run("forget", "--person", "2", "--yes")
    again = run("add", filled, "--part", "gallery", "--time", "name")
    assert (again["new"], again["known"], again["crops"]) == (0, 15, 15)
    left = next(row for row in again["left_out"] if "deleted" in row["reason"])
    assert (left["count"], left["reason"]) == (
        3,
        "a picture that was deleted from the gallery (--add-again adds it)",
    )
    assert left["example"].startswith("bounding_box_test/0002_")
    assert run("add", filled, "--part", "gallery", "--add-again")["new"] == 3
    assert run("add", filled, "--part", "gallery")["known"] == 18


def test_stored_crops_are_listed_and_corrected(run: Run, filled: Path) -> None:
    listed = run("list", "--person", "1", "--top", "2")
    assert (listed["found"], [crop["person"] for crop in listed["crops"]]) == (3, ["1", "1"])
    assert "2 of 3 crops." in run("list", "--person", "1", "--top", "2", text=True)
    own = run("list", "--person", "1")["crops"]
    one = own[0]["id"]
    shown = run("correct", "--person", "1", "--set-camera", "gate", "--dry-run")
    assert (shown["corrected"], shown["found"]) == (0, 3)
    corrected = run(
        "correct", "--crop", one, "--set-camera", "gate", "--set-time", "2024-06-01T10:00Z",
        "--set-person", "Anna", "--add-tag", "tall", "--remove-tag", "demo",
    )  # fmt: skip
    assert corrected["corrected"] == 1
    (crop,) = run("list", "--crop", one)["crops"]
    found = {field: crop[field] for field in ("camera", "time", "person", "tags")}
    assert found == {
        "camera": "gate",
        "time": "2024-06-01T10:00:00+00:00",
        "person": "Anna",
        "tags": ["tall"],
    }
    assert "Corrected 2 crops." in run("correct", "--person", "1", "--shift-time", "-3600", text=True)
    shifted = {crop["id"]: crop["time"] for crop in run("list", "--person", "1")["crops"]}
    for crop in own[1:]:
        before, after = (datetime.fromisoformat(time) for time in (crop["time"], shifted[crop["id"]]))
        assert before - after == timedelta(hours=1)
    run("correct", "--crop", one, "--set-camera", "", "--set-time", "", "--set-person", "")
    (crop,) = run("list", "--crop", one)["crops"]
    assert (crop["camera"], crop["time"], crop["person"]) == (None, None, None)
    for words, error in (
        (("--person", "1"), "Say what to correct"),
        (("--set-person", "x"), "Say which crops to correct"),
        (("--person", "1", "--set-time", "2024-06-01", "--shift-time", "1"), "not both"),
        (("--camera", "x", "--set-person", "y"), "has the camera 'x'"),
    ):
        assert error in run("correct", *words, fails=True)


def test_persons_are_listed_and_renamed(run: Run, filled: Path) -> None:
    assert run("persons")["persons"] == [{"person": str(at), "crops": 3} for at in range(1, 7)]
    assert run("rename", "2", "Anna")["crops"] == 3
    error = run("rename", "3", "Anna", fails=True)
    assert "3 crops are labelled as 'Anna' already" in error
    assert "To merge the two: --merge." in error
    assert "'3' is now 'Anna', in 3 crops." in run("rename", "3", "Anna", "--merge", text=True)
    assert {"person": "Anna", "crops": 6} in run("persons")["persons"]
    assert "No crop in the gallery is labelled as '3'" in run("rename", "3", "x", fails=True)


def test_correcting_times_beyond_the_retention_period_is_warned_of(
    run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    run("correct", "--camera", "1", "--set-time", datetime.now(UTC).isoformat())
    run("correct", "--camera", "2", "--set-time", datetime.now(UTC).isoformat())
    run("forget", "--keep-days", "30")
    assert not heard[1:]
    run("correct", "--camera", "1", "--set-time", "2024-06-01")
    assert "6 of these crops are older than 30 days" in heard[-1]


def test_changing_the_model(run: Run, filled: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    trunk = {"name": "osnet", "width": 0.25}
    save_weights(build_model("pooled", 4, trunk=trunk, input_size=[64, 32]), other)
    query = min((filled / "query").iterdir())
    assert "has vectors of another model" in run("search", query, "--model", other, fails=True)
    assert "has vectors of another model" in run("add", filled, "--model", other, fails=True)
    assert run("reembed", "--model", other)["embedded"] == 18
    assert run("search", query)["matches"][0]["person"] == "1"
    other.unlink()
    error = run("search", query, fails=True)
    assert "which no longer exists" in error
    assert "--model MODEL" in error


def test_the_same_weights_with_unit_descriptors_are_another_model(
    run: Run, filled: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    other, trunk = tmp_path / "unit.safetensors", {"name": "osnet", "width": 0.25}
    save_weights(build_model("pooled", 4, trunk=trunk, input_size=[64, 32], descriptor="unit"), other)
    query = min((filled / "query").iterdir())
    assert "has vectors of another model" in run("search", query, "--model", other, fails=True)
    assert "has vectors of another model" in run("add", filled, "--model", other, fails=True)


def test_compacting(run: Run, filled: Path) -> None:
    told = run("compact")
    assert (told["crops"], told["indexed"]) == (18, 0)

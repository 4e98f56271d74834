"""``resight gallery`` from the command line, with a run that no one trained: commands as people type them."""

import io
import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resight.commands import detecting
from resight.commands.main import main
from resight.models.network import build_model
from resight.models.weights import save_weights

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of weights of a tiny network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    trunk = {"name": "osnet", "width": 0.25}
    save_weights(build_model("pooled", 4, trunk=trunk, input_size=[64, 32]), path)
    return path


def crops(root: Path, persons: int = 6) -> Path:
    """Draw 2 cameras x 2 crops of each person in Market-1501's layout, named after times."""
    generator = np.random.default_rng(0)
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder).mkdir(parents=True)
    for person in range(1, persons + 1):
        colours = generator.integers(30, 226, (4, 1, 3)).repeat(16, 0)
        for camera in (1, 2):
            for at in range(2):
                pixels = np.clip(colours + generator.normal(0, 12, (64, 32, 3)), 0, 255).astype(np.uint8)
                name = f"{person:04d}_c{camera}s1_17171568{person}{at}_00.jpg"
                folder = "query" if camera == 1 and at == 0 else "bounding_box_test"
                Image.fromarray(pixels).save(root / folder / name)
    return root


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


def test_adding_again_adds_nothing(run: Run, filled: Path) -> None:
    again = run("add", filled, "--part", "all", "--time", "name")
    assert (again["new"], again["known"], again["crops"]) == (6, 18, 24)
    assert "0 crops added, 24 already in the gallery" in run("add", filled, "--unlabelled", text=True)


def test_info_tells_what_is_there(run: Run, filled: Path, weights: Path) -> None:
    told = run("info")
    assert (told["crops"], told["labelled"], told["persons"]) == (18, 18, 6)
    assert [(row["camera"], row["crops"]) for row in told["cameras"]] == [("1", 6), ("2", 12)]
    assert told["cameras"][0]["first"].startswith("2024-05-31T")
    assert told["model"]["weights"] == str(weights)
    assert told["tags"] == {"demo": 18}
    assert told["sources"] == {str(filled): 18}
    printed = run("info", text=True)
    assert "18 crops of 6 persons" in printed
    assert "2024-05-31" in printed


def test_a_search_by_picture(run: Run, filled: Path) -> None:
    query = min((filled / "query").iterdir())
    found = run("search", query, "--top", 3)
    assert found["matches"][0]["person"] == "1"
    assert (found["searched"], found["page"], len(found["matches"])) == (18, 1, 3)
    assert run("search", query, "--top", 3, "--page", 2)["matches"][0]["id"] not in {
        match["id"] for match in found["matches"]
    }
    others = run("search", query, "--other-cameras", "--query-camera", "1", "--rerank")
    assert {match["camera"] for match in others["matches"]} == {"2"}
    one = found["matches"][0]["id"]
    more = run("search", "--crop", one, query, "--combine", "max", "--camera", "2", "--tag", "demo")
    assert one not in {match["id"] for match in more["matches"]}
    printed = run("search", query, text=True)
    assert one in printed
    assert "not calibrated" in printed


def test_a_search_draws_a_contact_sheet(run: Run, filled: Path, tmp_path: Path) -> None:
    queries = sorted((filled / "query").iterdir())[:2]
    sheet = tmp_path / "sheet.png"
    run("search", *queries, "--top", 12, "--sheet", sheet)
    picture = Image.open(sheet)
    assert picture.format == "PNG"
    assert picture.width > picture.height > 800
    assert len(np.unique(np.asarray(picture.convert("L")))) > 100  # crops are on it
    assert "such as sheet.png" in run("search", queries[0], "--sheet", tmp_path / "a.jpg", fails=True)


def scene(tmp_path: Path, *crops: Path) -> tuple[Path, np.ndarray]:
    """Draw people side by side before a wall, and return their boxes."""
    pixels = np.full((100, 60 * len(crops) + 20, 3), 128, np.uint8)
    boxes = []
    for place, crop in enumerate(crops):
        left = 20 + 60 * place
        pixels[20:84, left : left + 32] = np.asarray(Image.open(crop))
        boxes.append([left, 20, left + 32, 84])
    path = tmp_path / f"scene-{len(crops)}.png"
    Image.fromarray(pixels).save(path)
    return path, np.array(boxes, float).reshape(-1, 4)


def test_a_detector_finds_who_is_searched_for(
    run: Run,
    filled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = sorted((filled / "query").iterdir())
    picture, boxes = scene(tmp_path, ours[3], ours[1])
    scores = np.linspace(0.9, 0.8, len(boxes))
    monkeypatch.setattr(detecting, "load_detector", lambda *_: lambda pixels: (boxes, scores))
    options = ["--detector", "yolox.onnx", "--top", 1]
    found = run("search", picture, *options)
    assert (found["matches"][0]["person"], found["chosen"], len(found["persons"])) == ("4", 0, 2)
    assert found["persons"][1]["box"] == pytest.approx([80 / 140, 0.2, 32 / 140, 0.64])
    other = run("search", picture, *options, "--choice", 1, "--sheet", tmp_path / "sheet.png")
    assert (other["matches"][0]["person"], other["chosen"]) == ("2", 1)
    assert other["matches"][0]["score"] == pytest.approx(run("search", ours[1])["matches"][0]["score"])
    assert "There is no person 2 in the picture: the detector found 2, counted from 0" in run(
        "search", picture, *options, "--choice", 2, fails=True
    )
    assert run("search", ours[3])["matches"][0].keys() == found["matches"][0].keys()


def test_pictures_with_nobody_and_with_several_are_noted(
    run: Run, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = sorted((filled / "query").iterdir())
    picture, boxes = scene(tmp_path, *ours[:2])
    found = {True: (boxes, np.array([0.9, 0.8])), False: (boxes[:0], np.zeros(0))}
    several = True
    monkeypatch.setattr(detecting, "load_detector", lambda *_: lambda pixels: found[several])
    said: list[str] = []
    monkeypatch.setattr(detecting, "say", said.append)
    run("search", picture, "--detector", "yolox.onnx")
    assert said == [
        f"Note: the detector found 2 persons in {picture}. The search is for number 0, "
        "counted from 0 (--choice selects another)."
    ]
    several = False
    told = run("search", picture, "--detector", "yolox.onnx")
    assert "found no person" in said[-1]
    assert (told["persons"], told["chosen"]) == ([], None)


def test_a_detector_that_is_none(run: Run, filled: Path, tmp_path: Path) -> None:
    query = min((filled / "query").iterdir())
    assert "--choice is the number" in run("search", query, "--choice", 1, fails=True)
    assert "nowhere.onnx" in run("search", query, "--detector", tmp_path / "nowhere.onnx", fails=True)
    assert "query" in run("search", query, "--detector", query, fails=True)


def test_thresholds_are_calibrated(run: Run, filled: Path, tmp_path: Path, weights: Path) -> None:
    run("add", crops(tmp_path / "more", 30), "--part", "gallery")
    calibration = run("calibrate", "--false-match-rate", 0.05)
    assert calibration["persons"] == 30
    query = min((filled / "query").iterdir())
    found = run("search", query, "--false-match-rate", 0.1)
    assert found["false_match_rate"] <= 0.1
    assert found["matches"][0]["likely"] is True
    assert "Likely: a score of" in run("search", query, text=True)
    assert "Matches found %" in run("calibrate", text=True)

    features = tmp_path / "features.npz"
    generator = np.random.default_rng(0)
    vectors, persons = generator.normal(size=(90, 128)), np.arange(90) // 3
    np.savez(features, features=(vectors + 9 * vectors[persons * 3]).astype(np.float32), persons=persons + 1)
    assert run("calibrate", "--features", features)["origin"] == str(features)
    np.savez(
        features,
        features=vectors.astype(np.float32),
        persons=persons + 1,
        fingerprint=np.array("0123456789abcdef"),
    )
    assert "are of the model" in run("calibrate", "--features", features, fails=True)
    message = run("calibrate", "--features", tmp_path / "nowhere", fails=True)
    assert message.startswith(f"resight: There is no file {tmp_path / 'nowhere'}.")


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


class Terminal(io.StringIO):
    """Standard input from somebody who types."""

    def isatty(self) -> bool:
        """Return that it is a terminal."""
        return True


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


def test_adding_what_is_too_old_is_warned_of(
    run: Run, weights: Path, tmp_path: Path, heard: list[str]
) -> None:
    data = crops(tmp_path / "data", 2)
    added = run("add", data, "--model", weights, "--time", "name", "--keep-days", "30")
    assert (added["new"], added["expired"], added["crops"]) == (8, 8, 8)
    assert "8 of these crops are older than 30 days, the gallery's retention period" in heard[-1]
    assert "--keep-days is for a new gallery" in run("add", data, "--keep-days", "3", fails=True)
    # 'forget' alone opens the gallery without deleting: the period can still be changed
    assert run("forget", "--keep-days", "0")["crops"] == 8


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


def test_known_crops_with_other_values_are_told_and_updated(run: Run, filled: Path) -> None:
    given = (
        "add",
        filled,
        "--part",
        "gallery",
        "--camera",
        "lobby",
        "--time",
        "2024-06-01T10:00Z",
        "--tag",
        "x",
    )
    told = run(*given)
    assert (told["known"], told["updated"]) == (18, False)
    assert [(row["field"], row["count"]) for row in told["differences"]] == [
        ("camera", 18), ("time", 18), ("tags", 18),
    ]  # fmt: skip
    assert told["differences"][0]["example"].endswith(
        (": lobby, in the gallery 1", ": lobby, in the gallery 2")
    )
    assert "run the command again with --update" in run(*given, text=True)
    assert [row["camera"] for row in run("info")["cameras"]] == ["1", "2"]
    assert run(*given, "--update")["updated"]
    info = run("info")
    assert info["tags"] == {"demo": 18, "x": 18}
    assert info["cameras"] == [
        {
            "camera": "lobby",
            "crops": 18,
            "first": "2024-06-01T10:00:00+00:00",
            "last": "2024-06-01T10:00:00+00:00",
        }
    ]
    assert run(*given)["differences"] == []


def test_equal_labels_of_two_folders_are_noted_or_told_apart(
    run: Run, weights: Path, tmp_path: Path, heard: list[str]
) -> None:
    one, other = tmp_path / "north", tmp_path / "south"
    for place, seed in ((one, 0), (other, 9)):
        generator = np.random.default_rng(seed)
        for person in ("1", "2"):
            (place / person).mkdir(parents=True)
            for at in range(2):
                pixels = generator.integers(0, 256, (64, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / person / f"{at}.png")
    prefixed = run(
        "add", one, other, "--model", weights, "--label-prefix", "{source}-", "--gallery", tmp_path / "p"
    )
    assert prefixed["new"] == 8
    assert not [note for note in heard if "the same label" in note]
    assert run("info", "--gallery", tmp_path / "p")["persons"] == 4
    note = (
        f"Note: 2 persons of {other} have the same label as persons of other sources, such as '1' of {one}, "
        "and become one person with them. If these are other people, give a --label-prefix, such as "
        "'{source}-'."
    )
    run("add", one, other, "--model", weights)
    assert note in heard
    heard.clear()
    run("add", other)
    assert note in heard, "in the gallery, too"
    assert run("info")["persons"] == 2


def test_one_bad_file_does_not_stop_the_others(run: Run, weights: Path, tmp_path: Path) -> None:
    data = tmp_path / "plain"
    data.mkdir()
    for at, name in enumerate(
        ("lobby_20240531_143000.png", "gate_20240531_143001.png", "notime.png", "7.png")
    ):
        Image.fromarray(np.full((16, 8, 3), 40 * at, np.uint8)).save(data / name)
    (data / "lobby_20240531_143002.jpg").write_bytes(b"no")
    added = run(
        "add", data, "--model", weights, "--time", "name", "--camera-pattern", "(?P<camera>lobby|gate|notime)"
    )
    assert (added["new"], added["crops"]) == (2, 2)
    assert [(row["reason"], row["count"], row["example"]) for row in added["left_out"]] == [
        ("a path that the --camera-pattern does not match", 1, "7.png"),
        ("a file name without a time", 1, "notime.png"),
        ("a picture that cannot be read", 1, "lobby_20240531_143002.jpg"),
    ]
    query = [data / "lobby_20240531_143000.png", data / "lobby_20240531_143002.jpg", data / "gone.png"]
    found = run("search", *query)
    assert found["left_out"] == [
        {"reason": "a picture that cannot be read", "count": 2, "example": str(query[1])}
    ]
    assert found["matches"] == run("search", query[0])["matches"]
    assert "Left out" in run("search", *query, text=True)
    assert "is not a picture" in run("search", query[1], fails=True)


def test_ids_pages_and_pictures_that_are_none(run: Run, filled: Path, tmp_path: Path) -> None:
    query = min((filled / "query").iterdir())
    identity = run("search", query, "--top", "1")["matches"][0]["id"]
    for command in ("search", "forget"):
        assert "'nonsense' is not the id of a crop" in run(command, "--crop", "nonsense", fails=True)
    assert "There is no such page" in run("search", "--crop", identity, "--page", "9", text=True)
    assert "Sorted by re-ranking" in run("search", "--crop", identity, "--rerank", text=True)
    bad = {
        "empty.jpg": (b"", "is empty"),
        "text.jpg": (b"hello", "is not a picture"),
        "none.jpg": (None, "read"),
    }
    for name, (content, reason) in bad.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert reason in run("search", tmp_path / name, fails=True)


def test_an_export_is_scored(run: Run, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert run("export", "--out", out)["crops"] == 18
    monkeypatch.setattr(sys, "argv", ["resight", "score", str(out), str(out), "--json"])
    buffer = io.StringIO()
    monkeypatch.setattr(sys, "stdout", buffer)
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert json.loads(buffer.getvalue())["queries"] == 18


def test_the_same_weights_with_unit_descriptors_are_another_model(
    run: Run, filled: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    other, trunk = tmp_path / "unit.safetensors", {"name": "osnet", "width": 0.25}
    save_weights(build_model("pooled", 4, trunk=trunk, input_size=[64, 32], descriptor="unit"), other)
    query = min((filled / "query").iterdir())
    assert "has vectors of another model" in run("search", query, "--model", other, fails=True)
    assert "has vectors of another model" in run("add", filled, "--model", other, fails=True)


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


def test_compacting(run: Run, filled: Path) -> None:
    told = run("compact")
    assert (told["crops"], told["indexed"]) == (18, 0)


def test_mistakes_are_told_in_sentences(run: Run, weights: Path, tmp_path: Path) -> None:
    assert "There is no gallery" in run("info", fails=True)
    data = crops(tmp_path / "data", 1)
    assert "There is no gallery" in run("add", data, fails=True)
    assert "Name folders" in run("add", "--model", weights, fails=True)
    assert "not both" in run("add", data, "--camera", "a", "--camera-pattern", "b", fails=True)
    for days in (-3, "nan"):
        error = run("add", data, "--model", weights, f"--keep-days={days}", fails=True)
        assert f"must be longer than 0 days; got {days}" in error
    assert "There is no gallery" in run("info", fails=True)
    for pattern, error in (
        ("(", "not a regular expression"),
        ("c", "group named camera"),
        (
            "(?P<camera>zz)",
            "No crop can be added. Left out: a path that the --camera-pattern does not match: 4",
        ),
    ):
        given = ("add", data, "--model", weights, "--camera-pattern", pattern)
        assert error in run(*given, fails=True)
    (tmp_path / "plain").mkdir()
    Image.new("RGB", (8, 16)).save(tmp_path / "plain" / "picture.png")
    error = run("add", tmp_path / "plain", "--time", "name", fails=True)
    assert "Left out: a file name without a time: 1, such as picture.png. Change" in error
    added = run(
        "add",
        tmp_path / "plain",
        "--model",
        weights,
        "--camera-pattern",
        "(?P<camera>[a-z]+)",
        "--time",
        "2024-05-31T14:30+02:00",
    )
    assert added["new"] == 1
    told = run("info")["cameras"][0]
    assert (told["camera"], told["first"]) == ("picture", "2024-05-31T12:30:00+00:00")
    (tmp_path / "plain" / "broken.jpg").write_bytes(b"no")
    ((name, reason),) = run("add", tmp_path / "plain")["refused"]
    assert name == "broken.jpg"
    assert "is not a picture" in reason
    assert "--page must be at least 1; got 0" in run("search", "--page", "0", fails=True)
    assert "No crop in the gallery has the camera 'x'" in run(
        "search", data / "query" / "0001_c1s1_1717156810_00.jpg", "--camera", "x", fails=True
    )


def test_a_cluster_that_does_not_answer(run: Run) -> None:
    assert "does not answer" in run("info", "--gallery", "http://127.0.0.1:9/people", fails=True)
    assert "is http://HOST:6333/NAME" in run("info", "--gallery", "http://127.0.0.1:9/a/b", fails=True)


def test_cameras_means_are_removed_or_kept(run: Run, filled: Path) -> None:
    assert run("info")["camera_normalise"] == {"on": True, "active": False, "too_few": [], "trained": []}, (
        "18 crops"
    )
    assert "kept:" in run("info", text=True)
    run("add", filled, "--part", "all")
    assert run("info")["camera_normalise"] == {
        "on": True,
        "active": True,
        "too_few": ["1", "2"],
        "trained": [],
    }
    assert "2 have few crops" in run("info", text=True)
    query = next(filled.glob("query/*.jpg"))
    before = run("search", query, "--query-camera", "1")
    assert before["camera_normalise"]
    assert run("settings", "--no-camera-normalise")["camera_normalise"] == {
        "on": False,
        "active": False,
        "too_few": [],
        "trained": [],
    }
    assert not run("search", query)["camera_normalise"]
    assert "are kept, as the gallery's settings say" in run("settings", "--no-camera-normalise", text=True)
    assert run("settings", "--camera-normalise")["camera_normalise"]["active"]
    again = run("search", query, "--query-camera", "1")
    assert [match["id"] for match in again["matches"]] == [match["id"] for match in before["matches"]]


def test_a_query_camera_that_the_gallery_lacks_is_noted(
    run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = next(filled.glob("query/*.jpg"))
    notes: list[str] = []
    monkeypatch.setattr("resight.commands.gallery.say", notes.append)
    unknown = run("search", query, "--query-camera", "7")
    assert notes == [
        "Note: the gallery has no crop from the camera '7', so the mean of all crops takes the place of that "
        "camera's."
    ]
    assert run("search", query)["matches"] == unknown["matches"]
    assert "got 2 for 1" in run("search", query, "--query-camera", "1", "--query-camera", "2", fails=True)


def test_a_new_gallery_can_keep_the_means(run: Run, weights: Path, tmp_path: Path) -> None:
    run("add", crops(tmp_path / "crops"), "--model", weights, "--no-camera-normalise")
    assert run("info")["camera_normalise"] == {"on": False, "active": False, "too_few": [], "trained": []}


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


def test_one_zone_for_names_for_photographs_and_for_what_is_shown(
    run: Run, weights: Path, tmp_path: Path, heard: list[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 32, 3), np.uint8)
    photograph = Image.Exif()
    photograph.get_ifd(0x8769)[0x9003] = "2024:05:31 14:30:00"  # DateTimeOriginal
    frigate = tmp_path / "2024-05-31" / "14" / "gate"
    frigate.mkdir(parents=True)
    for folder in ("photographs", "named"):
        (tmp_path / folder).mkdir()
    Image.fromarray(noise[0]).save(tmp_path / "photographs" / "a.jpg", exif=photograph)
    Image.fromarray(noise[1]).save(tmp_path / "photographs" / "b.png")
    Image.fromarray(noise[1]).save(tmp_path / "named" / "2024-05-31_14-30-00.png")
    Image.fromarray(noise[2]).save(frigate / "30.00.png")
    zone = ("--timezone", "America/New_York")
    assert run("add", tmp_path / "photographs", "--camera", "a", "--model", weights, *zone)["new"] == 2
    assert heard[-1] == "Note: 1 pictures have a time in their EXIF data, which was used."
    run("add", tmp_path / "named", "--camera", "b", "--time", "name", "--update", *zone)
    run("add", frigate, "--camera", "c", "--time", "name", *zone)
    times = {row["camera"]: row["first"] for row in run("info")["cameras"]}
    assert times == {
        "a": "2024-05-31T18:30:00+00:00",
        "b": "2024-05-31T18:30:00+00:00",
        "c": "2024-05-31T14:30:00+00:00",  # in UTC
    }
    assert "2024-05-31 10:30:00" in run("list", "--camera", "c", *zone, text=True)
    assert "2024-05-31 10:30:00" in run("info", *zone, text=True)
    assert "There is no time zone 'Mars'" in run("add", frigate, "--timezone", "Mars", fails=True)


def test_one_folder_a_camera_is_asked_about(run: Run, weights: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    for place in ("cam_1", "cam_2"):
        (tmp_path / "gates" / place).mkdir(parents=True)
        for number in range(3):
            pixels = generator.integers(0, 256, (64, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "gates" / place / f"{number}.png")
    (tmp_path / "gates" / "cam_1" / "notes.txt").touch()
    refused = run("add", tmp_path / "gates", "--model", weights, fails=True)
    pattern = re.search("--camera-pattern '([^']+)'", refused)
    assert pattern is not None
    added = run("add", tmp_path / "gates", "--model", weights, "--camera-pattern", pattern[1], quiet=False)
    assert added["new"] == 6
    assert added["left_out"] == [{"reason": "no picture: .txt", "count": 1, "example": "cam_1/notes.txt"}]
    facts = run("info")
    assert [(row["camera"], row["crops"]) for row in facts["cameras"]] == [("cam_1", 3), ("cam_2", 3)]
    assert facts["labelled"] == 0

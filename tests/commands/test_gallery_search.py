"""``resight gallery search`` from the command line: pictures, detectors, thresholds, cameras' means."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery_crops import crops
from PIL import Image

from resight.commands import detecting

Run = Callable[..., Any]


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


def test_names_of_files_do_not_steer_the_terminal(run: Run, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    name = "a\n\033[31mred\033[2J.png"
    Image.new("RGB", (32, 64), "red").save(folder / name)
    added = run("add", folder, "--model", weights, "--camera", "\033[1mlobby", "--tag", "x\033[2J")
    assert added["new"] == 1
    for printed in (run("list", text=True), run("search", folder / name, text=True), run("info", text=True)):
        assert "\033" not in printed
        assert r"\x1b[1mlobby" in printed
    (row,) = (line for line in run("list", text=True).splitlines() if "lobby" in line)
    assert row.endswith(r"a\n\x1b[31mred\x1b[2J.png")
    assert run("list")["crops"][0]["name"] == name  # JSON has it as it is
    assert "\033" not in run("search", folder / "\033[2J.png", fails=True)


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

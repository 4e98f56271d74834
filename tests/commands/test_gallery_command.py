"""``resight gallery`` from the command line: adding, telling, exporting, and mistakes."""

import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery_crops import crops
from PIL import Image

from resight.commands.main import main

Run = Callable[..., Any]


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
    assert "--no-camera-normalise is for a new" in run("add", data, "--no-camera-normalise", fails=True)
    run("settings", "--no-camera-normalise")
    assert run("add", data, "--no-camera-normalise")["new"] == 0  # the same command goes on
    assert "are for galleries on a cluster" in run("add", data, "--shards", "2", fails=True)


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
        ("a file of another format than those that are read", 1, "lobby_20240531_143002.jpg"),
    ]
    query = [data / "lobby_20240531_143000.png", data / "lobby_20240531_143002.jpg", data / "gone.png"]
    found = run("search", *query)
    assert found["left_out"] == [
        {"reason": "a file of another format than those that are read", "count": 1, "example": str(query[1])},
        {"reason": "a picture that cannot be read", "count": 1, "example": str(query[2])},
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


def test_mistakes_are_told_in_sentences(run: Run, weights: Path, tmp_path: Path) -> None:
    assert "There is no gallery" in run("info", fails=True)
    data = crops(tmp_path / "data", 1)
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


def test_seconds_in_a_name_are_a_guess_unless_the_file_is_as_old(
    run: Run, weights: Path, tmp_path: Path, heard: list[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 32, 3), np.uint8)
    names = ("gate_1234567815.png", "gate_1717165800.png", "gate_2024-05-31_14-30-00Z.png")
    for name, pixels in zip(names, noise, strict=True):
        Image.fromarray(pixels).save(tmp_path / name)
    os.utime(tmp_path / names[1], (1717170000, 1717170000))
    run("add", tmp_path, "--unlabelled", "--model", weights, "--time", "name")
    assert heard[-1].startswith("Note: 1 of the times are seconds since 1970 in the files' names.")
    stored = {crop["name"]: (crop["time"], crop["time_guessed"]) for crop in run("list")["crops"]}
    assert stored == {
        names[0]: ("2009-02-13T23:30:15+00:00", True),
        names[1]: ("2024-05-31T14:30:00+00:00", False),
        names[2]: ("2024-05-31T14:30:00+00:00", False),
    }
    assert "~2009-02-13 23:30:15" in run("list", "--timezone", "UTC", text=True)
    os.utime(tmp_path / names[1])
    os.utime(tmp_path / names[0], (1234567815, 1234567815))
    again = ("add", tmp_path, "--unlabelled", "--time", "name", "--timezone", "UTC", "--update")
    (updated,) = run(*again)["differences"]  # not that a sure time is a guess now
    assert (updated["field"], updated["count"]) == ("time", 1)
    assert "in the gallery ~2009-02-13" in updated["example"]
    assert not any(crop["time_guessed"] for crop in run("list")["crops"])


def test_one_folder_a_camera_is_asked_about(
    run: Run, weights: Path, tmp_path: Path, heard: list[str]
) -> None:
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
    assert not [note for note in heard if "numbered" in note], "the gallery keeps the names"
    assert facts["labelled"] == 0

"""Which crops are embedded: data sets, folders and lists, with labels or without."""

import os
from pathlib import Path

import numpy as np
import pytest
from embedding_jobs import draw_pictures

from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.features.crop_list import crops_to_embed


@pytest.fixture
def market(tmp_path: Path) -> Path:
    names = [
        f"{part}/{person:04}_c{camera}s1_{camera:06}_00.png"
        for part, persons in (("bounding_box_train", (2, 7)), ("query", (3,)), ("bounding_box_test", (3, 0)))
        for person in persons
        for camera in (1, 2)
    ]
    draw_pictures(tmp_path / "market", [*names, "bounding_box_test/-1_c1s1_000009_00.png"])
    return tmp_path / "market"


def test_all_of_a_data_set_is_every_crop_once(market: Path) -> None:
    crops = crops_to_embed(market)
    assert crops.persons.tolist() == [2, 2, 7, 7, 3, 3, -1, 0, 0, 3, 3]
    assert crops.cameras.tolist() == [1, 2, 1, 2, 1, 2, 1, 1, 2, 1, 2]
    assert all(path.is_absolute() and path.is_file() for path in crops.paths)
    assert len(set(crops.paths)) == 11
    parts = [crops_to_embed(market, part=part) for part in ("train", "query", "gallery")]
    assert sum((part.paths for part in parts), ()) == crops.paths
    assert len({part.digest() for part in (crops, *parts)}) == 4


def test_parts_are_those_of_training(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    draw_pictures(folder, [f"{name}/{crop}.png" for name in "abcdefgh" for crop in range(3)])
    benchmark = open_benchmark(folder, holdout=3)
    for part in ("train", "query", "gallery"):
        crops = crops_to_embed(folder, part=part, holdout=3)
        assert crops.paths == tuple(crop.path.absolute() for crop in getattr(benchmark, part))
    everything = crops_to_embed(folder)
    assert len(everything.paths) == 24
    assert everything.names == dict(enumerate("abcdefgh", 1))
    assert everything.cameras is None


def test_persons_with_one_picture_each_can_be_embedded(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "people", ["Ann/a.png", "Bo/b.png"])
    assert crops_to_embed(tmp_path / "people").persons.tolist() == [1, 2]
    draw_pictures(tmp_path / "one", ["Ann/a.png", "Ann/b.png"])
    assert crops_to_embed(tmp_path / "one").persons.tolist() == [1, 1]
    with pytest.raises(UserError, match="single image"):
        open_benchmark(tmp_path / "people")


def test_a_plain_folder_has_no_labels_and_says_so(tmp_path: Path) -> None:
    paths = draw_pictures(tmp_path / "plain", ["b.png", "a.JPG", "c.webp"])
    (tmp_path / "plain" / "notes.txt").write_text("no picture")
    crops = crops_to_embed(tmp_path / "plain")
    assert crops.paths == tuple(sorted(paths))
    assert crops.persons is None
    assert crops.cameras is None
    assert "get no person labels" in crops.notes[0]


def test_a_plain_folder_is_read_with_a_pattern(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "plain", ["7_c1.png", "7_c2.png", "9_c1.png"])
    crops = crops_to_embed(tmp_path / "plain", pattern=r"(?P<person>\d+)_c(?P<camera>\d)")
    assert crops.persons.tolist() == [1, 1, 2]
    assert crops.names == {1: "7", 2: "9"}
    assert crops.cameras.tolist() == [1, 2, 1]


def test_unlabelled_takes_every_picture_of_any_folder(market: Path) -> None:
    crops = crops_to_embed(market, unlabelled=True)
    assert len(crops.paths) == 11
    assert crops.persons is None


def test_a_list_gives_the_paths_in_its_order(tmp_path: Path) -> None:
    paths = draw_pictures(tmp_path, ["x/b.png", "x/a.png", "with space ä.png"])
    (tmp_path / "x" / "list.txt").write_text(f"\ufeffb.png\r\n\na.png\n{paths[2]}\na.png\n", encoding="utf-8")
    crops = crops_to_embed(tmp_path / "x" / "list.txt")
    assert crops.paths == (paths[0], paths[1], paths[2], paths[1])
    assert crops.persons is None
    assert "1 paths in" in crops.notes[0]


@pytest.mark.parametrize(
    "line",
    [
        "x/a.png,0010,c1",
        "nowhere/a.JPG\t7",
        "nowhere/a.jpg;7",
        '"nowhere/a.png","7"',
        "nowhere/a.png, 7",
        "7,x/a.png",
        "x/a.png 7 1",
        "nowhere/a.png | 7",
        "7 x/a.png",
    ],
)
def test_a_table_is_not_taken_for_a_list(tmp_path: Path, line: str) -> None:
    draw_pictures(tmp_path, ["x/a.png"])
    (tmp_path / "man.csv").write_text(f"path,person,camera\n{line}\n")
    with pytest.raises(UserError, match=r"man.csv is a table: it has the line .* the path of one image in"):
        crops_to_embed(tmp_path / "man.csv")


def test_names_in_a_list_may_have_commas(tmp_path: Path) -> None:
    paths = draw_pictures(tmp_path, ["Smith, John/a.png", "b.png, again.png", "a,b;c.png"])
    gone = [
        tmp_path / "Doe, Jane" / "a.png",
        tmp_path / "John Smith" / "a (2).png",
        tmp_path / f"{'x' * 300},1",
    ]
    gone += [tmp_path / name for name in ("Copy of b.png", "b.png (1).png", "b.png ", "b.jpg")]
    (tmp_path / "list").write_text("\n".join(map(str, (*paths, *gone))))
    assert crops_to_embed(tmp_path / "list").paths == (*paths, *gone)


def test_a_list_comes_through_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = draw_pictures(tmp_path, ["x/b.png", "x/a.png"])
    monkeypatch.chdir(tmp_path)
    reading, writing = os.pipe()
    os.write(writing, b"x/b.png\n./x/a.png\n")
    os.close(writing)
    crops = crops_to_embed(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert crops.paths == tuple(paths)
    assert crops.source == tmp_path
    (tmp_path / "x" / "list.txt").write_text("x/a.png")  # resight ... /dev/stdin < x/list.txt
    with (tmp_path / "x" / "list.txt").open() as stream:
        crops = crops_to_embed(Path(f"/dev/fd/{stream.fileno()}"))
        assert crops.paths == (paths[1],)
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(UserError, match="Several processes cannot read one pipe"):
            crops_to_embed(Path(f"/dev/fd/{stream.fileno()}"))


def test_the_digest_tells_order_and_labels(tmp_path: Path) -> None:
    draw_pictures(tmp_path, ["a.png", "b.png"])
    digests = set()
    for text in ("a.png\nb.png", "b.png\na.png", "a.png", "a.png\nb.png\n"):
        (tmp_path / "list.txt").write_text(text)
        digests.add(crops_to_embed(tmp_path / "list.txt").digest())
    assert len(digests) == 3


def test_what_cannot_be_embedded_is_said(tmp_path: Path, market: Path) -> None:
    (picture,) = draw_pictures(tmp_path, ["a.png"])
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.bin").write_bytes(b"\0\1\2")
    for path, options, message in (
        (tmp_path / "nowhere", {}, "There is no folder .*nowhere"),
        (tmp_path / "nowhere", {"unlabelled": True}, "There is no folder .*nowhere"),
        (tmp_path / "empty", {}, "contains no image file"),
        (tmp_path / "empty.txt", {}, "is empty. Write image paths"),
        (tmp_path / "data.bin", {}, "is not a text file"),
        (picture, {}, "is an image. Name a folder"),
        (tmp_path / "empty.txt", {"part": "query", "pattern": "x"}, "A list .*--pattern, --part cannot"),
        (market, {"unlabelled": True, "reader": "market1501"}, "unlabelled folder .*--reader cannot be used"),
        (market, {"pattern": "x", "reader": "market1501"}, "not both"),
        (market / "query", {"part": "query", "pattern": r"(?P<person>\d+)"}, "no crops|held out|two"),
    ):
        with pytest.raises(UserError, match=message):
            crops_to_embed(path, **options)


def test_labels_are_numbers_of_64_bits(market: Path) -> None:
    crops = crops_to_embed(market)
    assert crops.persons.dtype == crops.cameras.dtype == np.int64

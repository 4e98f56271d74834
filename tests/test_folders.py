"""Listing pictures: what is one, what is not, and links."""

import os
from pathlib import Path

import pytest

from resight.folders import list_images, sub_folders
from resight.left_out import LeftOut


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def listed(root: Path, *, deep: bool = True) -> tuple[list[str], dict[str, int]]:
    left_out = LeftOut()
    found = list_images(root, deep=deep, left_out=left_out)
    counts = {row["reason"]: row["count"] for row in left_out.as_list()}
    return [path.relative_to(root).as_posix() for path in found], counts


def test_pictures_are_listed_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write(
        tmp_path,
        "b/2.PNG",
        "b.jpg",
        "b/1.jfif",
        "a/c/3.avif",
        "a.gif",
        "a/b.webp",
        "B.jpe",
        "a/4.tif",
        "z.jp2",
    )
    found, left_out = listed(tmp_path)
    assert found == [
        "B.jpe",
        "a/4.tif",
        "a/b.webp",
        "a/c/3.avif",
        "a.gif",
        "b/1.jfif",
        "b/2.PNG",
        "b.jpg",
        "z.jp2",
    ]
    assert [tmp_path / name for name in found] == sorted(tmp_path / name for name in found)
    assert left_out == {}


def test_what_is_no_crop_is_counted_by_its_kind(tmp_path: Path) -> None:
    write(
        tmp_path,
        *("1/a.jpg", "1/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "1/@eaDir/a.jpg/SYNOPHOTO_THUMB_S.jpg"),
        *("1/.thumbnails/a.jpg", "__MACOSX/1/._a.jpg", "1/._a.jpg", "1/.DS_Store", "1/b.psd", "1/Thumbs.db"),
        *("notes.txt", "more.TXT", "README"),
    )
    found, left_out = listed(tmp_path)
    assert found == ["1/a.jpg"]
    assert left_out == {
        "in @eaDir: made by a file server or viewer": 2,
        "a hidden file: its name begins with a dot": 2,
        "no picture: .txt": 2,
        "in a hidden folder: .thumbnails": 1,
        "in __MACOSX: made by a file server or viewer": 1,
        "a .psd picture, a format that is not read": 1,
        "no picture: .db": 1,
        "no picture: a name without an ending": 1,
    }
    assert [folder.name for folder in sub_folders(tmp_path)] == ["1"]


def test_a_flat_listing_counts_what_is_in_sub_folders(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "more/b.jpg", "more/c/d.jpg")
    found, left_out = listed(tmp_path, deep=False)
    assert found == ["a.jpg"]
    assert left_out == {"in a sub-folder, where only the files beside it are read": 2}


def test_links_are_followed_once_and_only_out_of_the_folder(tmp_path: Path) -> None:
    root = write(tmp_path / "set", "1/a.jpg", "2/b.jpg")
    write(tmp_path / "elsewhere", "c.jpg", "in/d.jpg")
    (root / "1/up").symlink_to("..")
    (root / "1/over").symlink_to(tmp_path)
    (root / "1/two").symlink_to("../2")
    (root / "3").symlink_to(tmp_path / "elsewhere")
    (root / "4").symlink_to(tmp_path / "elsewhere")
    (root / "2/e.jpg").symlink_to(tmp_path / "elsewhere/c.jpg")
    (root / "2/lost.jpg").symlink_to("nowhere.jpg")
    (root / "2/itself").symlink_to("itself")
    os.mkfifo(root / "2/pipe.jpg")
    write(root, ".hidden/f.jpg")
    (root / ".hidden/up").symlink_to("..")
    (root / ".link").symlink_to(".hidden")
    found, left_out = listed(root)
    assert found == ["1/a.jpg", "2/b.jpg", "2/e.jpg", "3/c.jpg", "3/in/d.jpg"]
    assert left_out == {
        "a link to a folder that is listed already": 4,
        "a link to nothing": 2,
        "in a hidden folder: .hidden": 2,
        "in a hidden folder: .link": 1,
        "no regular file": 1,
    }


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "b.heif"])
def test_heic_needs_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("resight.folders.IMAGE_SUFFIXES", frozenset({".jpg"}))
    found, left_out = listed(write(tmp_path, name))
    suffix = Path(name).suffix.lower()
    assert (found, left_out) == (
        [],
        {f"a {suffix} picture, which is read after: pip install 'resight[heic]'": 1},
    )

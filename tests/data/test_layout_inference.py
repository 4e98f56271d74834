"""Which folder is the person: inferred with evidence, or refused with a ready option for each reading."""

import re
from collections import Counter
from pathlib import Path

import pytest

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.data.crop import DISTRACTOR, JUNK
from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.features.crop_list import crops_to_embed


def touch(root: Path, *names: str) -> Path:
    """Make empty files: reading a layout decodes no picture."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def options(error: pytest.ExceptionInfo[UserError], name: str = "--pattern") -> list[str]:
    """Return the values of an option in a message, in order; but not what 'adapt' calls --camera-pattern."""
    return re.findall(f"(?<!camera)(?<!'adapt': ){name} '([^']+)'", str(error.value))


@pytest.mark.parametrize("form", ["cam_{}", "Camera{}", "c{}", "cam-{}a", "gate{}_cam"])
def test_cameras_above_persons(tmp_path: Path, form: str) -> None:
    touch(
        tmp_path, *(f"{form.format(c)}/{p:04}/{i}.jpg" for c in (1, 2) for p in range(1, 5) for i in (1, 2))
    )
    found = open_benchmark(tmp_path, holdout=0)
    assert dict(found.names) == {1: "0001", 2: "0002", 3: "0003", 4: "0004"}
    assert Counter(crop.camera for crop in found.train) == {1: 8, 2: 8}
    first = form.format(1)
    assert any(
        f"Cameras are the folders {first}" in note and "by their names" in note for note in found.notes
    )


def test_cameras_below_persons(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{p}/cam{c}/day/{i}.jpg" for p in ("anna", "bob") for c in (3, 11) for i in (1, 2)))
    found = open_benchmark(tmp_path, holdout=0)
    assert dict(found.names) == {1: "anna", 2: "bob"}
    assert dict(found.camera_names) == {1: "cam3", 2: "cam11"}
    assert Counter((crop.person, crop.camera) for crop in found.train) == {
        (1, 1): 2, (1, 2): 2, (2, 1): 2, (2, 2): 2,
    }  # fmt: skip


def test_train_and_val_of_other_persons(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"{part}/{p:04}/{i}.jpg" for part, p in [("train", 1), ("train", 2), ("val", 3)] for i in "12"),
    )
    found = open_benchmark(tmp_path)
    assert {found.names[crop.person] for crop in found.train} == {"0001", "0002"}
    assert {found.names[crop.person] for crop in found.query} == {"0003"}
    assert any("'val' has other persons" in note for note in found.notes)


def test_the_whole_of_a_split_comes_before_its_parts(tmp_path: Path) -> None:
    """layumi's folders: train and val are copies of train_all's."""
    copies = [f"{part}/0001/{i}.jpg" for part in ("train", "val") for i in (1, 2)]
    whole = [f"train_all/{p:04}/{i}.jpg" for p in (1, 2) for i in (1, 2)]
    test = ["query/0003/1.jpg", "gallery/0003/2.jpg", "multi-query/0003/3.jpg"]
    found = open_benchmark(touch(tmp_path, *copies, *whole, *test))
    assert len(found.train) == 4
    counts = {row["reason"]: row["count"] for row in found.left_out.as_list()}
    assert counts == {
        "a picture in 'train' that is no crop of the set": 2,
        "a picture in 'val' that is no crop of the set": 2,
        "a picture in 'multi-query' that is no crop of the set": 1,
    }


@pytest.mark.parametrize(
    "form", ["{p:04}_c{c}s1_{i:06}_00.jpg", "{p:04}_c{c}_f{i:07}.png", "{p:04}C{c}T0001F{i:03}.jpg"]
)
def test_names_in_the_folders_of_a_split(tmp_path: Path, form: str) -> None:
    names = [form.format(p=p, c=c, i=i) for p in (1, 2) for c in (1, 2) for i in (1, 2)]
    test = [f"image_query/{form.format(p=5, c=1, i=1)}", f"image_gallery/{form.format(p=5, c=2, i=1)}"]
    found = open_benchmark(touch(tmp_path, *(f"image_train/{name}" for name in names), *test))
    assert (len(found.train), len(found.query), len(found.gallery)) == (8, 1, 1)
    assert (found.names[found.query[0].person], found.query[0].camera) == ("0005", 1)
    assert found.protocol == Protocol()
    assert any("Persons and cameras are read from the file names" in note for note in found.notes)


def test_names_tell_persons_where_folders_are_cameras(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(
            f"{place}/{p:04}_c{c}s1_{p:06}_00.jpg"
            for c, place in [(1, "gate"), (2, "hall")]
            for p in range(4)
        ),
    )
    found = open_benchmark(tmp_path, holdout=0)
    assert list(found.names.values()) == ["0000", "0001", "0002", "0003"]
    assert {crop.camera for crop in found.train} == {1, 2}


def test_tracks_of_mars_are_of_persons(tmp_path: Path) -> None:
    files = [f"bbox_train/{p:04}/{p:04}C{c}T{t:04}F001.jpg" for p in (1, 3) for c in (1, 2) for t in (1, 2)]
    files += ["bbox_test/00-1/00-1C1T0001F001.jpg", "bbox_test/0000/0000C1T0001F001.jpg"]
    files += [f"bbox_test/0002/0002C{c}T0001F001.jpg" for c in (1, 2)]
    found = open_benchmark(touch(tmp_path, *files), reader="folder")
    assert {found.names[crop.person] for crop in found.train} == {"0001", "0003"}
    assert {crop.person for crop in found.gallery} >= {JUNK}


def test_equal_sub_folders_are_asked_about(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"{place}/{p}/{i}.jpg" for place in ("gate", "hall", "yard") for p in range(1, 7) for i in "12"),
    )
    with pytest.raises(
        UserError, match=r"2 ways: 3 folders \(gate, hall, yard\) have sub-folders of the same"
    ) as asked:
        open_benchmark(tmp_path)
    outer, inner = options(asked)
    assert len(open_benchmark(tmp_path, pattern=outer, holdout=0).names) == 3
    found = open_benchmark(tmp_path, pattern=inner, holdout=0)
    assert list(found.names.values()) == list("123456")
    assert dict(found.camera_names) == {1: "gate", 2: "hall", 3: "yard"}


def test_far_fewer_folders_than_sub_folders_are_asked_about(tmp_path: Path) -> None:
    names = [f"{site}/{site}{p}/{i}.jpg" for site in ("north", "south") for p in range(9) for i in "12"]
    with pytest.raises(UserError, match=r"2 folders \(north, south\) have 18 sub-folders \(north0") as asked:
        open_benchmark(touch(tmp_path, *names))
    outer, inner = options(asked)
    assert len(open_benchmark(tmp_path, pattern=outer, holdout=0).names) == 2
    found = open_benchmark(tmp_path, pattern=inner, holdout=0)
    assert (len(found.names), found.protocol) == (18, EVERY_OTHER_IMAGE)


def test_sub_folders_that_begin_with_the_folders_name_are_tracks(tmp_path: Path) -> None:
    names = [
        f"{p:04}/{p:04}_c{c}_t{t}/{i}.jpg" for p in (1, 2, 3) for c in (1, 2) for t in (1, 2) for i in "12"
    ]
    assert len(open_benchmark(touch(tmp_path, *names), holdout=0).names) == 3


def test_names_that_contradict_folders_are_asked_about(tmp_path: Path) -> None:
    files = [f"group{p % 2}/{p:04}_c{c}s1_000001_00.jpg" for p in range(6) for c in (1, 2)]
    with pytest.raises(UserError, match=r"the 2 folders \(group0, group1\) are not the 6 persons") as asked:
        open_benchmark(touch(tmp_path, *files))
    names, folders = options(asked)
    assert len(open_benchmark(tmp_path, pattern=names, holdout=0).names) == 6
    assert len(open_benchmark(tmp_path, pattern=folders, holdout=0).names) == 2


@pytest.mark.parametrize("places", [("cam_1", "cam_2"), ("north", "south"), ("001", "002")])
def test_a_folder_a_camera_is_no_folder_a_person(tmp_path: Path, places: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{place}/{i}.jpg" for place in places for i in range(30)))
    for read in (open_benchmark, crops_to_embed):
        with pytest.raises(UserError, match="2 ways") as asked:
            read(tmp_path)
    (cameras,) = options(asked, "--camera-pattern")
    (persons,) = options(asked)
    assert f"with 'adapt': --pattern '{cameras}'" in str(asked.value)
    assert len(open_benchmark(tmp_path, pattern=persons, holdout=0).names) == 2
    found = crops_to_embed(tmp_path, camera_pattern=cameras)
    assert found.persons is None
    assert found.cameras is not None
    assert [found.camera_names[camera] for camera in found.cameras.tolist()] == [
        *[places[0]] * 30,
        *[places[1]] * 30,
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        ("2024-05-01", "2024-05-02"),
        ("20240501", "20240502_night"),
        ("clip_000", "clip_001"),
    ],
)
@pytest.mark.parametrize("camera", ["", "cam1/", "cam2/"])
def test_dates_and_clips_are_no_persons(tmp_path: Path, pieces: tuple[str, ...], camera: str) -> None:
    touch(tmp_path, *(f"{camera}{piece}/{i}.jpg" for piece in pieces for i in range(3)))
    with pytest.raises(UserError, match=f"{len(pieces)} folders .* are named as dates, hours") as asked:
        crops_to_embed(tmp_path)
    (persons,) = options(asked)
    for_adapt = "^(?P<camera>[^/]+)/'" if camera else f"{persons}' --ignore-persons"
    assert f"with 'adapt': --pattern '{for_adapt}" in str(asked.value)
    named = open_benchmark(tmp_path, pattern=persons, holdout=0)
    assert len(named.names) == len(pieces)
    assert list(named.camera_names.values()) == ([camera[:-1]] if camera else [])
    cameras = options(asked, "--camera-pattern")
    found = crops_to_embed(tmp_path, camera_pattern=cameras[0]) if camera else None
    assert len(cameras) == bool(camera)
    if found is not None:
        assert found.persons is None
        assert set(found.camera_names.values()) == {camera[:-1]}


@pytest.mark.parametrize(
    "folders", ["2024-05-{:02}/{:02}", "{:02}.05.2024/track{}", "cam1/2024-05-{:02}/{:02}"]
)
def test_nor_are_dates_over_hours_or_tracks(tmp_path: Path, folders: str) -> None:
    touch(
        tmp_path,
        *(f"{folders.format(a, b)}/{i}.jpg" for a in range(1, 4) for b in range(9, 11) for i in (1, 2)),
    )
    with pytest.raises(
        UserError, match=r"If the folders are persons: .* If the sub-folders are persons"
    ) as asked:
        crops_to_embed(tmp_path)
    assert all(open_benchmark(tmp_path, pattern=persons, holdout=0).names for persons in options(asked))
    assert crops_to_embed(tmp_path, unlabelled=True).persons is None


@pytest.mark.parametrize("form", ["1002345{:01}", "0000{:04}", "{}", "{:02}", "1{:02}"])
def test_numbers_that_are_no_dates_are_persons(tmp_path: Path, form: str) -> None:
    touch(tmp_path, *(f"{form.format(p)}/{i}.jpg" for p in range(1, 9) for i in (1, 2)))
    assert len(open_benchmark(tmp_path, holdout=0).names) == 8


def test_what_a_camera_pattern_leaves_unlabelled_is_said(tmp_path: Path) -> None:
    touch(tmp_path, *(f"clip{p}/cam{c}_{i}.jpg" for p in range(1, 9) for c in (1, 2) for i in (1, 2)))
    found = crops_to_embed(tmp_path, camera_pattern=r"cam(?P<camera>\d)")
    assert found.persons is None
    assert any("so nobody is labelled. Otherwise: --pattern" in note for note in found.notes)


def test_tracks_of_different_cameras_are_not_joined(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cam{c}/track{t}/{i}.jpg" for c in (1, 2) for t in range(4) for i in range(3)))
    with pytest.raises(
        UserError, match=r"4 folders \(track0, track1, track2 and 1 more\) .* may not be persons"
    ):
        open_benchmark(tmp_path, holdout=0)


def test_a_part_of_a_split_beside_others_is_asked_about(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{p}/{i}.jpg" for part in ("train", "more") for p in "ab" for i in "12"))
    with pytest.raises(
        UserError, match=f"'train' is named as a part of a split, more are not.*{tmp_path / 'train'}"
    ):
        open_benchmark(tmp_path)


def test_a_pattern_sees_the_folders_own_name_and_nothing_above(tmp_path: Path) -> None:
    root = touch(tmp_path / "cam9" / "gate_3", *(f"{p}/{i}.jpg" for p in "ab" for i in "12"))
    found = open_benchmark(root, pattern=r"gate_(?P<camera>\d)", holdout=0)
    assert {crop.camera for crop in found.train} == {3}
    with pytest.raises(UserError, match="cannot be read with --pattern"):
        open_benchmark(root, pattern=r"cam(?P<camera>\d)")


def test_zero_in_a_split_is_a_distractor_unless_a_query_has_it(tmp_path: Path) -> None:
    files = [f"train/{p}/{i}.jpg" for p in "12" for i in "12"]
    files += ["query/3/1.jpg", "gallery/3/2.jpg", "gallery/0/1.jpg"]
    found = open_benchmark(touch(tmp_path, *files))
    assert sorted(crop.person for crop in found.gallery) == [DISTRACTOR, 3]
    touch(tmp_path, "query/0/2.jpg")
    found = open_benchmark(tmp_path)
    assert dict(found.names) == {1: "0", 2: "1", 3: "2", 4: "3"}
    assert sorted(crop.person for crop in found.gallery) == [1, 4]
    assert found.protocol == EVERY_OTHER_IMAGE

"""Person 0, numbers of any length, and names that are no UTF-8."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from resight.data.crop import DISTRACTOR, JUNK
from resight.data.listing import save_listing
from resight.data.opening import open_benchmark
from resight.features.crop_list import crops_to_embed

WriteImages = Callable[[Iterable[str]], Path]


def market(person: int, camera: int, frame: int = 1) -> str:
    return (
        f"{person:04}_c{camera}s1_{frame:06}_00.jpg" if person >= 0 else f"-1_c{camera}s1_{frame:06}_00.jpg"
    )


def test_zero_is_a_person_where_a_query_has_it(write_images: WriteImages) -> None:
    root = write_images(
        [f"bounding_box_train/{market(person, camera)}" for person in (1, 2) for camera in (1, 2)]
        + [f"query/{market(person, 1)}" for person in (0, 3)]
        + [f"bounding_box_test/{market(person, 2)}" for person in (0, 3, JUNK)]
    )
    found = open_benchmark(root)
    assert [crop.person for crop in found.query] == [1, 4]
    assert [crop.person for crop in found.gallery] == [JUNK, 1, 4]
    assert {crop.person for crop in found.train} == {2, 3}
    assert dict(found.names) == {1: "0", 2: "1", 3: "2", 4: "3"}
    assert [note for note in found.notes if "Label 0 is a person, as a query has it" in note]


def test_zero_is_a_person_to_train_on_unless_there_is_junk(write_images: WriteImages) -> None:
    root = write_images(market(person, camera) for person in range(3) for camera in (1, 2))
    found = open_benchmark(root, holdout=0)
    assert {crop.person: found.names[crop.person] for crop in found.train} == {1: "0", 2: "1", 3: "2"}
    write_images([market(JUNK, 1)])
    found = open_benchmark(root, holdout=0)
    assert {crop.person for crop in found.train} == {1, 2}
    assert found.left_out.as_list() == [
        {"reason": "junk or a distractor, not in a gallery", "count": 3, "example": "-1_c1s1_000001_00.jpg"}
    ]


def test_zero_in_a_gallery_alone_marks_distractors(write_images: WriteImages) -> None:
    test = [f"query/{market(3, 1)}", *(f"bounding_box_test/{market(person, 2)}" for person in (0, 3))]
    train = [f"bounding_box_train/{market(person, camera)}" for person in (0, 1) for camera in (1, 2)]
    found = open_benchmark(write_images([*train, *test]))
    assert sorted(crop.person for crop in found.gallery) == [DISTRACTOR, 4]
    assert {crop.person for crop in found.train} == {1, 2}


def test_numbers_of_any_length(write_images: WriteImages) -> None:
    numbers = [10**19 + person for person in range(4)]
    root = write_images(
        f"{number}_c{camera}{10**18}s1_000001_00.jpg" for number in numbers for camera in (1, 2)
    )
    found = open_benchmark(root, holdout=0)
    assert {crop.person for crop in found.train} == {1, 2, 3, 4}
    assert dict(found.names) == {number: str(label) for number, label in enumerate(numbers, 1)}
    assert {crop.camera for crop in found.train} == {1, 2}
    assert found.camera_names[2] == f"2{10**18}"
    assert crops_to_embed(root).persons is not None


def test_names_that_are_no_utf8(write_images: WriteImages, tmp_path: Path) -> None:
    root = write_images(f"{person}/{picture}.jpg" for person in "ab" for picture in "12")
    for person, label in (("a", "张"), ("b", "王")):
        os.rename(os.fsencode(root / person), os.fsencode(root) + b"/" + label.encode("gbk"))
    found = open_benchmark(root, holdout=0)
    assert dict(found.names) == {1: r"\xcd\xf5", 2: r"\xd5\xc5"}
    listing = tmp_path / "listing.json"
    save_listing(found, listing)
    assert json.loads(listing.read_bytes())["train"][0] == r"\xcd\xf5/1.jpg"
    again = open_benchmark(root, holdout=0, listing=listing)
    assert [crop.path for crop in again.train] == [crop.path for crop in found.train]


@pytest.mark.parametrize("part", ["query", "all"])
def test_embedding_and_training_agree_on_zero(write_images: WriteImages, part: str) -> None:
    test = [
        f"{folder}/{market(p, c)}" for folder, c in (("query", 1), ("bounding_box_test", 2)) for p in (0, 1)
    ]
    root = write_images([*test, f"bounding_box_train/{market(5, 1)}", f"bounding_box_train/{market(6, 1)}"])
    found = crops_to_embed(root, part=part)
    assert found.persons is not None
    assert set(found.persons.tolist()) == ({1, 2} if part == "query" else {1, 2, 6, 7})

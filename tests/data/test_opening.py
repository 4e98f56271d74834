"""Reading data sets and splitting them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.data.crop import DISTRACTOR, JUNK, Crop
from resight.data.opening import READERS, open_benchmark
from resight.errors import UserError

WriteImages = Callable[[Iterable[str]], Path]


def names(crops: Sequence[Crop]) -> list[str]:
    return [crop.path.name for crop in crops]


def market(person: int, camera: int, frame: int, suffix: str = "jpg") -> str:
    label = "-1" if person == JUNK else f"{person:04}"
    return f"{label}_c{camera}s1_{frame:06}_00.{suffix}"


def test_market_layout_is_read_as_it_is(write_images: WriteImages) -> None:
    root = write_images(
        [
            f"bounding_box_train/{market(2, 1, 1)}",
            f"bounding_box_train/{market(2, 6, 2, 'PNG')}",
            f"bounding_box_train/{market(10, 3, 1, 'jpeg')}",
            f"query/{market(5, 1, 1, 'bmp')}",
            f"bounding_box_test/{market(5, 2, 1)}",
            f"bounding_box_test/{market(JUNK, 4, 1)}",
            f"bounding_box_test/{market(DISTRACTOR, 1, 1)}",
        ]
    )
    (root / "bounding_box_train" / "Thumbs.db").write_bytes(b"not an image")
    (root / "bounding_box_train" / "._0002_c1s1_000001_00.jpg").write_bytes(b"not an image")
    found = open_benchmark(root)
    assert [(crop.person, crop.camera) for crop in found.train] == [(2, 1), (2, 6), (10, 3)]
    assert [(crop.person, crop.camera) for crop in found.query] == [(5, 1)]
    assert [(crop.person, crop.camera) for crop in found.gallery] == [(JUNK, 4), (DISTRACTOR, 1), (5, 2)]
    assert (found.name, found.root, found.protocol, found.notes) == ("set", root, Protocol(), ())


def test_junk_and_distractors_are_no_persons_to_train_on(write_images: WriteImages) -> None:
    train = [market(1, 1, 1), market(JUNK, 1, 2), market(DISTRACTOR, 1, 3)]
    root = write_images([f"bounding_box_train/{name}" for name in train] + [f"query/{market(7, 1, 1)}"])
    found = open_benchmark(root)
    assert names(found.train) == [market(1, 1, 1)]
    assert any("2 junk and distractor crops" in note for note in found.notes)
    assert any("none named bounding_box_test" in note for note in found.notes)


def test_holdout_follows_the_rule_of_the_field(write_images: WriteImages) -> None:
    """Like CUHK03: no test part, two views a person; the sequence does not count."""
    crops = {
        (1, 1): 2, (1, 2): 2, (20, 1): 1, (20, 2): 3,  # persons 1 and 20 train
        (300, 1): 3, (300, 2): 2, (301, 1): 1, (301, 2): 1, (302, 1): 2,  # the last three test
    }  # fmt: skip
    files = [
        f"bounding_box_train/{person:04}_c{camera}s{person % 5 + 1}_{frame + 1:06}_00.jpg"
        for (person, camera), count in crops.items()
        for frame in range(count)
    ]
    found = open_benchmark(write_images(files), holdout=3)
    assert Counter(crop.person for crop in found.train) == {1: 4, 20: 4}
    assert [(crop.person, crop.camera, crop.path.name[-13:-7]) for crop in found.query] == [
        (300, 1, "000001"), (300, 2, "000001"), (301, 1, "000001"), (301, 2, "000001"), (302, 1, "000001"),
    ]  # fmt: skip
    assert Counter((crop.person, crop.camera) for crop in found.gallery) == {
        (300, 1): 2,
        (300, 2): 1,
        (302, 1): 1,
    }
    assert found.protocol == Protocol()


@pytest.mark.parametrize(("persons", "held"), [(3, 0), (4, 2), (9, 2), (15, 3), (20, 4)])
def test_the_last_fifth_is_held_out_unless_told_otherwise(
    write_images: WriteImages, persons: int, held: int
) -> None:
    files = [market(person, camera, 1) for person in range(1, persons + 1) for camera in (1, 2)]
    found = open_benchmark(write_images(files))
    assert {crop.person for crop in found.train} == set(range(1, persons - held + 1))
    assert {crop.person for crop in found.query} == set(range(persons - held + 1, persons + 1))
    assert (f"last {held} of {persons}" if held else "there is no test") in found.notes[0]


def test_holdout_of_none_and_of_all(write_images: WriteImages) -> None:
    root = write_images(market(person, camera, 1) for person in (1, 2, 3) for camera in (1, 2))
    everybody = open_benchmark(root, holdout=0)
    assert (len(everybody.train), everybody.query, everybody.gallery) == (6, (), ())
    nobody = open_benchmark(root, holdout=3)
    assert (nobody.train, len(nobody.query)) == ((), 6)


@pytest.mark.parametrize("holdout", [4, -1])
def test_holdout_out_of_range_is_refused(write_images: WriteImages, holdout: int) -> None:
    root = write_images(market(person, camera, 1) for person in (1, 2, 3) for camera in (1, 2))
    with pytest.raises(
        UserError, match=f"{holdout} persons cannot be held out.* has 3 persons.* between 0 .* and 3"
    ):
        open_benchmark(root, holdout=holdout)


def test_holdout_leaves_a_given_test_alone_and_says_so(write_images: WriteImages) -> None:
    train = [f"bounding_box_train/{market(p, c, f)}" for p in (1, 2, 3) for c in (1, 2) for f in (1, 2)]
    root = write_images([*train, f"query/{market(8, 1, 1)}", f"bounding_box_test/{market(8, 2, 1)}"])
    found = open_benchmark(root, holdout=1)
    assert {crop.person for crop in found.train} == {1, 2}
    assert {crop.person for crop in (*found.query, *found.gallery)} == {3}
    assert any("own test part is not used" in note for note in found.notes)


def test_junk_and_distractors_join_the_gallery_that_is_held_out(write_images: WriteImages) -> None:
    files = [market(p, c, f) for p in (1, 2) for c in (1, 2) for f in (1, 2)]
    root = write_images([*files, market(JUNK, 1, 9), market(DISTRACTOR, 1, 9)])
    found = open_benchmark(root, holdout=1)
    assert {crop.person for crop in found.query} == {2}
    assert Counter(crop.person for crop in found.gallery) == {2: 2, JUNK: 1, DISTRACTOR: 1}
    assert {crop.person for crop in open_benchmark(root, holdout=0).train} == {1, 2}


def test_names_of_another_form_are_shown(write_images: WriteImages) -> None:
    strange = [f"bounding_box_train/IMG_{number}.jpg" for number in range(5)]
    root = write_images([f"bounding_box_train/{market(1, 1, 1)}", *strange])
    with pytest.raises(UserError) as refused:
        open_benchmark(root)
    for expected in ("5 of 6 images", "PPPP_cCsS_FFFFFF_BB.jpg", *strange[:3], "--pattern"):
        assert expected in str(refused.value)
    assert strange[3] not in str(refused.value)


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        open_benchmark(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        open_benchmark(tmp_path / "file")
    (tmp_path / "empty" / "bounding_box_train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"contains no image file\. .* \.avif, \.bmp, \.gif, \.jfif"):
        open_benchmark(tmp_path / "empty")
    (tmp_path / "empty" / "a.psd").touch()
    with pytest.raises(UserError, match=r"contains no image file, but 1 x a \.psd picture"):
        open_benchmark(tmp_path / "empty")


def test_plain_folder_without_cameras(write_images: WriteImages) -> None:
    people = ["anna", "bob", "p2", "p10", "zoe"]
    root = write_images([f"{name}/{index}.jpg" for name in people for index in range(3)] + ["overview.png"])
    (root / "anna" / "notes.txt").write_text("not an image")
    found = open_benchmark(root, holdout=2)
    assert dict(found.names) == {1: "anna", 2: "bob", 3: "p2", 4: "p10", 5: "zoe"}
    assert {crop.person for crop in found.train} == {1, 2, 3}
    assert found.query == found.gallery
    assert {crop.person for crop in found.query} == {4, 5}
    assert all(crop.camera is None for crop in found.query)
    assert found.protocol == EVERY_OTHER_IMAGE
    assert any("Cameras are not known" in note and "every other image" in note for note in found.notes)
    assert any("overview.png" in note for note in found.notes)


def test_images_may_lie_deeper_and_folders_may_be_links(write_images: WriteImages, tmp_path: Path) -> None:
    root = write_images([f"{p}/cam{c}/morning/{i}.jpg" for p in "ab" for c in (2, 10) for i in (1, 2)])
    elsewhere = tmp_path / "elsewhere"
    (root / "b").rename(elsewhere)
    (root / "b").symlink_to(elsewhere)
    found = open_benchmark(root, holdout=0, pattern=r"/cam(?P<camera>\d+)/")
    assert Counter((crop.person, crop.camera) for crop in found.train) == {
        (1, 2): 2, (1, 10): 2, (2, 2): 2, (2, 10): 2,
    }  # fmt: skip


def test_pattern_reads_flat_folders_and_named_cameras(write_images: WriteImages) -> None:
    files = [f"{cam}-{person}-{i}.jpg" for cam in ("gate", "door") for person in "abcd" for i in (1, 2)]
    root = write_images(files)
    found = open_benchmark(root, holdout=2, pattern=r"(?P<camera>\w+)-(?P<person>\w+)-")
    assert dict(found.names) == {1: "a", 2: "b", 3: "c", 4: "d"}
    assert any("door = 1, gate = 2" in note for note in found.notes)
    assert Counter((crop.person, crop.camera) for crop in found.query) == {
        (3, 1): 1, (3, 2): 1, (4, 1): 1, (4, 2): 1,
    }  # fmt: skip
    assert found.protocol == Protocol()


def test_pattern_reads_other_names_in_market_folders(write_images: WriteImages) -> None:
    """DukeMTMC's names."""
    root = write_images(
        [f"bounding_box_train/{p:04}_c{c}_f{1000 * c:07}.jpg" for p in (1, 2) for c in (1, 2)]
        + [
            "query/0005_c2_f0046985.jpg",
            "bounding_box_test/0005_c1_f0046985.jpg",
            "bounding_box_test/0000_c1_f1.jpg",
        ]
    )
    found = open_benchmark(root, pattern=r"(?P<person>[-\d]+)_c(?P<camera>\d)")
    assert (len(found.train), len(found.query), found.protocol) == (4, 1, Protocol())
    assert sorted(crop.person for crop in found.gallery) == [DISTRACTOR, found.query[0].person]
    assert found.names[found.query[0].person] == "0005"


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        (r"(\d+)", "neither a group 'person' nor 'camera'"),
        (r"(?P<person>\d+", "is no regular expression"),
        (r"(?P<person>x\d+)", "6 of 6 images .*: a/1.jpg, a/2.jpg, a/3.jpg\\."),
        (r"(?P<camera>[12])\.", "2 of 6 images .*: a/3.jpg, b/3.jpg\\."),
        (r"(?P<person>[ab])/(?P<camera>1)?", "4 of 6 images"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(write_images: WriteImages, pattern: str, sentence: str) -> None:
    root = write_images(f"{person}/{index}.jpg" for person in "ab" for index in (1, 2, 3))
    with pytest.raises(UserError, match=sentence):
        open_benchmark(root, pattern=pattern)


def test_split_folders_of_persons(write_images: WriteImages) -> None:
    """As layumi's baseline lays Market-1501 out: cameras are in the names, junk has a folder of its own."""
    root = write_images(
        [f"train/{p:04}/{market(p, c, 1)}" for p in (2, 7) for c in (1, 2)]
        + [
            f"query/0005/{market(5, 1, 1)}",
            f"gallery/0005/{market(5, 2, 1)}",
            f"gallery/-1/{market(JUNK, 2, 1)}",
        ]
        + [f"gallery/0000/{market(0, 3, 1)}", f"val/0002/{market(2, 1, 1)}"]
    )
    found = open_benchmark(root)
    assert dict(found.names) == {1: "0002", 2: "0005", 3: "0007"}
    assert sorted(crop.person for crop in found.train) == [1, 1, 1, 3, 3]
    assert [(crop.person, crop.camera) for crop in found.query] == [(2, 1)]
    assert sorted((crop.person, crop.camera) for crop in found.gallery) == [
        (JUNK, 2),
        (DISTRACTOR, 3),
        (2, 2),
    ]
    assert found.protocol == Protocol()
    assert "The part 'val' has the same persons: it is trained on." in found.notes
    assert any("Cameras are read from the file names" in note for note in found.notes)


def test_zero_may_be_a_person_of_a_plain_folder(write_images: WriteImages) -> None:
    root = write_images(f"{person:04}/{index}.jpg" for person in range(3) for index in (1, 2))
    assert dict(open_benchmark(root, holdout=0).names) == {1: "0000", 2: "0001", 3: "0002"}


def test_test_folder_without_queries(write_images: WriteImages) -> None:
    root = write_images(
        f"{part}/{p}/{i}.jpg" for part, p in (("train", "a"), ("train", "b"), ("test", "c")) for i in "12"
    )
    found = open_benchmark(root)
    assert {crop.person for crop in found.train} == {1, 2}
    assert (found.query, len(found.query), found.protocol) == (found.gallery, 2, EVERY_OTHER_IMAGE)
    assert any("queries are chosen" in note for note in found.notes)


def test_one_camera_only_falls_back_and_says_so(write_images: WriteImages) -> None:
    root = write_images(market(person, 1, frame) for person in range(1, 6) for frame in (1, 2))
    found = open_benchmark(root, holdout=2)
    assert found.protocol == EVERY_OTHER_IMAGE
    assert (found.query, len(found.query)) == (found.gallery, 4)
    assert any("No test person is seen by two cameras" in note for note in found.notes)


def test_one_person_hints_at_the_inner_folder(write_images: WriteImages) -> None:
    root = write_images(f"Market/{person}/{index}.jpg" for person in "ab" for index in "12")
    with pytest.raises(UserError, match=f"one person, 'Market'.*name {root / 'Market'} instead"):
        open_benchmark(root)


def test_single_images_are_refused(write_images: WriteImages) -> None:
    root = write_images(f"{person}/1.jpg" for person in "abcdef")
    with pytest.raises(UserError, match=r"Each of the 6 persons .* has a single image"):
        open_benchmark(root)


def test_images_without_any_folder_ask_for_a_pattern(write_images: WriteImages) -> None:
    root = write_images(f"{index}.jpg" for index in range(5))
    with pytest.raises(UserError, match=r"The 5 images .*: 0.jpg, 1.jpg, 2.jpg\. .*--pattern"):
        open_benchmark(root)


def test_readers_are_registered() -> None:
    assert {"folder", "market-1501", "market-layout", "dukemtmc-reid"} <= set(READERS.names())

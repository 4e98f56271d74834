"""``resight data check``: what it counts and finds, and how it says so."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image

from resight.commands.data import check as command
from resight.data.check import check_benchmark
from resight.data.matching import count_matches
from resight.data.opening import open_benchmark
from resight.errors import UserError

WriteImages = Callable[[Iterable[str]], Path]
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"


def market(part: str, label: str, camera: int, frame: int = 1) -> str:
    return f"{part}/{label}_c{camera}s1_{frame:06}_00.png"


def make_good(write_images: WriteImages) -> Path:
    return write_images(
        [
            market(TRAIN, "0001", 1),
            market(TRAIN, "0001", 1, 2),
            market(TRAIN, "0001", 2),
            market(TRAIN, "0002", 1),
            market(TRAIN, "0003", 3),
            market(TRAIN, "0003", 3, 2),
            market(QUERY, "0004", 1),
            market(QUERY, "0005", 1),
            market(QUERY, "0006", 1),
            market(QUERY, "-1", 1),
            market(GALLERY, "0004", 2),
            market(GALLERY, "0004", 3),
            market(GALLERY, "0004", 1, 2),
            market(GALLERY, "0005", 1, 2),
            market(GALLERY, "-1", 2),
            market(GALLERY, "0000", 2),
        ]
    )


def test_counts(write_images: WriteImages) -> None:
    found = check_benchmark(open_benchmark(make_good(write_images)))
    train, gallery = found.parts["train"], found.parts["gallery"]
    assert (train.crops, train.persons, train.cameras, train.cross_camera_pairs) == (6, 3, 3, 2)
    assert (train.single_image, train.single_camera) == (1, 1)
    assert (gallery.crops, gallery.persons, gallery.junk, gallery.distractors) == (6, 2, 1, 1)
    assert train.smallest == train.median == train.largest == (8, 4)
    matches = found.matches
    assert matches is not None
    assert (matches.queries, matches.with_match, matches.pairs) == (4, 1, 2)
    assert (matches.person_missing, matches.same_camera_only, matches.not_a_person) == (1, 1, 1)
    assert (found.problems, found.unreadable, found.duplicates, found.in_train_and_test) == ((), (), (), ())
    text = " ".join(found.warnings)
    for expected in (
        "1 of 3 persons to train on have a single image",
        "1 of 3 persons to train on are seen by one",
    ):
        assert expected in text
    assert (
        "3 of 4 queries have no match in the gallery and will be left out: 1 of persons who are not there"
        in text
    )


def test_matches_without_cameras_leave_the_query_itself_out(write_images: WriteImages) -> None:
    root = write_images(
        f"{person}/{index}.png"
        for person, count in (("a", 2), ("b", 2), ("c", 3), ("d", 1))
        for index in range(count)
    )
    matches = count_matches(open_benchmark(root, holdout=2))
    assert (matches.queries, matches.with_match, matches.person_missing, matches.pairs) == (4, 3, 1, 6)


def test_unreadable_and_duplicate_files_are_named(write_images: WriteImages) -> None:
    root = make_good(write_images)
    broken, copy = root / market(TRAIN, "0002", 1), root / market(TRAIN, "0001", 2)
    broken.write_bytes(broken.read_bytes()[:40])
    (root / market(QUERY, "0005", 1)).write_bytes(copy.read_bytes())
    found = check_benchmark(open_benchmark(root))
    assert [path for path, _ in found.unreadable] == [broken]
    assert f"{market(TRAIN, '0002', 1)} holds no whole image" in found.problems[0]
    assert [sorted(crop.person for crop in group) for group in found.duplicates] == [[1, 5]]
    text = " ".join(found.warnings)
    assert "1 images are exact copies" in text
    assert "1 images are in both the training part and the test" in text
    assert "1 images are labelled as several persons" in text


def test_persons_in_both_parts(write_images: WriteImages) -> None:
    root = make_good(write_images)
    write_images([market(GALLERY, "0003", 1, 7)])
    found = check_benchmark(open_benchmark(root))
    assert found.in_train_and_test == (3,)
    assert "1 persons are in both" in found.problems[0]


def test_no_match_at_all_says_why(write_images: WriteImages) -> None:
    root = write_images(
        [
            market(QUERY, "0001", 1),
            market(QUERY, "0002", 1),
            market(QUERY, "0003", 1),
            market(GALLERY, "0001", 1, 2),
            market(TRAIN, "0008", 1),
            market(TRAIN, "0009", 1),
            market(GALLERY, "-1", 2),
        ]
    )
    (problem,) = check_benchmark(open_benchmark(root)).problems
    assert problem == (
        "None of the 3 queries has a match in the gallery: 2 of persons who are not there, 1 of persons who "
        "are there under the query's own camera only."
    )


def test_sizes_differ(write_images: WriteImages) -> None:
    root = make_good(write_images)
    Image.new("RGB", (30, 60)).save(root / market(TRAIN, "0001", 1))
    train = check_benchmark(open_benchmark(root)).parts["train"]
    assert (train.smallest, train.median, train.largest) == ((8, 4), (8, 4), (60, 30))


def test_command_prints_a_table(write_images: WriteImages, capsys: pytest.CaptureFixture[str]) -> None:
    command(make_good(write_images))
    out, _ = capsys.readouterr()
    for expected in ("Cross-camera pairs", "8 x 4", "1 of 4 queries have a match", "Warning: ", "Usable."):
        assert expected in out


def test_command_prints_one_json_object(write_images: WriteImages) -> None:
    root = make_good(write_images)
    broken = root / market(GALLERY, "0004", 2)
    broken.write_bytes(b"")
    arguments = [sys.executable, "-m", "resight", "data", "check", str(root), "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["usable"] is False
    assert found["unreadable"] == [{"path": market(GALLERY, "0004", 2), "reason": "is empty (0 bytes)."}]
    assert found["parts"]["train"]["persons"] == 3
    assert found["protocol"] == "market-1501"
    assert "Reading images" in done.stderr


def test_command_fails_where_nothing_is_usable(write_images: WriteImages, tmp_path: Path) -> None:
    root = make_good(write_images)
    (root / market(TRAIN, "0001", 1)).write_bytes(b"junk")
    with pytest.raises(SystemExit) as exited:
        command(root)
    assert exited.value.code == 1
    with pytest.raises(UserError, match="There is no folder"):
        command(tmp_path / "nowhere")

"""CUHK03 from made-up files: the original's cells and splits, the new protocol's folders and split."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from resight.data.benchmark import Protocol
from resight.data.benchmarks.cuhk03 import CUHK03
from resight.data.check import check_benchmark
from resight.data.opening import open_benchmark
from resight.data.published import compare
from resight.errors import UserError
from resight.imaging import read_image

WriteImages = Callable[[Iterable[str]], Path]

PAIRS = (70, 50)  # persons of each pair of cameras


def pixels(pair: int, person: int, image: int) -> np.ndarray[Any, Any]:
    """Return an image of 4 x 2 whose colours tell which it is."""
    return np.full((4, 2, 3), (10 * pair, person, 20 * image), dtype=np.uint8)


def is_there(boxes: str, person: int, image: int) -> bool:
    """Say which images of a person there are: two of the first view, one or two of the second."""
    return image in (0, 1, 5) or (image == 6 and person % 2 == (boxes == "labeled"))


def write_mat(path: Path, boxes: Iterable[str] = ("labeled", "detected")) -> None:
    """Write cells as MATLAB 7.3 does: transposed, each a reference."""
    with h5py.File(path, "w") as file:
        store = file.create_group("#refs#")

        def keep(value: np.ndarray[Any, Any]) -> Any:
            return store.create_dataset(str(len(store)), data=value).ref

        for key in boxes:
            pairs = []
            for pair, persons in enumerate(PAIRS, 1):
                cells = np.empty((10, persons), dtype=h5py.ref_dtype)
                for person in range(1, persons + 1):
                    for image in range(10):
                        there = is_there(key, person, image)
                        value = pixels(pair, person, image).T if there else np.zeros(2, dtype=np.uint64)
                        cells[image, person - 1] = keep(value)
                pairs.append(keep(cells))
            file.create_dataset(key, data=np.array([pairs], dtype=h5py.ref_dtype))
        splits = []
        for split in range(2):
            both = [(1, person + split) for person in range(1, 61)] + [(2, person) for person in range(1, 41)]
            splits.append(keep(np.array(both, dtype=float).T))
        file.create_dataset("testsets", data=np.array([splits], dtype=h5py.ref_dtype))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cuhk03")
    (root / "cuhk03_release").mkdir()
    write_mat(root / "cuhk03_release" / "cuhk-03.mat")
    return root


@pytest.fixture(autouse=True)
def _one_cache(original: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(original.parent / "cuhk03-cache"))


def test_old_protocol(original: Path) -> None:
    found = open_benchmark(original, reader="cuhk03,boxes=labelled,protocol=old")
    # persons are numbered through the pairs: 1 to 70, 71 to 120; split 0 tests 1 to 60 and 71 to 110
    test = {*range(1, 61), *range(71, 111)}
    assert {crop.person for crop in found.query} == test
    assert found.query == found.gallery
    assert {crop.person for crop in found.train} == {*range(61, 71), *range(111, 121)}
    assert found.names[70] == "1_070"
    assert found.names[71] == "2_001"
    assert found.draws == ()
    assert found.protocol == Protocol("cuhk03-old", gallery_side="opposite", cmc="single-shot", draws=20)
    second = [crop for crop in found.gallery if crop.person == 72]
    assert [(crop.camera, crop.path.name) for crop in second] == [
        (1, "2_002_1_01.png"),
        (1, "2_002_1_02.png"),
        (2, "2_002_2_06.png"),
    ]
    np.testing.assert_array_equal(read_image(second[2].path), pixels(2, 2, 5))
    assert found.relative(second[2].path) == "2_002_2_06.png"
    assert any("360 labelled crops" in note or "labelled crops of 14,096" in note for note in found.notes)


def test_old_protocol_draws_one_of_each_view(original: Path) -> None:
    found = open_benchmark(original, reader="cuhk03,boxes=detected,protocol=old,probes=one,draws=4")
    assert len(found.draws) == 4
    for draw in found.draws:
        assert [crop.person for crop in draw.query] == [crop.person for crop in draw.gallery]
        assert len({crop.person for crop in draw.query}) == len(draw.query) == 100
        assert all(a.camera != b.camera for a, b in zip(draw.query, draw.gallery, strict=True))
    assert {crop.camera for crop in found.draws[0].query} == {1, 2}  # the probe's view is drawn too
    assert len({draw.query for draw in found.draws}) == 4
    fewer = open_benchmark(original, reader="cuhk03,protocol=old,probes=one,draws=2")
    assert fewer.draws == found.draws[:2]


def test_each_split_tests_others_and_validation_persons_are_set_apart(original: Path) -> None:
    first = open_benchmark(original, reader="cuhk03,protocol=old,validation=5")
    second = open_benchmark(original, reader="cuhk03,protocol=old,split=1")
    assert {crop.person for crop in second.query} == {*range(2, 62), *range(71, 111)}
    held = open_benchmark(original, reader="cuhk03,protocol=old,validation=5,part=validation")
    assert first.train == held.train
    persons = [{crop.person for crop in crops} for crops in (first.train, held.query, first.query)]
    assert [len(part) for part in persons] == [15, 5, 100]
    assert not persons[0] & persons[1]
    assert not (persons[0] | persons[1]) & persons[2]
    assert "train: 15 of 1,362 persons" in compare(first)[0]
    assert "query" not in compare(first)[0]  # 100 test persons, as published
    with pytest.raises(UserError, match="has 2 splits; there is no split 2"):
        open_benchmark(original, reader="cuhk03,protocol=old,split=2")
    with pytest.raises(UserError, match="add validation=100"):
        open_benchmark(original, reader="cuhk03,protocol=old,part=validation")


def test_images_are_unpacked_once_and_relative_paths_stay(original: Path) -> None:
    first = open_benchmark(original, reader="cuhk03,protocol=old").query[0].path
    written = first.stat().st_mtime_ns
    assert open_benchmark(original, reader="cuhk03,protocol=old").query[0].path.stat().st_mtime_ns == written
    assert [path.name for path in first.parent.parent.iterdir() if path.name.startswith(".")] == []


def write_split(root: Path, boxes: str, gallery: Iterable[str]) -> None:
    files = ["1_001_1_01.png", "1_001_2_06.png", "1_002_1_01.png", "1_002_2_06.png", *gallery]
    cells = np.empty((len(files), 1), dtype=object)
    cells[:, 0] = files
    indices = {"train_idx": [1, 2], "query_idx": [3, 4], "gallery_idx": range(5, len(files) + 1)}
    content = {key: np.array(list(value), dtype=float)[:, None] for key, value in indices.items()}
    savemat(root / f"cuhk03_new_protocol_config_{boxes}.mat", content | {"filelist": cells})


def test_new_protocol_of_the_original_file(original: Path, tmp_path: Path) -> None:
    (tmp_path / "cuhk-03.mat").symlink_to(original / "cuhk03_release" / "cuhk-03.mat")
    with pytest.raises(
        UserError, match=r"cuhk03_new_protocol_config_detected.mat next to .*github.com/zhunzhong07"
    ):
        open_benchmark(tmp_path)
    write_split(tmp_path, "detected", ["1_002_1_02.png", "1_002_2_07.png"])
    found = open_benchmark(tmp_path)
    assert [crop.path.name for crop in found.query] == ["1_002_1_01.png", "1_002_2_06.png"]
    assert [(crop.person, crop.camera) for crop in found.gallery] == [(2, 1), (2, 2)]
    assert (found.protocol.name, found.draws) == ("market-1501", ())
    write_split(tmp_path, "detected", ["1_002_2_10.png"])
    with pytest.raises(UserError, match=r"1 images of the new split are not in .*1_002_2_10.png"):
        open_benchmark(tmp_path)
    savemat(tmp_path / "cuhk03_new_protocol_config_detected.mat", {"other": 1})
    with pytest.raises(UserError, match="is not the split of the new protocol"):
        open_benchmark(tmp_path)
    with pytest.raises(UserError, match="no validation part"):
        open_benchmark(tmp_path, reader="cuhk03,validation=100")


def folders(boxes: str) -> list[str]:
    return [
        *(f"{boxes}/bounding_box_train/{person:04}_c{view}_1.png" for person in (1, 2) for view in (1, 2)),
        f"{boxes}/query/0003_c1_1.png",
        f"{boxes}/query/0003_c2_4.png",
        f"{boxes}/bounding_box_test/0003_c1_2.png",
        f"{boxes}/bounding_box_test/0003_c2_5.png",
    ]


def test_folders_of_the_new_protocol(write_images: WriteImages) -> None:
    root = write_images(
        [*folders("labeled"), *folders("detected"), "labeled/bounding_box_train/0002_c2_9.png"]
    )
    detected = open_benchmark(root)
    labelled = open_benchmark(root, reader="cuhk03,boxes=labelled")
    assert (len(detected.train), len(labelled.train)) == (4, 5)
    assert [(crop.person, crop.camera) for crop in detected.query] == [(3, 1), (3, 2)]
    assert detected.relative(detected.query[0].path) == "detected/query/0003_c1_1.png"
    matches = check_benchmark(detected).matches
    assert matches is not None
    assert (matches.with_match, matches.pairs) == (2, 2)
    assert open_benchmark(root / "detected").train == detected.train
    with pytest.raises(UserError, match=r"needs the original file cuhk-03.mat"):
        open_benchmark(root, reader="cuhk03,protocol=old")
    with pytest.raises(UserError, match=r"labelled boxes .* holds the detected ones.*boxes=detected"):
        open_benchmark(root / "detected", reader="cuhk03,boxes=labelled")


def test_labelled_boxes_taken_for_detected_ones_are_told_by_their_counts(write_images: WriteImages) -> None:
    root = write_images(folders("labeled"))
    found = open_benchmark(root / "labeled", reader="cuhk03,boxes=labelled")
    assert found.published is not None
    (sentence,) = found.published.mixups
    assert sentence == "These are the counts of the detected boxes, not of the labelled ones."
    assert found.published.mixups[sentence]["gallery"].crops == 5332


def test_files_that_are_not_cuhk03(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cuhk-03.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file, and so on")
    with pytest.raises(UserError, match=r"no MATLAB 7.3 \(HDF5\) file"):
        open_benchmark(tmp_path, reader="cuhk03,protocol=old")
    with h5py.File(path, "w") as file:
        file.create_dataset("gait", data=[1.0])
    with pytest.raises(UserError, match="is not CUHK03: it has no labeled, detected, testsets; it has gait"):
        open_benchmark(tmp_path, reader="cuhk03,protocol=old")
    with h5py.File(path, "w") as file:
        for key in ("labeled", "detected", "testsets"):
            file.create_dataset(key, data=[[1.0]])
    with pytest.raises(UserError, match="is not laid out as CUHK03"):
        open_benchmark(tmp_path, reader="cuhk03,protocol=old")
    write_mat(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cuhk-03.mat is cut short or damaged: .*owners' archive again"):
        open_benchmark(tmp_path, reader="cuhk03,protocol=old")
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    with pytest.raises(UserError, match=r"cuhk-03.mat is (cut short or damaged|not laid out as CUHK03): "):
        open_benchmark(tmp_path, reader="cuhk03,protocol=old")
    with pytest.raises(UserError, match=r"cuhk-03.mat is a file. Name the folder"):
        open_benchmark(path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"needs h5py.*pip install 'resight\[cuhk03\]'"):
        open_benchmark(tmp_path, reader="cuhk03,protocol=old")
    path.unlink()
    with pytest.raises(UserError, match=r"holds neither cuhk-03.mat nor folders"):
        CUHK03().read(tmp_path)

"""CIFAR-100 in both of its layouts, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from python2 import python2_pickle

from resight.data.benchmark import Published, PublishedCounts
from resight.data.check_classification import check_classification
from resight.data.classification import Classification
from resight.data.classifications.cifar100 import CIFAR100, COUNTS
from resight.data.opening import open_benchmark, open_data, reopen
from resight.errors import UserError

NAMES = ("apple", "bear", "chair")
LABELS = {"train": [2, 0, 1, 1, 0], "test": [1, 2]}
Layout = Callable[[Path], Path]


def pictures(part: str) -> NDArray[np.uint8]:
    """Return the pictures of a part, uint8 [N, 32, 32, 3]."""
    random = np.random.default_rng(len(part))
    return random.integers(0, 256, (len(LABELS[part]), 32, 32, 3), dtype=np.uint8)


def rows(part: str) -> NDArray[np.uint8]:
    """Return them as the archives have them: all red values, then all green, then all blue ones."""
    planes = [[one[:, :, colour].ravel() for colour in range(3)] for one in pictures(part)]
    return np.stack([np.concatenate(three) for three in planes])


def python_layout(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for part, labels in LABELS.items():
        content = {
            "filenames": [f"{part}_s_{number}.png" for number in range(len(labels))],
            "batch_label": f"{part}ing batch 1 of 1",
            "fine_labels": labels,
            "coarse_labels": [0] * len(labels),
            "data": rows(part),
        }
        (folder / part).write_bytes(python2_pickle(content))
    meta = {"fine_label_names": list(NAMES), "coarse_label_names": ["things"]}
    (folder / "meta").write_bytes(python2_pickle(meta))
    return folder


def binary_layout(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for part, labels in LABELS.items():
        records = (bytes([0, label, *row]) for label, row in zip(labels, rows(part), strict=True))
        (folder / f"{part}.bin").write_bytes(b"".join(records))
    (folder / "fine_label_names.txt").write_text("\n".join(NAMES) + "\n\n")
    (folder / "coarse_label_names.txt").write_text("things\n")
    return folder


LAYOUTS = pytest.mark.parametrize("layout", [python_layout, binary_layout])


def opened(path: Path) -> Classification:
    found = open_data(path)
    assert isinstance(found, Classification)
    return found


@LAYOUTS
def test_both_layouts_hold_the_same(layout: Layout, tmp_path: Path) -> None:
    found = opened(layout(tmp_path / "cifar-100"))
    assert (found.name, found.classes) == ("cifar-100", NAMES)
    for part, read in (("train", found.train), ("test", found.test)):
        assert read.pixels.dtype == np.uint8
        assert read.pixels.flags.c_contiguous
        assert np.array_equal(read.pixels, pictures(part))
        assert read.classes.dtype == np.int64
        assert read.classes.tolist() == LABELS[part]
    assert "withdrawn" in found.notes[0]
    again = reopen(found.opened)
    assert isinstance(again, Classification)
    assert np.array_equal(again.train.pixels, found.train.pixels)


@LAYOUTS
def test_it_may_be_named(layout: Layout, tmp_path: Path) -> None:
    root = layout(tmp_path / "some" / "name")
    assert isinstance(open_data(root, reader="cifar-100"), Classification)
    with pytest.raises(UserError, match=r"is not laid out as cifar-100, but .*name is: this is the wrong"):
        open_data(root.parent, reader="cifar-100")
    with pytest.raises(UserError, match="the wrong level of the archive"):
        open_data(root.parent)
    with pytest.raises(UserError, match="The reader 'cifar-100' has no options; got 'labels=coarse'"):
        open_data(root, reader="cifar-100,labels=coarse")
    with pytest.raises(UserError, match=r"Unknown reader 'cifar100'. Did you mean 'cifar-100'"):
        open_data(root, reader="cifar100")


def test_a_benchmark_is_something_else(tmp_path: Path) -> None:
    root = binary_layout(tmp_path / "cifar-100-binary")
    for path in (root, [root, root]):
        with pytest.raises(UserError, match="a classification: it has no query and no gallery"):
            open_benchmark(path)
    options: list[dict[str, Any]] = [{"holdout": 1}, {"split": 1}, {"listing": "a"}, {"cross_camera": False}]
    for option in options:
        with pytest.raises(UserError, match="a classification: it has its own training and test part"):
            open_data(root, **option)


@LAYOUTS
def test_a_missing_file_is_named(layout: Layout, tmp_path: Path) -> None:
    root = layout(tmp_path / "cifar")
    gone = next(path for path in root.iterdir() if path.stem == "test")
    gone.unlink()
    with pytest.raises(UserError, match=rf"lacks {gone.name}\. Unpack the archive again"):
        open_data(root)


def test_cifar_10_and_archives_are_told(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "batches.meta").write_bytes(b"")
    with pytest.raises(UserError, match="holds CIFAR-10, of ten classes; CIFAR-100 was expected"):
        open_data(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(b"")
    with pytest.raises(UserError, match=r"is a file.*unpack an archive first"):
        open_data(tmp_path / "cifar-100-python.tar.gz")
    with pytest.raises(UserError, match="lacks train and test and meta"):
        CIFAR100().read(tmp_path)


def test_damaged_parts(tmp_path: Path) -> None:
    root = binary_layout(tmp_path / "binary")
    whole = (root / "train.bin").read_bytes()
    (root / "train.bin").write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"train.bin has 15,369 bytes, no multiple of 3,074"):
        open_data(root)
    (root / "train.bin").write_bytes(b"")
    with pytest.raises(UserError, match="has 0 pictures"):
        open_data(root)
    (root / "train.bin").write_bytes(b"\0\x03" + whole[2:])
    with pytest.raises(UserError, match="labels from 0 to 3, but there are names of 3 classes"):
        open_data(root)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"data": rows("train")}, "it has no fine_labels; it has data"),
        ({"data": rows("train"), "fine_labels": [0, 1]}, "has 5 pictures and 2 labels"),
        ({"data": rows("train")[:, 1:], "fine_labels": LABELS["train"]}, "no pictures of 32x32 pixels"),
        ({"data": [1, 2], "fine_labels": [0, 1]}, "no pictures of 32x32 pixels"),
        ({"data": rows("train"), "fine_labels": ["0"] * 5}, "no list of whole numbers"),
        ({"data": rows("train"), "fine_labels": rows("train")}, "no list of whole numbers"),
        ({"data": rows("train"), "fine_labels": [-1] * 5}, "labels from -1 to -1"),
    ],
)
def test_other_pickles(content: dict[str, object], sentence: str, tmp_path: Path) -> None:
    root = python_layout(tmp_path / "python")
    (root / "train").write_bytes(python2_pickle(content))
    with pytest.raises(UserError, match=sentence):
        open_data(root)


def test_the_check_compares_and_finds_copies(tmp_path: Path) -> None:
    found = opened(python_layout(tmp_path / "cifar"))
    checked = check_classification(found)
    train = checked.parts["train"]
    assert (train.pictures, train.classes, train.fewest, train.most) == (5, 3, 1, 2)
    assert (train.height, train.width) == (32, 32)
    (warning,) = checked.warnings
    assert "train: 5 of 50,000 pictures, 49,995 missing; train: 3 of 100 classes" in warning
    assert "test: 2 of 10,000 pictures" in warning
    assert checked.problems == ()
    assert checked.as_dict()["published"]["counts"]["test"]["found"]["crops"] == 2
    assert found.published is not None
    here = Published(found.published.source, {"train": PublishedCounts(5, 3), "test": PublishedCounts(2, 2)})
    found.train.pixels[:2] = found.test.pixels[0]
    assert check_classification(replace(found, published=here)).warnings == (
        "2 pictures are exact copies of others.",
        "1 pictures of the test are in the training part too.",
    )
    found.train.classes[found.train.classes == 1] = 0
    (problem,) = check_classification(found).problems
    assert problem == "1 of 3 classes have no picture to train on, such as bear: the set is not whole."


def test_the_published_counts() -> None:
    assert {"train": PublishedCounts(50_000, 100), "test": PublishedCounts(10_000, 100)} == COUNTS
    assert CIFAR100.source.address == "https://www.cs.toronto.edu/~kriz/cifar.html"

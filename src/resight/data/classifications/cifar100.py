"""CIFAR-100 (Krizhevsky, technical report, 2009), from its archives for Python or for C programs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.data.benchmark import DataSource, Published, PublishedCounts
from resight.data.classification import CLASSIFICATIONS, Classification, Pictures
from resight.data.plain_pickle import as_text, read_plain_pickle
from resight.errors import UserError
from resight.imaging import Pixels

PYTHON = ("train", "test", "meta")
BINARY = ("train.bin", "test.bin", "fine_label_names.txt")
CIFAR10 = ("batches.meta", "batches.meta.txt")

SIDE = 32
PIXELS = 3 * SIDE * SIDE
RECORD = 2 + PIXELS
"""Bytes of a picture in a binary file: its superclass, its class, then red, green and blue, row by row."""

COUNTS = {"train": PublishedCounts(50_000, 100), "test": PublishedCounts(10_000, 100)}
AGAIN = "Unpack the archive again; the owners' page has its MD5 sum."


@CLASSIFICATIONS.register("cifar-100")
class CIFAR100:
    """CIFAR-100: 60,000 pictures of 32x32 pixels; of each of 100 classes, 500 train and 100 test.

    The 20 superclasses are not read. The pickles of the archive for Python are read without running code
    (``plain_pickle``).
    """

    source = DataSource(
        "CIFAR-100",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "The page names no licence; it asks to cite Krizhevsky's technical report of 2009.",
        "Its pictures are from 80 Million Tiny Images, which was withdrawn by its authors in 2020; CIFAR-100 "
        "itself is still published.",
    )

    def recognises(self, root: Path) -> bool:
        """Return whether two of an archive's three files are there, or CIFAR-10 (for its error message)."""
        return any(len(_found(root, files)) >= 2 for files in (PYTHON, BINARY)) or _is_cifar10(root)

    def read(self, root: Path) -> Classification:
        """Return both parts; if both layouts are in the folder, from that for Python.

        Raises:
            UserError: it is CIFAR-10, or a file is missing, damaged or of another kind.
        """
        if _is_cifar10(root):
            raise UserError(
                f"{root} holds CIFAR-10, of ten classes; CIFAR-100 was expected. Its folder is named "
                "cifar-100-python or cifar-100-binary."
            )
        layout = PYTHON if len(_found(root, PYTHON)) >= len(_found(root, BINARY)) else BINARY
        missing = [name for name in layout if name not in _found(root, layout)]
        if missing:
            raise UserError(
                f"CIFAR-100 has the files {', '.join(layout)}; {root} lacks {' and '.join(missing)}. {AGAIN}"
            )
        read = _read_python if layout == PYTHON else _read_binary
        classes, train, test = read(root)
        return Classification(
            name=root.resolve().name,
            root=root,
            classes=classes,
            train=train,
            test=test,
            notes=(self.source.note,),
            published=Published(self.source, COUNTS),
        )


def _read_python(root: Path) -> tuple[tuple[str, ...], Pictures, Pictures]:
    (names,) = _entries(root / "meta", "fine_label_names")
    classes = tuple(map(as_text, names))
    parts = []
    for file in ("train", "test"):
        data, labels = _entries(root / file, "data", "fine_labels")
        if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != PIXELS:
            raise UserError(f"{root / file} holds no pictures of 32x32 pixels under 'data'. {AGAIN}")
        if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
            raise UserError(f"{root / file} holds no list of whole numbers under 'fine_labels'. {AGAIN}")
        parts.append(_pictures(root / file, data, np.array(labels, np.int64), classes))
    return classes, parts[0], parts[1]


def _entries(path: Path, *keys: str) -> list[Any]:
    content = read_plain_pickle(path)
    missing = [key for key in keys if key not in content]
    if missing:
        there = ", ".join(content) or "nothing"
        raise UserError(f"{path} is not CIFAR-100's: it has no {' and no '.join(missing)}; it has {there}.")
    return [content[key] for key in keys]


def _read_binary(root: Path) -> tuple[tuple[str, ...], Pictures, Pictures]:
    classes = tuple((root / "fine_label_names.txt").read_text(encoding="latin-1").split())
    parts = []
    for file in ("train.bin", "test.bin"):
        records = np.fromfile(root / file, np.uint8)
        if len(records) % RECORD:
            raise UserError(
                f"{root / file} has {len(records):,} bytes, no multiple of {RECORD:,}, a picture with its "
                f"two labels: it is cut short, or is another file. {AGAIN}"
            )
        records = records.reshape(-1, RECORD)
        parts.append(_pictures(root / file, records[:, 2:], records[:, 1].astype(np.int64), classes))
    return classes, parts[0], parts[1]


def _pictures(path: Path, data: Pixels, labels: NDArray[np.int64], classes: tuple[str, ...]) -> Pictures:
    """Turn rows of 3,072 bytes, plane by plane, into pictures."""
    if len(labels) != len(data) or not len(data):
        raise UserError(f"{path} has {len(data):,} pictures and {len(labels):,} labels. {AGAIN}")
    if not 0 <= labels.min() <= labels.max() < len(classes):
        raise UserError(
            f"{path} has labels from {labels.min()} to {labels.max()}, but there are names of {len(classes)} "
            f"classes. {AGAIN}"
        )
    planes = data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return Pictures(path, np.ascontiguousarray(planes), labels)


def _found(root: Path, files: Iterable[str]) -> list[str]:
    return [name for name in files if (root / name).is_file()]


def _is_cifar10(root: Path) -> bool:
    return bool(_found(root, CIFAR10))

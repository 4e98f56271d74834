"""Opening a data set: find the reader that knows its layout, then hold a test out where none is given."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol as Interface

from resight.data.benchmark import EVERY_OTHER_IMAGE, Benchmark
from resight.data.splitting import hold_out, only_persons
from resight.errors import UserError
from resight.registry import Registry

READERS: Registry["Reader"] = Registry("reader", "resight.data.benchmarks")

FALLBACK = "folder"
"""Name of the reader that takes any folder that no other reader recognises, and every pattern."""


class Reader(Interface):
    """Knows one layout on disk; registered as ``@READERS.register("name")``, built without arguments."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the folder has this layout."""

    def read(self, root: Path, pattern: str | None) -> Benchmark:
        """Return what lies there, split only as it is on disk.

        Raises:
            UserError: there are no crops, or their names cannot be read.
        """


def open_benchmark(
    path: Path | str, *, holdout: int | None = None, pattern: str | None = None, cross_camera: bool = True
) -> Benchmark:
    """Read a data set of crops: Market-1501 layout, or one sub-folder a person.

    Args:
        path: the folder.
        holdout: how many of the last training persons become query and gallery. None: a set with a test part
            keeps it, any other holds out its last fifth of persons (2 or more). 0: train on everybody, no
            test. With a number, a test part that the set has is left alone.
        pattern: regular expression with named groups ``person`` and/or ``camera``, searched in each file's
            path relative to the folder; without ``person``, the sub-folder is the person.
        cross_camera: False lets crops under the query's own camera count too, for sets whose cameras are
            known but do not tell anything apart.

    Raises:
        UserError: the folder is missing or empty, names do not match, or there are fewer persons than are to
            be held out.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise UserError(f"There is no folder {root}. Name the folder that holds the crops.")
    if not root.is_dir():
        raise UserError(f"{root} is a file. Name the folder that holds the crops.")
    benchmark = _reader(root, pattern).read(root, pattern)
    has_test = bool(benchmark.query or benchmark.gallery)
    benchmark = only_persons(benchmark) if has_test and holdout is None else hold_out(benchmark, holdout)
    return benchmark if cross_camera else replace(benchmark, protocol=EVERY_OTHER_IMAGE)


def _reader(root: Path, pattern: str | None) -> Reader:
    if pattern is None:
        for name in READERS.names():
            reader = READERS.build(name)
            if name != FALLBACK and reader.recognises(root):
                return reader
    return READERS.build(FALLBACK)

"""Opening a data set: find the reader that knows its layout, then hold a test out where none is given."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from pydantic import ValidationError

from resight.data.benchmark import Benchmark, Source
from resight.data.listing import apply_listing
from resight.data.merging import merge
from resight.data.splitting import hold_out, only_persons
from resight.errors import UserError, did_you_mean
from resight.registry import Registry

READERS: Registry["Reader"] = Registry("reader", "resight.data.benchmarks")

FALLBACK = "folder"
"""Name of the reader that takes any folder that no other reader recognises, and every pattern."""

OPENING = ("paths", "readers", "holdout", "pattern", "cross_camera", "listing")


class Reader(Interface):
    """Knows one data set or layout on disk; registered as ``@READERS.register("name")``.

    The keyword-only parameters of its constructor are the options that a user may set.
    """

    @property
    def source(self) -> Source | None:
        """Say where the set is published; None for layouts that any set may have."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the folder has this layout, whatever the options."""

    def read(self, root: Path) -> Benchmark:
        """Return what lies there, split as it is on disk or as the set's protocol has it.

        Raises:
            UserError: there are no crops, or they cannot be read in the way that the options want.
        """


def open_benchmark(
    path: Path | str | Sequence[Path | str],
    *,
    reader: str | Sequence[str] | None = None,
    holdout: int | None = None,
    pattern: str | None = None,
    cross_camera: bool = True,
    listing: Path | str | None = None,
) -> Benchmark:
    """Read a data set of crops, or merge several for training.

    Args:
        path: the folder; or several, to train on all of them and to test on the first one's test part.
        reader: name of a reader and its options, such as ``cuhk03,boxes=labelled,protocol=old``; one for each
            path, or one for all. None: the reader that recognises the folder.
        holdout: how many of the last training persons become query and gallery. None: a set with a test part
            keeps it, any other holds out its last fifth of persons (2 or more). 0: train on everybody, no
            test. With a number, a test part that the set has is left alone. Of several sets it is said of the
            first; of the others all training persons train.
        pattern: regular expression with named groups ``person`` and/or ``camera``, searched in each file's
            path relative to the folder; without ``person``, the sub-folder is the person.
        cross_camera: False lets crops under the query's own camera count too, for sets whose cameras are
            known but do not tell anything apart.
        listing: a file that ``save_listing`` wrote: which crops are in which part, and what is drawn.

    Raises:
        UserError: the folder is missing or empty, names do not match, or there are fewer persons than are to
            be held out; the reader or its options are not known, or do not fit the folder.
    """
    paths = [path] if isinstance(path, Path | str) else list(path)
    readers: list[str | None] = [reader] if isinstance(reader, str) else list(reader or ())
    if len(readers) not in (0, 1, len(paths)):
        raise UserError(
            f"{len(readers)} readers are named for {len(paths)} data sets. Name one for each, in the same "
            "order, or one for all."
        )
    if pattern is not None and readers:
        raise UserError("Give a --pattern, or name a --reader, not both: a pattern is read by 'folder'.")
    if listing is not None and len(paths) > 1:
        raise UserError("A --listing is of one data set: name only that one.")
    named = readers * len(paths) if len(readers) == 1 else readers or [None] * len(paths)
    opened: list[Benchmark] = []
    for one, name in zip(paths, named, strict=True):
        benchmark = _read(Path(one).expanduser(), name, pattern)
        if listing is not None:
            benchmark = apply_listing(benchmark, Path(listing))
        has_test, wanted = bool(benchmark.query or benchmark.gallery), holdout
        if opened:  # only the first set is tested on
            wanted = None if has_test else 0
        opened.append(only_persons(benchmark) if has_test and wanted is None else hold_out(benchmark, wanted))
    benchmark = opened[0] if len(opened) == 1 else merge(opened)
    if not cross_camera:
        protocol = replace(benchmark.protocol, name="every-other-image", cross_camera=False)
        benchmark = replace(benchmark, protocol=protocol)
    arguments = {
        "paths": [str(Path(one).expanduser().absolute()) for one in paths],
        "readers": readers,
        "holdout": holdout,
        "pattern": pattern,
        "cross_camera": cross_camera,
        "listing": None if listing is None else str(Path(listing).expanduser().absolute()),
    }
    return replace(benchmark, opened=arguments)


def reopen(opened: Mapping[str, Any]) -> Benchmark:
    """Open again what ``Benchmark.opened`` describes."""
    paths, readers, *others = (opened[name] for name in OPENING)
    return open_benchmark(paths, reader=readers, **dict(zip(OPENING[2:], others, strict=True)))


def make_reader(text: str) -> Reader:
    """Build the reader that a user names, with its options: ``cuhk03,boxes=labelled,protocol=old``.

    Raises:
        UserError: there is no such reader or option, or an option has no such value.
    """
    name, *options = text.split(",")
    words = [option.partition("=") for option in options]
    for option, (_, equals, _) in zip(options, words, strict=True):
        if not equals:
            raise UserError(
                f"Options of a reader are written NAME=VALUE with commas between, such as "
                f"--reader cuhk03,boxes=labelled,protocol=old; got '{option}'."
            )
    known = READERS.settings(name).model_fields
    for option, _, _ in words:
        if option not in known:
            there = did_you_mean(option, known) if known else " It has none."
            raise UserError(f"The reader '{name}' has no option '{option}'.{there}")
    try:
        return READERS.build(name, **{option: value for option, _, value in words})
    except ValidationError as error:
        reasons = "; ".join(
            f"{item['loc'][0]}: {item['msg']}, got '{item['input']}'" for item in error.errors()
        )
        raise UserError(f"The reader '{name}' cannot be set so. {reasons}.") from None


def is_named(root: Path, name: str) -> bool:
    """Tell whether the folder or the one around it is named like that, but for case and punctuation."""
    resolved = root.resolve()
    return any(name in re.sub(r"[\W_]", "", part.name.lower()) for part in (resolved, resolved.parent))


def _read(root: Path, named: str | None, pattern: str | None) -> Benchmark:
    if not root.exists():
        raise UserError(f"There is no folder {root}. Name the folder that holds the crops.")
    if not root.is_dir():
        raise UserError(f"{root} is a file. Name the folder that holds the crops (or the .mat).")
    if pattern is not None:
        return READERS.build(FALLBACK, pattern=pattern).read(root)
    if named is not None:
        name, reader = named.partition(",")[0], make_reader(named)
        if name != FALLBACK and not reader.recognises(root):
            _refuse_other_level([name], root)
        return reader.read(root)
    published = [name for name in READERS.names() if READERS.build(name).source is not None]
    for name in (*published, *READERS.names()):  # layouts that any set may have come last
        reader = READERS.build(name)
        if name != FALLBACK and reader.recognises(root):
            return reader.read(root)
    _refuse_other_level(published, root)
    return READERS.build(FALLBACK).read(root)


def _refuse_other_level(names: Sequence[str], root: Path) -> None:
    """Refuse a folder whose sub-folder, or the folder around it, is what these readers recognise."""
    inner = [child for child in sorted(root.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    around = [root.resolve().parent] if len(names) == 1 else []  # any set may lie beside a plain folder
    for folder in (*inner, *around):
        for name in names:
            if READERS.build(name).recognises(folder):
                raise UserError(
                    f"{root} is not laid out as {name}, but {folder} is: this is the wrong level of the "
                    "archive. Name that folder."
                )

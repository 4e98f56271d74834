"""Opening a data set: find the reader for its layout, then hold out a test part if there is none."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from resight.data.accounting import count_left_out, everything
from resight.data.benchmark import Benchmark, Reader
from resight.data.classification import CLASSIFICATIONS, Classification
from resight.data.labels import settle_labels
from resight.data.listing import apply_listing
from resight.data.merging import merge
from resight.data.splitting import hold_out, only_persons
from resight.errors import UserError, did_you_mean
from resight.folders import sub_folders
from resight.left_out import LeftOut
from resight.registry import Registry

READERS: Registry[Reader[Benchmark]] = Registry("reader", "resight.data.benchmarks")

FALLBACK = "folder"
"""The reader of patterns, and of folders that no other reader recognises."""


def open_data(
    path: Path | str | Sequence[Path | str],
    *,
    reader: str | Sequence[str] | None = None,
    split: int | None = None,
    holdout: int | None = None,
    pattern: str | None = None,
    cross_camera: bool = True,
    listing: Path | str | None = None,
) -> Benchmark | Classification:
    """Read a data set of either kind: crops of people, or pictures to classify; see ``open_benchmark``.

    Raises:
        UserError: as ``open_benchmark``; or an option has no meaning for a classification.
    """
    paths = [path] if isinstance(path, Path | str) else list(path)
    readers = [reader] if isinstance(reader, str) else list(reader or ())
    root = Path(paths[0]).expanduser() if len(paths) == 1 else None
    if root is None or pattern is not None or (name := _classification_at(root, readers)) is None:
        return open_benchmark(
            path,
            reader=reader,
            split=split,
            holdout=holdout,
            pattern=pattern,
            cross_camera=cross_camera,
            listing=listing,
        )
    if split is not None or holdout is not None or listing is not None or not cross_camera:
        raise UserError(
            f"{root} is {name}, a classification: it has its own training and test part, and no cameras. "
            "Leave --split, --holdout, --listing and --no-cross-camera out."
        )
    opened = {"paths": [str(root.absolute())], "readers": readers}
    return replace(CLASSIFICATIONS.build(name).read(root), opened=opened)


def open_benchmark(
    path: Path | str | Sequence[Path | str],
    *,
    reader: str | Sequence[str] | None = None,
    split: int | None = None,
    holdout: int | None = None,
    pattern: str | None = None,
    cross_camera: bool = True,
    listing: Path | str | None = None,
) -> Benchmark:
    """Read a data set of crops, or merge several for training.

    Args:
        path: the folder; or several, to train on all of them and test on the first.
        reader: name of a reader and its options, such as ``cuhk03,boxes=labelled,protocol=old``; one for each
            path, or one for all. None: the reader that recognises the folder.
        split: the reader's option of that name, for sets with several splits; with several sets, for the
            first.
        holdout: how many of the last training persons become query and gallery. None: a set with a test part
            keeps it, any other holds out its last fifth of persons (2 or more). 0: train on everybody, no
            test. With a number, the set's own test part is not used. With several sets, it is for the first;
            the others are all for training.
        pattern: regular expression with named groups ``person`` and/or ``camera``, searched in each file's
            path relative to the folder; without ``person``, the sub-folder is the person.
        cross_camera: False counts crops under the query's own camera too, for sets with camera labels that do
            not separate cameras.
        listing: a file written by ``save_listing``, with the crops of each part and draw.

    Raises:
        UserError: the folder is missing or empty, names do not match, there are too few persons to hold out,
            or the reader or its options are unknown or do not fit the folder.
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
    if pattern is not None and split is not None:
        raise UserError("Give a --pattern or a --split, not both: what a pattern reads has no splits.")
    named = readers * len(paths) if len(readers) == 1 else readers or [None] * len(paths)
    opened: list[Benchmark] = []
    left_out = LeftOut()
    for one, name in zip(paths, named, strict=True):
        read = benchmark = read_benchmark(Path(one).expanduser(), name, pattern, None if opened else split)
        if listing is not None:
            benchmark = apply_listing(benchmark, Path(listing))
        has_test, wanted = bool(benchmark.query or benchmark.gallery), holdout
        if opened:  # only the first set is tested on
            wanted = None if has_test else 0
        opened.append(only_persons(benchmark) if has_test and wanted is None else hold_out(benchmark, wanted))
        used = opened[-1].train if opened[1:] else everything(opened[-1])
        why = "a crop of the set's own test part" if listing is None else "a crop outside of the listing"
        left_out.update(count_left_out(read, used, f"{why}, not used"))
    benchmark = opened[0] if len(opened) == 1 else merge(opened)
    if not cross_camera:
        protocol = replace(
            benchmark.protocol, name="every-other-image", cross_camera=False, gallery_side="all"
        )
        benchmark = replace(benchmark, protocol=protocol)
    arguments = {
        "paths": [str(Path(one).expanduser().absolute()) for one in paths],
        "readers": readers,
        "split": split,
        "holdout": holdout,
        "pattern": pattern,
        "cross_camera": cross_camera,
        "listing": None if listing is None else str(Path(listing).expanduser().absolute()),
    }
    return replace(benchmark, opened=arguments, left_out=left_out)


def read_benchmark(
    root: Path,
    named: str | None = None,
    pattern: str | None = None,
    split: int | None = None,
    *,
    pairs: bool = True,
    camera_pattern: str | None = None,
) -> Benchmark:
    """Return the data set in a folder, split as it is there: nothing is held out or left out.

    Args:
        root: the folder.
        named: name of a reader and its options; None: the reader that recognises the folder.
        pattern, split: as in ``open_benchmark``.
        pairs: refuse a plain folder of one person, of one image a person, or without labels of persons.
        camera_pattern: tells which part of a path is the camera, in a folder that no other reader recognises.

    Raises:
        UserError: as ``open_benchmark``.
    """
    return settle_labels(_read(root, named, pattern, split, pairs, camera_pattern))


def _read(
    root: Path,
    named: str | None,
    pattern: str | None,
    split: int | None,
    pairs: bool,
    camera_pattern: str | None,
) -> Benchmark:
    _refuse_no_folder(root)
    if pattern is not None:
        return READERS.build(FALLBACK, pattern=pattern, pairs=pairs).read(root)
    if (classification := _classification_at(root, [] if named is None else [named])) is not None:
        raise UserError(
            f"{root} is {classification}, a classification: it has no query and no gallery of people. "
            "'resight train', 'evaluate' and 'data check' take it, alone."
        )
    option = "" if split is None else f",split={split}"
    if named is not None:
        name, reader = named.partition(",")[0], make_reader(named + option)
        if name != FALLBACK and not reader.recognises(root):
            _refuse_other_level([name], root)
        return reader.read(root)
    published = [name for name in READERS.names() if READERS.build(name).source is not None]
    for name in (*published, *READERS.names()):  # generic layouts come last
        if name != FALLBACK and READERS.build(name).recognises(root):
            benchmark = make_reader(name + option).read(root)
            return benchmark if name in published else _noting_larger_set(benchmark, published)
    _refuse_other_level([*published, *CLASSIFICATIONS.names()], root)
    if option:
        make_reader(FALLBACK + option)  # reports that there is no such option
    return _noting_larger_set(
        READERS.build(FALLBACK, pattern=camera_pattern, pairs=pairs).read(root), published
    )


def reopen(opened: Mapping[str, Any]) -> Benchmark | Classification:
    """Open a data set again from its ``opened``."""
    others = {name: value for name, value in opened.items() if name not in ("paths", "readers")}
    return open_data(opened["paths"], reader=opened["readers"], **others)


def make_reader(text: str) -> Reader[Benchmark]:
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
    if name not in READERS.names():
        everyone = [*READERS.names(), *CLASSIFICATIONS.names()]
        raise UserError(f"Unknown reader '{name}'.{did_you_mean(name, everyone)}")
    known = READERS.settings(name).model_fields
    given = [option for option, _, _ in words]
    for option in given:
        if given.count(option) > 1:
            raise UserError(f"The option '{option}' of the reader '{name}' is given twice.")
        if option not in known:
            there = did_you_mean(option, known) if known else " It has none."
            raise UserError(f"The reader '{name}' has no option '{option}'.{there}")
    try:
        return READERS.build(name, **{option: value for option, _, value in words})
    except ValidationError as error:
        reasons = "; ".join(
            f"{item['loc'][0]}: {item['msg']}, got '{item['input']}'" for item in error.errors()
        )
        raise UserError(f"The reader '{name}' does not accept these options. {reasons}.") from None


def is_named(root: Path, name: str) -> bool:
    """Return whether the folder or its parent has this name, apart from case and punctuation."""
    resolved = root.resolve()
    return any(name in re.sub(r"[\W_]", "", part.name.lower()) for part in (resolved, resolved.parent))


def _classification_at(root: Path, readers: Sequence[str | None]) -> str | None:
    """Return the named reader of classifications, or else the one that recognises the folder."""
    names = CLASSIFICATIONS.names()
    if not readers:
        return next((name for name in names if CLASSIFICATIONS.build(name).recognises(root)), None)
    name, _, options = (readers[0] or "").partition(",")
    if name not in names:
        return None
    if options:
        raise UserError(f"The reader '{name}' has no options; got '{options}'.")
    _refuse_no_folder(root)
    if not CLASSIFICATIONS.build(name).recognises(root):
        _refuse_other_level([name], root)
    return name


def _refuse_no_folder(root: Path) -> None:
    if not root.exists():
        raise UserError(f"There is no folder {root}. Name the folder that holds the data set.")
    if not root.is_dir():
        raise UserError(f"{root} is a file. Name the folder that holds it; unpack an archive first.")


def _noting_larger_set(benchmark: Benchmark, published: Sequence[str]) -> Benchmark:
    """Add a note if the parent folder is a known set, as the folder may be a part of it."""
    around = benchmark.root.resolve().parent
    name = next((name for name in published if READERS.build(name).recognises(around)), None)
    if name is None:
        return benchmark
    note = (
        f"{around} is laid out as {name}, and {benchmark.root} lies in it. Name that folder if the whole set "
        "with its own test part is meant."
    )
    return replace(benchmark, notes=(*benchmark.notes, note))


def _refuse_other_level(names: Sequence[str], root: Path) -> None:
    """Refuse a folder if these readers recognise a sub-folder or its parent."""
    around = [root.resolve().parent] if len(names) == 1 else []  # any set may be next to a plain folder
    for folder in (*sub_folders(root), *around):
        for name in names:
            registry = CLASSIFICATIONS if name in CLASSIFICATIONS.names() else READERS
            if registry.build(name).recognises(folder):
                raise UserError(
                    f"{root} is not laid out as {name}, but {folder} is: this is the wrong level of the "
                    "archive. Name that folder."
                )

"""Writing a folder of embeddings in chunks that survive a kill.

The sub-folder ``unfinished`` has the plan, a lock that the kernel releases with the process, and for each
finished chunk its features and then its mark. At the end, the chunks are moved into one file one by one (a
missing chunk was moved already), and all files to their final places. ``info.json``, which marks the folder
as complete, is last.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.features.folder import (
    FEATURES,
    FORMAT,
    INFO,
    NAMES,
    PATHS,
    PLAN,
    UNFINISHED,
    Plan,
    plan_of,
    read_info,
)
from resight.files import sole_use, whole_file, write_json
from resight.registry import Settings

MAX_DUPLICATED = 64 * 2**20
"""Most bytes of chunks that are on the disk twice while the chunks are joined."""


class Mark(Settings):
    """A finished chunk: its number of rows, and the errors of its unreadable crops (crop -> sentence)."""

    rows: int
    unreadable: Mapping[int, str] = {}


class FolderInProgress:
    """Writes a folder of embeddings. Process 0 begins it, all processes write chunks, process 0 finishes it.

    Args:
        folder: to write, or to continue.
        plan: of the folder.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan, self.work = folder, plan, folder / UNFINISHED
        self._lock = ExitStack()

    def begin(self, *, skip_unreadable: bool) -> list[int] | None:
        """Create or resume the folder, and lock it; return the chunks to embed, or None if it is complete.

        Chunks with unreadable crops are embedded again, since these may have been repaired, unless they are
        to be left out.

        Raises:
            UserError: another process is writing to the folder; it has other files, or embeddings of another
                model, data or type; or there is not enough disk space.
        """
        whole = read_info(self.folder, whole=False) is not None
        if not whole and not self.work.is_dir() and not _is_free(self.folder):
            raise UserError(f"{self.folder} exists and is not a folder of embeddings. Choose another --out.")
        if not whole or self.work.is_dir():
            self._take_lock()
        info = read_info(self.folder, whole=False)  # again, now that no other process can write
        if info is not None:
            self._check_plan(plan_of(info, self.folder), "has other embeddings")
            shutil.rmtree(
                self.work, ignore_errors=True
            )  # left by a process that was killed while cleaning up
            return None
        planned = self.work / PLAN
        if planned.exists():
            self._check_plan(
                plan_of(json.loads(planned.read_text(encoding="utf-8")), self.folder),
                "was begun with other settings",
            )
        else:
            write_json(planned, self.plan.model_dump(mode="json"))
        # list the names instead of checking each file: network file systems may cache a missing file
        names = set(os.listdir(self.work))
        for name in names:
            if name.startswith("."):  # left incomplete by a process that was killed
                (self.work / name).unlink(missing_ok=True)
        if FEATURES in names or (self.folder / FEATURES).exists():
            return []  # all chunks are embedded
        todo = [
            chunk
            for chunk in range(self.plan.chunks)
            if not {_mark_file(chunk), _data_file(chunk)} <= names
            or (not skip_unreadable and self._mark(chunk).unreadable)
        ]
        for chunk in todo:  # a mark must not remain without its features
            (self.work / _mark_file(chunk)).unlink(missing_ok=True)
        self._check_free_space(todo)
        return todo

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    def keep(self, chunk: int, features: NDArray[Any], unreadable: Mapping[int, str]) -> None:
        """Write a finished chunk; on return it is on the disk.

        Args:
            chunk: number of the chunk.
            features: of the readable crops, in the plan's type.
            unreadable: crop -> why it cannot be read.

        Raises:
            UserError: the disk is full.
        """
        _write_array(self.work / _data_file(chunk), features)
        mark = Mark(rows=len(features), unreadable=unreadable)
        write_json(self.work / _mark_file(chunk), mark.model_dump(mode="json"))

    def finish(
        self,
        columns: Mapping[str, NDArray[Any] | None],
        paths: Sequence[Path],
        names: Mapping[int, str],
        facts: Mapping[str, Any],
    ) -> None:
        """Join the chunks, write the labels, and mark the folder as complete.

        Args:
            columns: name -> labels of all crops, or None.
            paths, names: paths of all crops, and names of the persons.
            facts: additional entries of ``info.json``.

        Raises:
            UserError: no crop could be read, or the disk is full; finished chunks are kept for another
                attempt.
        """
        marks = [self._mark(chunk) for chunk in range(self.plan.chunks)]
        unreadable = {crop: reason for mark in marks for crop, reason in mark.unreadable.items()}
        kept = np.ones(self.plan.crops, dtype=bool)
        kept[list(unreadable)] = False
        if not kept.any():
            raise UserError(
                f"None of the {self.plan.crops:,} crops can be read. The first: "
                f"{next(iter(unreadable.values()))}"
            )
        if not (self.folder / FEATURES).exists():
            self._join(marks)
        known = {name: labels[kept] for name, labels in columns.items() if labels is not None}
        for name, labels in known.items():
            _write_array(self.work / f"{name}.npy", labels)
        with whole_file(self.work / PATHS) as temporary, temporary.open("w") as stream:
            stream.writelines(
                json.dumps(str(path)) + "\n" for path, read in zip(paths, kept, strict=True) if read
            )
        if names:
            write_json(self.work / NAMES, {str(person): name for person, name in names.items()})
        info = {
            "format": FORMAT,
            **self.plan.model_dump(mode="json"),
            "rows": int(kept.sum()),
            "counts": {
                name: len(np.unique(labels[labels > 0] if name == "persons" else labels))
                for name, labels in known.items()
                if name != "items"
            },
            "unreadable": list(unreadable.values()),
            **facts,
        }
        write_json(self.work / INFO, info)
        for name in (FEATURES, *(f"{name}.npy" for name in known), PATHS, NAMES, INFO):
            if (self.work / name).exists():
                (self.work / name).replace(self.folder / name)
        shutil.rmtree(self.work, ignore_errors=True)

    def _join(self, marks: Sequence[Mark]) -> None:
        """Move the chunks into one file; missing chunks are in it already."""
        joined = self.work / FEATURES
        rows = sum(mark.rows for mark in marks)
        shape = (rows, self.plan.width)
        try:
            if not joined.exists():
                with whole_file(joined) as temporary:
                    np.lib.format.open_memmap(temporary, "w+", self.plan.dtype, shape)
            array = np.load(joined, mmap_mode="r")
            begin, each = array.offset, self.plan.width * array.itemsize
            with joined.open("r+b") as stream:
                moved: list[Path] = []
                for chunk, mark in enumerate(marks):
                    part = self.work / _data_file(chunk)
                    if part.exists():
                        stream.seek(begin)
                        stream.write(np.load(part).data)
                        moved.append(part)
                    begin += mark.rows * each
                    if len(moved) * self.plan.chunk * each > MAX_DUPLICATED or chunk + 1 == len(marks):
                        stream.flush()
                        os.fsync(stream.fileno())
                        while moved:
                            moved.pop().unlink()
        except OSError as error:
            raise UserError(
                f"Cannot write {joined}: {error.strerror or error}. All chunks are finished and kept. Free "
                "some space and run the command again."
            ) from error

    def _mark(self, chunk: int) -> Mark:
        return Mark.model_validate_json((self.work / _mark_file(chunk)).read_bytes())

    def _take_lock(self) -> None:
        if not self._lock.enter_context(sole_use(self.work / "lock")):
            raise UserError(
                f"Another process is embedding into {self.folder}. Wait for it, or choose another --out. To "
                "share the work among processes, start them together with torchrun."
            )

    def _check_plan(self, earlier: Plan, what: str) -> None:
        if found := earlier.differences(self.plan):
            raise UserError(
                f"{self.folder} {what}: {'; '.join(found)}. Use the original model, data and options, or "
                "choose another --out."
            )

    def _check_free_space(self, todo: Sequence[int]) -> None:
        crops = sum(len(self.plan.rows(chunk)) for chunk in todo)
        need = crops * self.plan.width * np.dtype(self.plan.dtype).itemsize
        free = shutil.disk_usage(self.folder).free
        if free < need:
            smaller = (
                " Store half as much with --dtype float16, free" if self.plan.dtype == "float32" else " Free"
            )
            raise UserError(
                f"{self.folder} has {free / 1e6:,.1f} MB free, but the features of {crops:,} crops need "
                f"{need / 1e6:,.1f} MB.{smaller} some space, or choose another --out."
            )


def _is_free(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and next(folder.iterdir(), None) is None)


def _data_file(chunk: int) -> str:
    return f"{chunk:06}.npy"


def _mark_file(chunk: int) -> str:
    return f"{chunk:06}.json"


def _write_array(path: Path, array: NDArray[Any]) -> None:
    # not np.save: for a full disk, its error only gives the count of numbers written
    array = np.ascontiguousarray(array)
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.data)

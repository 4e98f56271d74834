"""A file of float32 rows that is read as it lies, and grows."""

import errno
import mmap
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.inference.embedder import Vectors

Rows = NDArray[np.int64]

AT_ONCE = 256
"""Rows that one call writes; systems take 1,024 at most."""


class RowFile:
    """Rows float32 [N, width] of a file, mapped to memory; who has them may go on reading while it grows.

    Args:
        file: made if it is not there.
        width: numbers a row.
        rows: to make room for at least.
        before: further rows at the beginning of the file.

    Attributes:
        rows: what the file holds; zeros where nothing was written.
    """

    rows: Vectors

    def __init__(self, file: Path, width: int, rows: int = 0, before: int = 0) -> None:
        self.file, self.width = file, width
        self._before = before
        self._handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        self.grow(rows)

    def grow(self, rows: int) -> None:
        """Make room for so many; pages that nothing was written to take none on the disk."""
        size = max((self._before + rows) * self.width * 4, os.fstat(self._handle).st_size)
        os.truncate(self._handle, size)
        mapped = mmap.mmap(self._handle, size, access=mmap.ACCESS_READ)
        self.rows = np.frombuffer(mapped, "<f4").reshape(-1, self.width)[self._before :]

    def write(self, rows: Rows, lines: Sequence[Vectors]) -> None:
        """Write lines [width] to these rows.

        Raises:
            OSError: the disk is full.
        """
        lines = [np.ascontiguousarray(line, "<f4") for line in lines]
        ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        for begin, end in pairwise([0, *ends]):
            for start in range(begin, end, AT_ONCE):
                some = [line.data for line in lines[start : min(start + AT_ONCE, end)]]
                written = os.pwritev(self._handle, some, self._place(int(rows[start])))
                if written < len(some) * self.width * 4:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def erase(self, rows: Rows) -> None:
        """Write zeros to these rows."""
        for row in rows:
            os.pwrite(self._handle, bytes(self.width * 4), self._place(int(row)))

    def sync(self) -> None:
        """Write everything to the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def renew(self) -> None:
        """Put an empty file in place of this one; who is reading it may go on."""
        fresh = self.file.with_suffix(".new")
        handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        fresh.replace(self.file)
        self.close()
        self._handle = handle

    def drop(self) -> None:
        """Delete the file, if that was not done before; who is reading it may go on."""
        self.close()
        self.file.unlink(missing_ok=True)

    def _place(self, row: int) -> int:
        return (self._before + row) * self.width * 4

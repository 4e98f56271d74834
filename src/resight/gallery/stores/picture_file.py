"""The pictures of a store in a folder: JPEGs, one after the other, in a file beside the engine's.

The engine would keep each twice, as text: in its log, and in a segment.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from pathlib import Path
from threading import Lock

FILE, CHANGED = "pictures", "pictures.changed"

HEAD = 4
"""Bytes before each picture: how many it has, lowest first."""

READ = 16 * 1024
"""Bytes to read at first: most kept pictures have fewer."""

_PUNCH_HOLE, _KEEP_SIZE = 2, 1  # modes of fallocate, from Linux' falloc.h


class PictureFile:
    """Pictures by where they lie; may be used by several threads.

    What is appended is in the file before the engine is told where: when a process dies, a picture that the
    engine knows is there. When the power fails, it need not be. So before the first change after ``sync``
    there is a file ``pictures.changed``; who finds it asks for each picture whether it is ``whole``, and has
    what nobody knows erased by ``tidy``.

    Args:
        folder: of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._changed, self._lock, self._erasing = folder / CHANGED, Lock(), 0
        self._handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
        self._end = os.fstat(self._handle).st_size

    @property
    def untidy(self) -> bool:
        """Whether a process died, or the power failed, after a change."""
        return self._changed.exists()

    def append(self, pictures: Sequence[bytes]) -> list[int]:
        """Write pictures, and return where each lies.

        Raises:
            OSError: the disk is full; nothing is changed.
        """
        data = b"".join(part for picture in pictures for part in (_head(picture), picture))
        with self._lock:
            self._mark()
            places = list(accumulate((HEAD + len(picture) for picture in pictures), initial=self._end))
            _write(self._handle, data, self._end)
            self._end = places.pop()
        return places

    def read(self, place: int) -> bytes | None:
        """Return a picture, or None where it was erased."""
        data = os.pread(self._handle, READ, place)
        end = HEAD + int.from_bytes(data[:HEAD], "little")
        if end > len(data):
            data += os.pread(self._handle, end - len(data), place + len(data))
        return data[HEAD:end] or None

    def whole(self, place: int) -> bool:
        """Tell whether all of a picture is there."""
        length = int.from_bytes(os.pread(self._handle, HEAD, place), "little")
        return length > 0 and place + HEAD + length <= self._end

    @contextmanager
    def erased(self, places: Iterable[int]) -> Iterator[None]:
        """Erase pictures at the end of the context, in which the engine forgets where they lie."""
        gone = sorted(places)
        if not gone:
            yield
            return
        with self._lock:
            self._mark()
            self._erasing += 1
        yield
        for start, end in self._runs(gone):
            _erase(self._handle, start, end)
        self._erasing -= 1  # not where that failed: the file stays marked as changed

    def tidy(self, known: Iterable[int]) -> None:
        """Erase all but the pictures at these places; nothing may be appended meanwhile."""
        begin = 0
        for start, end in self._runs(sorted(known)):
            _erase(self._handle, begin, start)
            begin = end
        _erase(self._handle, begin, self._end)

    def sync(self) -> None:
        """Write everything to the disk."""
        with self._lock:
            os.fsync(self._handle)
            if not self._erasing:
                self._changed.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def _mark(self) -> None:
        if not self._changed.exists():
            with self._changed.open("xb") as stream:
                os.fsync(stream.fileno())

    def _runs(self, places: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield where pictures begin and end, those that touch as one."""
        begin = end = -1
        for place in places:
            if place != end:
                if end > begin:
                    yield begin, end
                begin = place
            end = place + HEAD + int.from_bytes(os.pread(self._handle, HEAD, place), "little")
        if end > begin:
            yield begin, end


def _head(picture: bytes) -> bytes:
    return len(picture).to_bytes(HEAD, "little")


def _write(handle: int, data: bytes, place: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(handle, left, place)
        left, place = left[written:], place + written


def _erase(handle: int, start: int, end: int) -> None:
    """Make bytes zero, and give their room back where the file system can."""
    if end > start and not _punched(handle, start, end - start):
        for at in range(start, end, 1 << 20):
            _write(handle, bytes(min(1 << 20, end - at)), at)


def _punched(handle: int, start: int, length: int) -> bool:
    punch = _punch()
    return punch is not None and punch(handle, _PUNCH_HOLE | _KEEP_SIZE, start, length) == 0


@cache
def _punch() -> "Callable[[int, int, int, int], int] | None":
    """Return Linux' fallocate; None elsewhere."""
    found = getattr(ctypes.CDLL(None), "fallocate", None) if sys.platform == "linux" else None
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return found

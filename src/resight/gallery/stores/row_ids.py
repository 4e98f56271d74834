"""Which id each row has, and which row an id."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resight.gallery.stores.row_file import Rows


class RowIds:
    """The ids of rows; who has its arrays may go on reading while others are added.

    Attributes:
        ids: uint64 [N, 2], the halves of each row's UUID.
        used: bool [N], whether a row has one.
    """

    def __init__(self, ids: NDArray[np.uint64] | None = None, used: NDArray[np.bool_] | None = None) -> None:
        self.ids = np.zeros((0, 2), np.uint64) if ids is None else ids
        self.used = np.zeros(0, np.bool_) if used is None else used
        self._order: tuple[NDArray[np.uint64], Rows] | None = None

    def __len__(self) -> int:
        return int(self.used.sum())

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        more = max(0, rows - len(self.ids))
        self.ids = np.concatenate([self.ids, np.zeros((more, 2), np.uint64)])
        self.used = np.concatenate([self.used, np.zeros(more, np.bool_)])

    def put(self, rows: Rows, ids: Sequence[str]) -> None:
        """Give rows their ids."""
        self.ids[rows] = _numbers(ids)
        self.used[rows] = True  # from now on they are found
        self._order = None

    def free(self, rows: Rows) -> None:
        """Take the ids of rows away."""
        self.used[rows] = False
        self._order = None

    def rows(self, ids: Sequence[str]) -> Rows:
        """Return the row of each id; -1 for those that are not there."""
        if self._order is None:
            rows = np.flatnonzero(self.used)
            mixed = self.ids[rows, 0] ^ self.ids[rows, 1]
            order = np.argsort(mixed)
            self._order = mixed[order], rows[order]
        known, places = self._order
        wanted = _numbers(ids)
        mixed = wanted[:, 0] ^ wanted[:, 1]
        begins, ends = (np.searchsorted(known, mixed, side) for side in ("left", "right"))
        found = np.full(len(wanted), -1)
        for step in range(int((ends - begins).max(initial=0))):  # once, but by an unheard-of chance
            there = np.flatnonzero(begins + step < ends)
            rows = places[begins[there] + step]
            same = (self.ids[rows] == wanted[there]).all(axis=1)
            found[there[same]] = rows[same]
        return found


def words(ids: NDArray[np.uint64]) -> list[str]:
    """Return ids [N, 2] in their usual writing."""
    digits = ids.tobytes().hex()
    return [
        f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}"
        for one in (digits[place : place + 32] for place in range(0, len(digits), 32))
    ]


def _numbers(ids: Sequence[str]) -> NDArray[np.uint64]:
    return np.frombuffer(bytes.fromhex("".join(ids).replace("-", "")), np.uint64).reshape(len(ids), 2)

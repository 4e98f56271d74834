"""Ragged lists in flat tensors: which entries belong to which row."""

from collections.abc import Sequence

import torch
from torch import Tensor


def spread(starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the entries of several runs one after the other.

    Args:
        starts, counts: int64 [R], where each run begins and how long it is.

    Returns:
        owner: int64 [P], the run that each entry is of.
        index: int64 [P], where it stands.
    """
    owner = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    skipped = starts - (counts.cumsum(0) - counts)  # of each run: its start, less the entries before it
    return owner, torch.arange(len(owner), device=counts.device) + skipped[owner]


def even_parts(rows: Tensor, size: int) -> Sequence[Tensor]:
    """Split into parts of at most ``size``, alike in length: a product of few rows is rounded otherwise."""
    return rows.tensor_split(max(1, -(-len(rows) // size)))


class Groups:
    """Where each label stands among labels [N]."""

    def __init__(self, labels: Tensor) -> None:
        self._labels, self._columns = labels.sort(stable=True)

    def find(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first place of each label among the sorted ones, and how often it stands there."""
        start = torch.searchsorted(self._labels, labels)
        return start, torch.searchsorted(self._labels, labels, right=True) - start

    def pairs(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (row, column) wherever a column has the row's label, row by row."""
        row, place = spread(*self.find(labels))
        return row, self._columns[place]

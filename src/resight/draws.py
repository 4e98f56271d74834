"""Random numbers for a part of a batch: those that it would have within the whole batch.

So a batch that several processes share, or that is computed part by part, is changed and masked as in one
process at once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """One of ``count`` equal parts of a batch; the whole batch by default."""

    index: int = 0
    count: int = 1

    def rows(self, batch: int) -> slice:
        """Return the rows of a whole batch that are the part's."""
        size = batch // self.count
        return slice(self.index * size, (self.index + 1) * size)


WHOLE = Part()

_current = ContextVar("part", default=WHOLE)


@contextmanager
def drawing_for(part: Part) -> Iterator[None]:
    """Let ``draw`` and ``draw_like`` draw for this part, in this thread."""
    token = _current.set(part)
    try:
        yield
    finally:
        _current.reset(token)


def draw(rows: int, sample: Callable[[int], Tensor], dim: int = 0) -> Tensor:
    """Return random numbers for the rows of the current part.

    Args:
        rows: B, of the part.
        sample: draws for a number of rows.
        dim: dimension of the rows in what ``sample`` returns.
    """
    part = _current.get()
    if part.count == 1:
        return sample(rows)
    return sample(rows * part.count).narrow(dim, part.index * rows, rows)


def draw_like(values: Tensor) -> Tensor:
    """Return numbers that are uniform in [0, 1), in the shape and order in memory of values [B, ...]."""

    def sample(rows: int) -> Tensor:
        if rows == len(values):
            return torch.rand_like(values)
        last = values.is_contiguous(memory_format=torch.channels_last)
        order = torch.channels_last if last else torch.contiguous_format
        return torch.rand_like(values.new_empty((rows, *values.shape[1:])).to(memory_format=order))

    return draw(len(values), sample)

"""Nearest neighbours, a block of rows at a time, with defined ties."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from torch import Tensor

from resight.progress import track

LONG_WORK = 5e11  # multiply-adds from which progress is shown: seconds on a CPU

T = TypeVar("T")


def nearest_columns(distances: Tensor, k: int) -> Tensor:
    """Return the columns of each row's k smallest numbers, in ascending order: int64 [B, k].

    Equal numbers are in the order of their columns, whatever the device.

    Args:
        distances: [B, N].
        k: at most N.
    """
    values, columns = distances.topk(min(k + 1, distances.shape[1]), largest=False)
    tied = (values[:, 1:] == values[:, :-1]).any(1).nonzero()[:, 0]  # topk does not define the order of ties
    columns = columns[:, :k]
    for row in tied.tolist():
        within = (distances[row] <= values[row, k - 1]).nonzero()[:, 0]  # k or more, in order
        columns[row] = within[distances[row, within].argsort(stable=True)[:k]]
    return columns


def track_long(items: Iterable[T], title: str, total: int, work: float) -> Iterator[T]:
    """Yield the items, with a progress bar if the work (multiply-adds) takes long."""
    return track(items, title, total) if work > LONG_WORK else iter(items)


def split_by_size(sizes: Tensor, limit: int) -> list[int]:
    """Return lengths of consecutive stretches so that the sizes of each add up to about the limit.

    Args:
        sizes: int64 [P], 0 or more.
    """
    if not len(sizes):
        return []
    stretches = (sizes.cumsum(0) - 1) // limit
    return [int(count) for count in stretches.unique_consecutive(return_counts=True)[1]]

"""Nearest neighbours, a block of rows at a time, with defined ties."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from resight.evaluation.distances import Distances
from resight.progress import track
from resight.threads import Workers

LONG_WORK = 5e11  # multiply-adds from which progress is shown: seconds on a CPU
BLOCK_ROWS = 512  # rows of distances in memory at a time
COLUMNS = 4096  # columns of a block that are searched at a time

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


def stretches(total: int, size: int) -> list[slice]:
    """Return consecutive ranges of at most ``size`` that cover ``total``."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def nearest_items(distances: Distances, k: int, workers: Workers) -> tuple[Tensor, Tensor]:
    """Return each item's k nearest items, int64 [N, k], and its largest squared distance [N].

    Distances are symmetric, so half of them suffice. Each strip of rows holds the distances from its items to
    all later ones; its columns are the distances from those later items to the strip's.
    """
    items = distances.items
    values = torch.full((items, k), torch.inf, dtype=distances.dtype, device=distances.device)
    columns = torch.zeros(items, k, dtype=torch.int64, device=distances.device)
    farthest = values.new_zeros(items)
    buffer = values.new_empty(min(BLOCK_ROWS, items) * items)

    def search(rows: slice, block: Tensor, start: int) -> None:
        torch.maximum(farthest[rows], block.amax(1), out=farthest[rows])
        for first in range(0, block.shape[1], COLUMNS):
            _take_nearer(values[rows], columns[rows], block[:, first : first + COLUMNS], start + first)

    strips = stretches(items, BLOCK_ROWS)
    for rows in track_long(strips, "Finding neighbours", len(strips), distances.work / 2):
        size = rows.stop - rows.start
        strip = distances.onward(rows, buffer[: size * (items - rows.start)].view(size, -1))
        tasks: list[Callable[[], None]] = []
        for part in stretches(size, -(-size // workers.count)):
            own = slice(rows.start + part.start, rows.start + part.stop)
            tasks.append(partial(search, own, strip[part], rows.start))
        for start in range(rows.stop, items, COLUMNS):
            block = strip[:, start - rows.start :][:, :COLUMNS]
            later = slice(start, start + block.shape[1])
            tasks.append(partial(search, later, block.T, rows.start))
        workers.map(lambda task: task(), tasks)
    return columns, torch.where(farthest > 0, farthest, 1)  # 0 only if all items are equal


def _take_nearer(values: Tensor, columns: Tensor, block: Tensor, start: int) -> None:
    """Update, in place, the k smallest values [B, k] and their columns with a block [B, M] of later columns.

    The block's columns count from ``start``. Of equal values the earlier ones are kept.
    """
    if values[:, -1].isinf().any():
        found, places = block, torch.arange(block.shape[1], device=block.device).expand(block.shape)
    else:
        near = (block < values[:, -1:]).contiguous()  # a transposed mask is read five times as slowly
        row, column = near.nonzero(as_tuple=True)
        counts = row.bincount(minlength=len(block))
        nth = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
        found = values.new_full((len(block), int(counts.max())), torch.inf)
        found[row, nth] = block[row, column]
        places = torch.zeros_like(found, dtype=torch.int64)
        places[row, nth] = column
    every = torch.cat([values, found], 1)
    kept = nearest_columns(every, values.shape[1])
    torch.gather(every, 1, kept, out=values)
    columns.copy_(torch.cat([columns, places + start], 1).gather(1, kept))

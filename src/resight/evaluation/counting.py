"""Counting scores above thresholds, in place of a sort: only the ranks of a few matches are needed."""

import math

import torch
from torch import Tensor

TILE_COLUMNS = 4096
TILE_ENTRIES = 2**21  # comparisons at a time: they fit into the cache, and cores seldom wait for each other


def count_at_or_above(scores: Tensor, thresholds: Tensor, used: Tensor) -> Tensor:
    """Return the number of each row's scores at or above each of its thresholds: int64 [B, M].

    Args:
        scores: [B, N].
        thresholds: [B, M], of the same type; M is 1 or more.
        used: int64 [B], the number of the row's thresholds that are needed; other counts are undefined. Fast
            if neighbouring rows use equally many.
    """
    counts = torch.zeros_like(thresholds, dtype=torch.int64)
    step = max(1, TILE_ENTRIES // TILE_COLUMNS // thresholds.shape[1])
    # ones and zeros as floats: making and adding them is several times faster than with booleans
    buffer = scores.new_empty(step * thresholds.shape[1] * TILE_COLUMNS)
    for start in range(0, len(scores), step):
        rows = slice(start, start + step)
        wanted = thresholds[rows, : int(used[rows].max()), None]
        for tile in scores[rows].split(TILE_COLUMNS, dim=1):
            shape = (*wanted.shape[:2], tile.shape[1])
            above = torch.ge(tile[:, None, :], wanted, out=buffer[: math.prod(shape)].view(shape))
            counts[rows, : wanted.shape[1]] += above.sum(2).long()
    return counts

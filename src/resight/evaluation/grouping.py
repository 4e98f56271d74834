"""Splitting rows into parts of similar length, and finding equal rows."""

from collections.abc import Sequence

import torch
from torch import Tensor


def even_parts(rows: Tensor, size: int) -> Sequence[Tensor]:
    """Split into parts of at most ``size``, of similar length: products of few rows round differently."""
    return rows.tensor_split(max(1, -(-len(rows) // size)))


def repeated_rows(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows that equal an earlier row, and the first row that each equals: int64 [R] each.

    Args:
        features: float32 or float64 [N, D].
    """
    rows = torch.arange(len(features), device=features.device)
    group = torch.zeros_like(rows)
    for step in (max(1, features.shape[1] // 16), 1):  # rows that differ mostly do so in some 16 columns
        hashes = torch.cat([_hashes(features[part, ::step]) for part in rows.split(1024)])
        _, group, counts = hashes.unique(return_inverse=True, return_counts=True)
        again = counts[group] > 1
        rows, group = rows[again], group[again]
        if not len(rows):
            return rows, rows
    first = rows.new_full((int(group.max()) + 1,), len(features)).scatter_reduce(0, group, rows, "amin")[
        group
    ]
    rows, first = rows[rows != first], first[rows != first]
    pairs = zip(rows.split(1024), first.split(1024), strict=True)
    equal = torch.cat([(features[one] == features[other]).all(1) for one, other in pairs])
    return rows[equal], first[equal]


def _hashes(features: Tensor) -> Tensor:
    """Return a hash of each row's bits: int64 [N], independent of the order of the sum."""
    bits = (features + 0.0).view(torch.int32 if features.dtype == torch.float32 else torch.int64)  # -0 is 0
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, (features.shape[1],), generator=generator)
    return (bits * (2 * factors + 1).to(bits.device)).sum(1)

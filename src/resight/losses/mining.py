"""Distances within a batch, nearest and furthest crops, and means over valid values."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Return the values in float32, or unchanged in float64."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def squared_distances(embedding: Tensor) -> Tensor:
    """Return squared Euclidean distances [B, B] of embeddings [B, d]: none below zero."""
    squares = embedding.square().sum(1)
    distances = squares[:, None] + squares[None, :] - 2 * embedding @ embedding.T
    return distances.clamp(min=0).fill_diagonal_(0)


def distances(embedding: Tensor) -> Tensor:
    """Return Euclidean distances [B, B]; the gradient of a zero distance is zero, not infinite."""
    squared = squared_distances(embedding)
    apart = squared > 0
    return torch.where(apart, squared, 1.0).sqrt() * apart


def pairs(persons: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positives of each anchor (without itself) and its negatives: bool [B, B].

    Args:
        persons: int64 [B].
    """
    same = persons[:, None] == persons[None, :]
    return same & ~torch.eye(len(persons), dtype=torch.bool, device=persons.device), ~same


def nearest(
    distance: Tensor, allowed: Tensor, count: int = 1, *, furthest: bool = False
) -> tuple[Tensor, Tensor]:
    """Find the nearest crops of each row among those allowed; all mining uses this.

    Args:
        distance: [A, B]; used without its gradient.
        allowed: bool [A, B].
        count: number of crops; at most B are returned.
        furthest: the furthest ones instead.

    Returns:
        index: int64 [A, count], positions in the batch, nearest first.
        found: bool [A, count], whether there is such a crop; if not, its position is undefined.
    """
    barred = -torch.inf if furthest else torch.inf
    ranked = distance.detach().masked_fill(~allowed, barred)
    index = ranked.topk(min(count, distance.shape[1]), largest=furthest).indices
    return index, allowed.gather(1, index)


def mean_over(values: Tensor, valid: Tensor) -> Tensor:
    """Return the scalar mean of the valid values (bool of the same shape); zero if there are none."""
    return values.masked_fill(~valid, 0).sum() / valid.sum().clamp(min=1)


def logsumexp_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Return log(sum(exp)) [A, 1] of the chosen values [A, B] of each row, at least one."""
    return values.masked_fill(~chosen, -torch.inf).logsumexp(1, keepdim=True)

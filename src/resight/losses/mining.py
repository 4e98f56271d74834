"""Distances within a batch, and the hardest pairs among them."""

import torch
from torch import Tensor

from resight.models.representation import Representation


def at_least_float32(values: Tensor) -> Tensor:
    """Return the values in float32, or in float64 where they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def embeddings(representation: Representation, branches: tuple[str, ...] | None) -> list[Tensor]:
    """Return the embeddings [B, d] of the chosen branches (all by default), in float32 or better."""
    return [
        at_least_float32(branch.embedding)
        for name, branch in representation.branches.items()
        if branches is None or name in branches
    ]


def squared_distances(embedding: Tensor) -> Tensor:
    """Return squared Euclidean distances [B, B] of embeddings [B, d]: none below zero."""
    squares = embedding.square().sum(1)
    distances = squares[:, None] + squares[None, :] - 2 * embedding @ embedding.T
    return distances.clamp(min=0).fill_diagonal_(0)


def distances(embedding: Tensor) -> Tensor:
    """Return Euclidean distances [B, B]; where one is zero its gradient is zero, not infinite."""
    squared = squared_distances(embedding)
    apart = squared > 0
    return torch.where(apart, squared, 1.0).sqrt() * apart


def hardest(distance: Tensor, persons: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find each anchor's furthest positive and nearest negative.

    Args:
        distance: [B, B].
        persons: int64 [B].

    Returns:
        positive, negative: int64 [B], positions in the batch.
        valid: bool [B], whether the anchor has both another crop of its person and one of another person;
            where it has not, the positions mean nothing.
    """
    same = persons[:, None] == persons[None, :]
    others = same & ~torch.eye(len(persons), dtype=torch.bool, device=persons.device)
    positive = distance.masked_fill(~others, -torch.inf).argmax(1)
    negative = distance.masked_fill(same, torch.inf).argmin(1)
    return positive, negative, others.any(1) & ~same.all(1)

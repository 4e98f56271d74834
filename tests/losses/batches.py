"""Small batches for the tests of terms: embeddings, and persons of one, two and many crops."""

import math

import torch
from hypothesis import strategies as st
from torch import Tensor

from resight.models.representation import Branch, Representation

PERSONS = (
    [0, 0, 1, 1, 2, 2],
    [0, 1, 1, 2, 2, 2, 2],
    [3, 3, 3, 3, 0],
    [0, 1, 2, 2],
    [4, 2, 2, 4, 4, 4, 1, 3, 4],
)
"""Persons of batches that have triplets, and seldom quadruplets."""

ANY_PERSONS = st.lists(st.integers(0, 3), min_size=1, max_size=10)
SEEDS = st.integers(0, 2**31)


def represent(embedding: Tensor) -> Representation:
    return Representation({"global": Branch(embedding)})


def draw(crops: int, seed: int = 0, size: int = 4) -> Tensor:
    return torch.randn(crops, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def apart(embedding: Tensor) -> list[list[float]]:
    """Euclidean distances, one pair after the other."""
    rows = embedding.tolist()
    return [[math.dist(one, other) for other in rows] for one in rows]


def positives(persons: list[int], anchor: int) -> list[int]:
    return [i for i, person in enumerate(persons) if person == persons[anchor] and i != anchor]


def negatives(persons: list[int], anchor: int) -> list[int]:
    return [i for i, person in enumerate(persons) if person != persons[anchor]]


def mean(values: list[float]) -> float:
    """The mean, and zero of nothing."""
    return sum(values) / max(1, len(values))

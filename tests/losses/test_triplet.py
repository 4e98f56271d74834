"""Triplet loss against loops written from the equations, and against pytorch-metric-learning."""

import math
from typing import Any

import pytest
import torch
from batches import ANY_PERSONS, PERSONS, SEEDS, apart, draw, mean, negatives, positives, represent
from hypothesis import given, settings
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import AvgNonZeroReducer, MeanReducer
from torch import Tensor

from resight.losses.term import TERMS
from resight.losses.triplet import Triplet

EUCLIDEAN: dict[str, Any] = {"normalize_embeddings": False, "p": 2}


def penalty(gap: float, margin: float | str) -> float:
    return math.log1p(math.exp(gap)) if margin == "soft" else max(0.0, gap + float(margin))


def naive(embedding: Tensor, persons: list[int], margin: float | str, mining: str) -> float:
    losses = []
    for a, to in enumerate(apart(embedding)):
        near, far = positives(persons, a), negatives(persons, a)
        if mining == "hard" and near and far:
            losses.append(penalty(max(to[p] for p in near) - min(to[n] for n in far), margin))
        elif mining != "hard":
            losses += [penalty(to[p] - to[n], margin) for p in near for n in far]
    return mean([loss for loss in losses if loss > 0] if mining == "active" else losses)


@pytest.mark.parametrize("margin", ["soft", 0.3])
@pytest.mark.parametrize("mining", ["hard", "all", "active"])
@settings(deadline=None, max_examples=25)
@given(persons=ANY_PERSONS, seed=SEEDS)
def test_equals_the_equation(margin: float | str, mining: str, persons: list[int], seed: int) -> None:
    embedding = draw(len(persons), seed)
    found = TERMS.build("triplet", margin=margin, mining=mining)(represent(embedding), torch.tensor(persons))
    assert found.item() == pytest.approx(naive(embedding, persons, margin, mining), rel=1e-9)


@pytest.mark.parametrize("persons", PERSONS)
@pytest.mark.parametrize("margin", [0.3, 2.0])
def test_batch_hard_equals_pytorch_metric_learning(persons: list[int], margin: float) -> None:
    ours, theirs = draw(len(persons)).requires_grad_(), draw(len(persons)).requires_grad_()
    labels, distance = torch.tensor(persons), LpDistance(**EUCLIDEAN)
    triplets = BatchHardMiner(distance=distance)(theirs, labels)
    oracle = TripletMarginLoss(margin, distance=distance, reducer=MeanReducer())
    expected = oracle(theirs, labels, triplets)
    loss = Triplet(margin=margin)(represent(ours), labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("persons", PERSONS)
@pytest.mark.parametrize(("mining", "reducer"), [("all", MeanReducer), ("active", AvgNonZeroReducer)])
def test_batch_all_equals_pytorch_metric_learning(persons: list[int], mining: Any, reducer: Any) -> None:
    embedding, labels = draw(len(persons)), torch.tensor(persons)
    oracle = TripletMarginLoss(0.5, distance=LpDistance(**EUCLIDEAN), reducer=reducer())
    loss = Triplet(margin=0.5, mining=mining)(represent(embedding), labels)
    assert loss.item() == pytest.approx(oracle(embedding, labels).item(), rel=1e-9)


def test_normalising_ignores_lengths() -> None:
    embedding, persons = draw(6), torch.tensor([0, 0, 1, 1, 2, 2])
    term = Triplet(margin=0.3, normalise=True)
    longer = embedding * torch.arange(1, 7, dtype=torch.float64)[:, None]
    assert torch.allclose(term(represent(embedding), persons), term(represent(longer), persons))

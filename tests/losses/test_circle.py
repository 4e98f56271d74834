"""Circle loss against loops written from the equations, its paper's gradient and pytorch-metric-learning."""

import math

import pytest
import torch
from batches import ANY_PERSONS, PERSONS, SEEDS, draw, mean, negatives, positives, represent
from hypothesis import given, settings
from pytorch_metric_learning.losses import CircleLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor
from torch.nn import functional

from resight.losses.circle import Circle


def cosines(embedding: Tensor) -> Tensor:
    return functional.normalize(embedding, dim=1) @ functional.normalize(embedding, dim=1).T


def naive(embedding: Tensor, persons: list[int], m: float, gamma: float) -> float:
    losses = []
    for a, s in enumerate(cosines(embedding).tolist()):
        near, far = positives(persons, a), negatives(persons, a)
        if near and far:
            n = sum(math.exp(gamma * max(0.0, s[j] + m) * (s[j] - m)) for j in far)
            p = sum(math.exp(-gamma * max(0.0, 1 + m - s[i]) * (s[i] - (1 - m))) for i in near)
            losses.append(math.log1p(n * p))
    return mean(losses)


@pytest.mark.parametrize(("m", "gamma"), [(0.25, 128.0), (0.4, 8.0)])
@settings(deadline=None, max_examples=25)
@given(persons=ANY_PERSONS, seed=SEEDS)
def test_equals_the_equation(m: float, gamma: float, persons: list[int], seed: int) -> None:
    embedding = draw(len(persons), seed)
    found = Circle(margin=m, gamma=gamma)(represent(embedding), torch.tensor(persons))
    assert found.item() == pytest.approx(naive(embedding, persons, m, gamma), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("persons", PERSONS)
def test_gradient_is_that_of_the_paper(persons: list[int]) -> None:
    """Section 3.3, Eq. 10: the weights are constants, so a numerical derivative of the value is no oracle."""
    m, gamma = 0.25, 8.0
    ours, theirs = draw(len(persons)).requires_grad_(), draw(len(persons)).requires_grad_()
    Circle(gamma=gamma)(represent(ours), torch.tensor(persons)).backward()
    similarity = cosines(theirs)
    s, gradient, anchors = similarity.tolist(), torch.zeros_like(similarity), 0
    for a in range(len(persons)):
        near, far = positives(persons, a), negatives(persons, a)
        if near and far:
            anchors += 1
            n = {j: math.exp(gamma * (s[a][j] ** 2 - m**2)) for j in far if s[a][j] > -m}
            flat = sum(s[a][j] <= -m for j in far)  # exp(0) each: these have no gradient
            p = {i: math.exp(gamma * ((s[a][i] - 1) ** 2 - m**2)) for i in near}
            loss = math.log1p((sum(n.values()) + flat) * sum(p.values()))
            z = 1 - math.exp(-loss)
            for j, value in n.items():
                gradient[a, j] = z * value / (sum(n.values()) + flat) * gamma * (s[a][j] + m)
            for i, value in p.items():
                gradient[a, i] = z * value / sum(p.values()) * gamma * (s[a][i] - 1 - m)
    similarity.backward(gradient / anchors)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-8)  # softplus is linear from 20


@pytest.mark.parametrize("persons", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1], [3, 3, 1, 1, 1, 1]])
def test_equals_pytorch_metric_learning(persons: list[int]) -> None:
    embedding, labels = draw(len(persons)), torch.tensor(persons)
    expected = CircleLoss(m=0.25, gamma=128, reducer=MeanReducer())(embedding, labels)
    assert Circle()(represent(embedding), labels).item() == pytest.approx(expected.item(), rel=1e-9)

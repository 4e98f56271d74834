"""Support neighbour loss against loops written from its equations, and against its analytic gradient."""

import math
from typing import Literal

import pytest
import torch
from batches import ANY_PERSONS, PERSONS, SEEDS, apart, draw, mean, negatives, positives, represent
from hypothesis import given, settings
from torch import Tensor
from torch.nn import functional

from resight.losses.support_neighbour import SupportNeighbour

Slip = Literal["no weights", "sign", "closest"]


def support(to: list[float], persons: list[int], anchor: int, k: int) -> tuple[list[int], list[int]]:
    """P and N of an anchor: those of its k nearest; P is its nearest positive where there is none."""
    near, far = positives(persons, anchor), negatives(persons, anchor)
    neighbours = sorted(near + far, key=to.__getitem__)[:k]
    chosen = [i for i in neighbours if i in near] or sorted(near, key=to.__getitem__)[:1]
    return chosen, [i for i in neighbours if i in far]


def naive(embedding: Tensor, persons: list[int], k: int, sigma: float, weight: float, power: int) -> float:
    separation, squeeze = [], []
    for i, row in enumerate(apart(embedding)):
        to = [distance**power for distance in row]
        chosen, others = support(to, persons, i, k)
        if chosen:
            p = sum(math.exp(-sigma * to[j]) for j in chosen)
            n = sum(math.exp(-sigma * to[j]) for j in others)
            separation.append(-math.log(p / (p + n)))
            squeeze.append(max(to[j] for j in chosen) - min(to[j] for j in chosen))
    return mean(separation) + weight * mean(squeeze)


def analytic(
    embedding: Tensor, persons: list[int], k: int, sigma: float, weight: float, slip: Slip | None = None
) -> Tensor:
    """The gradient, squared distance, anchor by anchor; with one of the slips of the paper's appendix.

    For anchor q, v is the softmax over P of -sigma D, w that over P and N::

        dL/dx_q = 2 sigma [sum_P v_p (x_q - x_p) - sum_{P, N} w_s (x_q - x_s)]
        dL/dx_j = 2 sigma (v_j - w_j) (x_j - x_q)           v_j = 0 for negatives

    and of the squeeze, with f the furthest and c the closest of P: 2 (x_c - x_f) to the anchor,
    2 (x_f - x_q) to f, -2 (x_c - x_q) to c. The appendix differs three times:

    - ``no weights``: Eqs. 8 to 10 have plain sums, without v and w;
    - ``sign``: they lead to sum_s - sum_p in Eq. 11 for the gradient of the separation: the loss would rise;
    - ``closest``: Eq. 11 adds the sum over anchors whose closest positive x_i is, instead of subtracting it
      (and writes 2 x_c - x_f for 2 (x_c - x_f)).
    """
    x, gradient = embedding, torch.zeros_like(embedding)
    anchors = [i for i in range(len(persons)) if positives(persons, i)]
    for q in anchors:
        to = [distance**2 for distance in apart(embedding)[q]]
        chosen, others = support(to, persons, q, k)
        p = {j: math.exp(-sigma * to[j]) for j in chosen}
        s = p | {j: math.exp(-sigma * to[j]) for j in others}
        v = {j: 1.0 if slip == "no weights" else value / sum(p.values()) for j, value in p.items()}
        w = {j: 1.0 if slip == "no weights" else value / sum(s.values()) for j, value in s.items()}
        rate = 2 * sigma * (-1 if slip == "sign" else 1)
        for j in s:
            pull = rate * (v.get(j, 0.0) - w[j]) * (x[q] - x[j])
            gradient[q] += pull
            gradient[j] -= pull
        f, c = max(chosen, key=to.__getitem__), min(chosen, key=to.__getitem__)
        gradient[q] += weight * 2 * (x[c] - x[f])
        gradient[f] += weight * 2 * (x[f] - x[q])
        gradient[c] += weight * 2 * (x[c] - x[q]) * (1 if slip == "closest" else -1)
    return gradient / max(1, len(anchors))


def autograd(embedding: Tensor, persons: list[int], k: int, sigma: float, weight: float) -> Tensor:
    leaf = embedding.clone().requires_grad_()
    term = SupportNeighbour(neighbours=k, sigma=sigma, squeeze_weight=weight, normalise=False)
    term(represent(leaf), torch.tensor(persons)).backward()
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize(("distance", "power"), [("squared", 2), ("euclidean", 1)])
@pytest.mark.parametrize(("k", "sigma", "weight"), [(1, 2.0, 0.1), (3, 0.5, 1.0), (10, 1.0, 10.0)])
@settings(deadline=None, max_examples=25)
@given(persons=ANY_PERSONS, seed=SEEDS)
def test_equals_the_equations(
    distance: Literal["squared", "euclidean"],
    power: int,
    k: int,
    sigma: float,
    weight: float,
    persons: list[int],
    seed: int,
) -> None:
    embedding = draw(len(persons), seed)
    term = SupportNeighbour(
        neighbours=k, sigma=sigma, squeeze_weight=weight, distance=distance, normalise=False
    )
    found = term(represent(embedding), torch.tensor(persons))
    expected = naive(embedding, persons, k, sigma, weight, power)
    assert found.item() == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("persons", PERSONS)
def test_the_default_is_the_squared_distance_of_normalised_embeddings(persons: list[int]) -> None:
    embedding = draw(len(persons))
    found = SupportNeighbour()(represent(embedding), torch.tensor(persons))
    expected = naive(functional.normalize(embedding, dim=1), persons, 10, 40.0, 0.1, 2)
    assert found.item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("k", [1, 3, 10])
@settings(deadline=None, max_examples=25)
@given(persons=ANY_PERSONS, seed=SEEDS)
def test_gradient_is_the_analytic_one(k: int, persons: list[int], seed: int) -> None:
    embedding = draw(len(persons), seed)
    expected = analytic(embedding, persons, k, 0.7, 0.5)
    torch.testing.assert_close(autograd(embedding, persons, k, 0.7, 0.5), expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("slip", ["no weights", "sign", "closest"])
def test_gradient_is_not_that_of_the_papers_appendix(slip: Slip) -> None:
    embedding, persons = draw(7), [0, 0, 0, 1, 1, 1, 2]
    true = autograd(embedding, persons, 4, 0.7, 0.5)
    slipped = analytic(embedding, persons, 4, 0.7, 0.5, slip)
    assert (slipped - true).norm() > 0.1 * true.norm()


def test_an_anchor_with_far_positives_is_pulled_to_its_nearest_one() -> None:
    embedding = torch.tensor([[0.0], [3.0], [5.0], [0.5], [-0.5]], dtype=torch.float64, requires_grad=True)
    term = SupportNeighbour(neighbours=2, sigma=1.0, squeeze_weight=1.0, normalise=False)
    persons = torch.tensor([0, 0, 0, 1, 2])  # the two nearest of the first crop are negatives
    only_first = term(represent(embedding), persons)
    only_first.backward()
    expected = naive(embedding.detach(), persons.tolist(), 2, 1.0, 1.0, 2)
    assert only_first.item() == pytest.approx(expected, rel=1e-9)
    assert embedding.grad is not None
    assert embedding.grad[0] < 0  # to the right, where the nearest positive is

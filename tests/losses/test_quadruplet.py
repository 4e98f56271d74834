"""Quadruplet-hard against loops written from SAL's Eq. 5."""

import pytest
import torch
from batches import ANY_PERSONS, SEEDS, apart, draw, mean, negatives, positives, represent
from hypothesis import given, settings
from torch import Tensor

from resight.losses.quadruplet import Quadruplet
from resight.losses.triplet import Triplet


def naive(embedding: Tensor, persons: list[int], margin: float, second_margin: float) -> float:
    to, first, second = apart(embedding), [], []
    for i in range(len(persons)):
        near, far = positives(persons, i), negatives(persons, i)
        if near and far:
            j = max(near, key=to[i].__getitem__)
            k = min(far, key=to[i].__getitem__)
            first.append(max(0.0, to[i][j] - to[i][k] + margin))
            third = [h for h, person in enumerate(persons) if person not in (persons[i], persons[k])]
            if third:
                h = min(third, key=to[k].__getitem__)
                second.append(max(0.0, to[i][j] - to[k][h] + second_margin))
    return mean(first) + mean(second)


@pytest.mark.parametrize("margins", [(0.5, 0.2), (2.0, 3.0)])
@settings(deadline=None, max_examples=50)
@given(persons=ANY_PERSONS, seed=SEEDS)
def test_equals_the_equation(margins: tuple[float, float], persons: list[int], seed: int) -> None:
    embedding = draw(len(persons), seed)
    term = Quadruplet(margin=margins[0], second_margin=margins[1])
    found = term(represent(embedding), torch.tensor(persons))
    assert found.item() == pytest.approx(naive(embedding, persons, *margins), rel=1e-9)


def test_the_papers_margins_are_the_default() -> None:
    embedding, persons = draw(6), [0, 0, 1, 1, 2, 2]
    found = Quadruplet()(represent(embedding), torch.tensor(persons))
    assert found.item() == pytest.approx(naive(embedding, persons, 0.5, 0.2), rel=1e-9)


def test_without_a_third_person_it_is_the_triplet_loss() -> None:
    embedding, persons = draw(6), torch.tensor([0, 0, 1, 1, 1, 0])
    triplet = Triplet(margin=0.5)(represent(embedding), persons)
    assert triplet > 0
    assert torch.allclose(Quadruplet()(represent(embedding), persons), triplet)

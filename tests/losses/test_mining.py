"""Distances and mining against loops and sorts."""

import pytest
import torch
from batches import ANY_PERSONS, PERSONS, SEEDS, apart, draw, negatives, positives
from hypothesis import given, settings

from resight.losses.mining import distances, logsumexp_over, mean_over, nearest, pairs, squared_distances


def test_distances_are_those_of_each_pair() -> None:
    embedding = draw(6)
    exact = torch.tensor(apart(embedding), dtype=torch.float64)
    assert torch.allclose(distances(embedding), exact, rtol=1e-9)
    assert torch.allclose(squared_distances(embedding), exact**2, rtol=1e-9)


@pytest.mark.parametrize("measure", [distances, squared_distances])
def test_a_distance_of_zero_has_a_gradient_of_zero(measure) -> None:
    embedding = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    measure(embedding)[0, 1].backward()
    assert not embedding.grad.any()


def test_float32_never_gives_a_distance_below_zero() -> None:
    embedding = (1e3 + 1e-3 * draw(50)).float()
    assert (squared_distances(embedding) >= 0).all()
    assert distances(embedding).isfinite().all()


@pytest.mark.parametrize("persons", PERSONS)
def test_pairs_are_positives_and_negatives(persons: list[int]) -> None:
    same, other = pairs(torch.tensor(persons))
    for anchor in range(len(persons)):
        assert same[anchor].nonzero().flatten().tolist() == positives(persons, anchor)
        assert other[anchor].nonzero().flatten().tolist() == negatives(persons, anchor)


@pytest.mark.parametrize("furthest", [False, True])
@pytest.mark.parametrize("count", [1, 3, 100])
@settings(deadline=None, max_examples=25)
@given(persons=ANY_PERSONS, seed=SEEDS)
def test_nearest_is_a_sort_of_what_is_allowed(
    furthest: bool, count: int, persons: list[int], seed: int
) -> None:
    embedding = draw(len(persons), seed)
    rows = apart(embedding)
    for allowed, choose in zip(pairs(torch.tensor(persons)), (positives, negatives), strict=True):
        index, found = nearest(distances(embedding), allowed, count, furthest=furthest)
        assert index.shape == found.shape == (len(persons), min(count, len(persons)))
        for anchor, row in enumerate(rows):
            expected = sorted(choose(persons, anchor), key=row.__getitem__, reverse=furthest)[:count]
            assert index[anchor][found[anchor]].tolist() == expected


def test_means_and_sums_leave_out_what_does_not_count() -> None:
    values = torch.tensor([[1.0, torch.inf, 3.0]])
    chosen = torch.tensor([[True, False, True]])
    assert mean_over(values, chosen).item() == 2
    assert mean_over(values, torch.zeros_like(chosen)).item() == 0
    assert torch.allclose(logsumexp_over(values, chosen), torch.tensor([[1.0, 3.0]]).logsumexp(1))

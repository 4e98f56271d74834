"""Batch-hard triplet against loops written from the equation."""

import math

import pytest
import torch
from torch import Tensor

from resight.errors import UserError
from resight.losses.term import TERMS
from resight.losses.triplet import Triplet
from resight.models.representation import Branch, Representation

BATCHES = ([0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 2, 2], [3, 3, 3, 3, 0], [0, 1, 2, 2])


def represent(embedding: Tensor) -> Representation:
    return Representation({"global": Branch(embedding)})


def draw(crops: int, seed: int = 0, size: int = 4) -> Tensor:
    return torch.randn(crops, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive(embedding: Tensor, persons: list[int], margin: float | str) -> float:
    losses = []
    for a, person in enumerate(persons):
        to = [math.dist(embedding[a].tolist(), other.tolist()) for other in embedding]
        positives = [to[i] for i, other in enumerate(persons) if other == person and i != a]
        negatives = [to[i] for i, other in enumerate(persons) if other != person]
        if positives and negatives:
            gap = max(positives) - min(negatives)
            losses.append(math.log1p(math.exp(gap)) if margin == "soft" else max(0.0, gap + float(margin)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("persons", BATCHES)
@pytest.mark.parametrize("margin", ["soft", 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_equation(persons: list[int], margin: float | str, seed: int) -> None:
    embedding = draw(len(persons), seed)
    found = TERMS.build("triplet", margin=margin)(represent(embedding), torch.tensor(persons))
    assert found.item() == pytest.approx(naive(embedding, persons, margin), rel=1e-9)


def test_gradient_is_that_of_the_loss() -> None:
    persons = torch.tensor([0, 0, 1, 1, 2])
    embedding = draw(5).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: Triplet()(represent(e), persons), embedding)


def test_normalising_ignores_lengths() -> None:
    embedding, persons = draw(6), torch.tensor([0, 0, 1, 1, 2, 2])
    term = Triplet(margin=0.3, normalise=True)
    longer = embedding * torch.arange(1, 7, dtype=torch.float64)[:, None]
    assert torch.allclose(term(represent(embedding), persons), term(represent(longer), persons))


@pytest.mark.parametrize("embedding", [torch.zeros(4, 3), torch.ones(4, 3, dtype=torch.bfloat16)])
def test_identical_embeddings_have_a_finite_gradient(embedding: Tensor) -> None:
    embedding = embedding.requires_grad_()
    Triplet()(represent(embedding), torch.tensor([0, 0, 1, 1])).backward()
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("persons", [[0, 0, 0], [0, 1, 2]])
def test_a_batch_without_triplets_is_zero(persons: list[int]) -> None:
    embedding = draw(3).requires_grad_()
    loss = Triplet(margin=0.3)(represent(embedding), torch.tensor(persons))
    loss.backward()
    assert loss.item() == 0
    assert embedding.grad is not None
    assert not embedding.grad.any()


def test_order_of_the_batch_does_not_matter() -> None:
    embedding, persons = draw(7), torch.tensor(BATCHES[1])
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    shuffled = Triplet()(represent(embedding[order]), persons[order])
    assert torch.allclose(Triplet()(represent(embedding), persons), shuffled)


def test_branches_are_summed_and_unknown_ones_refused() -> None:
    persons = torch.tensor([0, 0, 1, 1])
    one, two = draw(4), draw(4, seed=1)
    both = Representation({"global": Branch(one), "local": Branch(two)})
    total = Triplet()(represent(one), persons) + Triplet()(represent(two), persons)
    assert torch.allclose(Triplet()(both, persons), total)
    assert torch.allclose(Triplet(branches=("local",))(both, persons), Triplet()(represent(two), persons))
    with pytest.raises(UserError, match="Did you mean 'local'"):
        Triplet(branches=("locl",)).prepare(both, 2)

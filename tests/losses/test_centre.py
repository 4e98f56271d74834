"""Centre loss and the rule that moves its centres, against loops."""

import pytest
import torch
from batches import draw, represent
from torch import Tensor

from resight.losses.centre import Centre
from resight.models.representation import Branch, Representation

PERSONS = 4


def prepared(embedding: Tensor, alpha: float = 0.5) -> Centre:
    term = Centre(alpha=alpha)
    term.prepare(represent(embedding.to("meta")), PERSONS)
    return term.double()


def test_it_is_half_the_mean_squared_distance_to_the_centres() -> None:
    embedding, persons = draw(5), torch.tensor([0, 2, 2, 3, 2])
    term = prepared(embedding)
    term.centres_global = centres = draw(PERSONS, seed=1)
    expected = sum(
        sum((x - c) ** 2 for x, c in zip(row, centres[person].tolist(), strict=True))
        for row, person in zip(embedding.tolist(), persons.tolist(), strict=True)
    ) / (2 * len(persons))
    assert term.eval()(represent(embedding), persons).item() == pytest.approx(expected, rel=1e-12)


def test_centres_move_by_the_papers_rule() -> None:
    embedding, persons, alpha = draw(5), torch.tensor([0, 2, 2, 3, 2]), 0.3
    term = prepared(embedding, alpha)
    before = draw(PERSONS, seed=1)
    term.centres_global = before.clone()
    term(represent(embedding), persons)
    for person in range(PERSONS):
        mine = [x for x, other in zip(embedding, persons.tolist(), strict=True) if other == person]
        delta = sum((before[person] - x for x in mine), torch.zeros(4)) / (1 + len(mine))
        torch.testing.assert_close(term.centres_global[person], before[person] - alpha * delta)


def test_gradient_is_that_of_the_loss_before_the_centres_move() -> None:
    embedding, persons = draw(3).requires_grad_(), torch.tensor([0, 1, 1])
    term = prepared(embedding)
    term.centres_global = centres = draw(PERSONS, seed=1)
    before = centres.clone()
    term(represent(embedding), persons).backward()
    assert embedding.grad is not None
    torch.testing.assert_close(embedding.grad, (embedding.detach() - before[persons]) / 3)


def test_gradcheck() -> None:
    embedding, persons = draw(4).requires_grad_(), torch.tensor([0, 1, 1, 3])
    term = prepared(embedding).eval()
    assert torch.autograd.gradcheck(lambda e: term(represent(e), persons), embedding)


def test_centres_come_to_the_means_of_their_persons() -> None:
    embedding, persons = draw(6), torch.tensor([0, 0, 0, 1, 1, 3])
    term = prepared(embedding)
    for _ in range(100):
        term(represent(embedding), persons)
    torch.testing.assert_close(term.centres_global[0], embedding[:3].mean(0))
    assert not term.centres_global[2].any()


def test_centres_are_state_and_evaluating_does_not_move_them() -> None:
    embedding, persons = draw(4), torch.tensor([0, 1, 1, 3])
    term, other = prepared(embedding), prepared(embedding)
    term(represent(embedding), persons)
    assert term.centres_global.any()
    other.load_state_dict(term.state_dict())
    torch.testing.assert_close(other.centres_global, term.centres_global)
    other.eval()(represent(embedding), persons)
    torch.testing.assert_close(other.centres_global, term.centres_global)


def test_each_branch_has_its_centres() -> None:
    found = Representation({"global": Branch(draw(2)), "local": Branch(draw(2, size=7))})
    term = Centre()
    term.prepare(found, PERSONS)
    assert {name: tuple(value.shape) for name, value in term.state_dict().items()} == {
        "centres_global": (PERSONS, 4),
        "centres_local": (PERSONS, 7),
    }

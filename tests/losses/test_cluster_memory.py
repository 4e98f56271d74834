"""Cluster memory: the loss and the rule that moves the vectors, against loops."""

import math

import pytest
import torch
from batches import draw, represent
from torch import Tensor
from torch.nn.functional import normalize

from resight.losses.cluster_memory import ClusterMemory
from resight.models.representation import Branch, Representation

PERSONS = 4


def prepared(embedding: Tensor, **settings: float) -> ClusterMemory:
    term = ClusterMemory(**settings)
    term.prepare(represent(embedding.to("meta")), PERSONS)
    term = term.double()
    term.start({"global": draw(PERSONS, seed=1)}, torch.arange(PERSONS))
    return term


def test_it_is_the_cross_entropy_of_cosines_with_the_vectors() -> None:
    embedding, persons, temperature = draw(5), torch.tensor([0, 2, 2, 3, 2]), 0.2
    term = prepared(embedding, temperature=temperature)
    expected = 0.0
    for row, person in zip(normalize(embedding, dim=1), persons.tolist(), strict=True):
        likeness = [math.exp(float(row @ vector) / temperature) for vector in term.memory_global]
        expected -= math.log(likeness[person] / sum(likeness)) / len(persons)
    assert term.eval()(represent(embedding), persons).item() == pytest.approx(expected, rel=1e-9)


def test_crops_are_compared_within_cameras_and_with_linked_clusters_across() -> None:
    """Cluster 3 is linked with 0 and 4; 1 and 2 with none."""
    embedding, persons = draw(5), torch.tensor([0, 2, 2, 3, 4])
    cameras, linked = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 2, 0, 0])
    temperature, across, hard = 0.2, 0.3, 1
    term = ClusterMemory(temperature=temperature, across=across, hard=hard)
    term.prepare(represent(embedding.to("meta")), 5)
    term = term.double().eval()
    term.start({"global": draw(5, seed=1)}, torch.arange(5), cameras, linked)
    expected = 0.0
    for row, person in zip(normalize(embedding, dim=1), persons.tolist(), strict=True):
        likeness = [math.exp(float(row @ vector) / temperature) for vector in term.memory_global]
        own = [k for k in range(5) if cameras[k] == cameras[person]]
        loss = -math.log(likeness[person] / sum(likeness[k] for k in own))
        right = [k for k in range(5) if linked[k] == linked[person] and k not in own]
        wrong = [likeness[k] for k in range(5) if k not in own + right]
        every = sum(likeness[k] for k in right) + sum(sorted(wrong)[-hard:])
        if right:
            loss += across * sum(-math.log(likeness[k] / every) for k in right) / len(right)
        expected += loss / len(persons)
    assert term(represent(embedding), persons).item() == pytest.approx(expected, rel=1e-9)
    embedding.requires_grad_()
    assert torch.autograd.gradcheck(lambda e: term(represent(e), persons), embedding)


def test_the_vectors_of_a_batch_move_towards_its_means() -> None:
    embedding, persons, momentum = draw(5), torch.tensor([0, 2, 2, 3, 2]), 0.3
    term = prepared(embedding, momentum=momentum)
    before = term.memory_global.clone()
    term(represent(embedding), persons)
    for person in range(PERSONS):
        mine = normalize(embedding, dim=1)[persons == person]
        if not len(mine):
            torch.testing.assert_close(term.memory_global[person], before[person])
            continue
        moved = momentum * before[person] + (1 - momentum) * normalize(mine.mean(0), dim=0)
        torch.testing.assert_close(term.memory_global[person], normalize(moved, dim=0))
    term.eval()(represent(embedding), persons)
    assert term.memory_global[1].equal(before[1])


def test_gradcheck() -> None:
    embedding, persons = draw(4).requires_grad_(), torch.tensor([0, 1, 1, 3])
    term = prepared(embedding, temperature=0.5).eval()
    assert torch.autograd.gradcheck(lambda e: term(represent(e), persons), embedding)


def test_the_gradient_is_that_of_the_loss_before_the_vectors_move() -> None:
    embedding, persons = draw(3).requires_grad_(), torch.tensor([0, 1, 1])
    term, still = prepared(embedding), prepared(embedding).eval()
    (moved,) = torch.autograd.grad(term(represent(embedding), persons), embedding)
    (expected,) = torch.autograd.grad(still(represent(embedding), persons), embedding)
    torch.testing.assert_close(moved, expected)


def test_it_starts_at_the_means_and_leaves_out_who_is_in_no_cluster() -> None:
    found = Representation({"global": Branch(draw(2)), "local": Branch(draw(2, size=7))})
    term = ClusterMemory(branches=("local",))
    term.prepare(found, 2)
    embeddings = {"global": draw(4), "local": draw(4, seed=2, size=7).float()}
    term.start(embeddings, torch.tensor([1, -1, 0, 1]))
    units = normalize(embeddings["local"], dim=1)
    assert [name for name in term.state_dict() if "memory" in name] == ["memory_local"]
    torch.testing.assert_close(term.memory_local[0], units[2])
    torch.testing.assert_close(term.memory_local[1], normalize(units[0] + units[3], dim=0))

"""What holds for every term on embeddings."""

from collections.abc import Callable

import pytest
import torch
from batches import ANY_PERSONS, PERSONS, SEEDS, draw, represent
from hypothesis import given, settings
from torch import Tensor

from resight.errors import UserError
from resight.losses.centre import Centre
from resight.losses.circle import Circle
from resight.losses.quadruplet import Quadruplet
from resight.losses.support_neighbour import SupportNeighbour
from resight.losses.term import TERMS, EmbeddingTerm
from resight.losses.triplet import Triplet
from resight.models.representation import Branch, Representation

MAKE: dict[str, Callable[..., EmbeddingTerm]] = {
    "triplet": Triplet,
    "triplet with margin": lambda **settings: Triplet(margin=0.3, **settings),
    "triplet, all": lambda **settings: Triplet(mining="all", **settings),
    "triplet, active": lambda **settings: Triplet(margin=0.3, mining="active", **settings),
    "triplet, normalised": lambda **settings: Triplet(normalise=True, **settings),
    "quadruplet": Quadruplet,
    "support-neighbour": SupportNeighbour,
    "support-neighbour, euclidean": lambda **settings: SupportNeighbour(
        neighbours=3, distance="euclidean", normalise=False, sigma=2, **settings
    ),
    "circle": Circle,
    "centre": Centre,
}
SMOOTH = sorted(set(MAKE) - {"circle"})  # circle's weights are constants to the gradient, not to the value
MINED = sorted(set(MAKE) - {"centre"})


def build(name: str, found: Representation, **settings: object) -> EmbeddingTerm:
    term = MAKE[name](**settings)
    term.prepare(found, 5)
    return term.double() if name == "centre" else term


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("persons", PERSONS)
def test_gradcheck(name: str, persons: list[int]) -> None:
    embedding = draw(len(persons), seed=2).requires_grad_()
    term = build(name, represent(embedding)).eval()
    assert torch.autograd.gradcheck(lambda e: term(represent(e), torch.tensor(persons)), embedding)


@pytest.mark.parametrize("name", sorted(MAKE))
@settings(deadline=None, max_examples=20)
@given(persons=ANY_PERSONS, seed=SEEDS)
def test_order_of_the_batch_does_not_matter(name: str, persons: list[int], seed: int) -> None:
    order = torch.randperm(len(persons), generator=torch.Generator().manual_seed(seed))
    labels = torch.tensor(persons)
    one, other = (draw(len(persons), seed).requires_grad_() for _ in range(2))
    term = build(name, represent(one)).eval()
    loss, shuffled = term(represent(one), labels), term(represent(other[order]), labels[order])
    torch.testing.assert_close(loss, shuffled, rtol=1e-8, atol=1e-12)
    loss.backward()
    shuffled.backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", sorted(MAKE))
@pytest.mark.parametrize("value", [0.0, 1.0, -100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_identical_embeddings_are_finite(name: str, value: float, dtype: torch.dtype) -> None:
    for persons in PERSONS:
        embedding = torch.full((len(persons), 3), value, dtype=dtype, requires_grad=True)
        loss = build(name, represent(embedding))(represent(embedding), torch.tensor(persons))
        loss.backward()
        assert loss.isfinite()
        assert embedding.grad is not None
        assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(MAKE))
def test_a_distance_of_zero_is_finite(name: str) -> None:
    embedding = draw(6).float()
    embedding[1] = embedding[0]  # a positive
    embedding[4] = embedding[2]  # a negative
    embedding.requires_grad_()
    loss = build(name, represent(embedding))(represent(embedding), torch.tensor([0, 0, 1, 1, 2, 2]))
    loss.backward()
    assert loss.isfinite()
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(MAKE))
def test_autocast_does_not_touch_it(name: str) -> None:
    persons, layer = torch.tensor(PERSONS[1]), torch.nn.Linear(8, 16)
    images = draw(len(persons), size=8).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedding = layer(images)
        assert embedding.dtype == torch.bfloat16
        loss = build(name, represent(embedding))(represent(embedding), persons)
    loss.backward()
    exact = build(name, represent(embedding))(represent(embedding.detach().float()), persons)
    torch.testing.assert_close(loss.detach(), exact, check_dtype=False)
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()
    assert layer.weight.grad.any()


@pytest.mark.parametrize("name", MINED)
@pytest.mark.parametrize("persons", [[0], [0, 1, 2]])
def test_a_batch_of_one_crop_a_person_is_zero(name: str, persons: list[int]) -> None:
    embedding = draw(len(persons)).requires_grad_()
    loss = build(name, represent(embedding))(represent(embedding), torch.tensor(persons))
    loss.backward()
    assert loss.item() == 0
    assert embedding.grad is not None
    assert not embedding.grad.any()


@pytest.mark.parametrize("name", sorted(set(MINED) - {"support-neighbour", "support-neighbour, euclidean"}))
def test_a_batch_of_one_person_is_zero(name: str) -> None:
    embedding = draw(3).requires_grad_()
    loss = build(name, represent(embedding))(represent(embedding), torch.tensor([2, 2, 2]))
    loss.backward()
    assert loss.item() == 0
    assert embedding.grad is not None
    assert not embedding.grad.any()


@pytest.mark.parametrize("name", sorted(MAKE))
def test_branches_are_summed(name: str) -> None:
    persons = torch.tensor([0, 0, 1, 1, 2])
    one, two = draw(5), draw(5, seed=1, size=6)
    both = Representation({"global": Branch(one), "local": Branch(two)})

    def loss(found: Representation, **settings: object) -> Tensor:
        return build(name, found, **settings)(found, persons)

    assert torch.allclose(loss(both), loss(represent(one)) + loss(represent(two)))
    assert torch.allclose(loss(both, branches=("local",)), loss(represent(two)))


@pytest.mark.parametrize("name", sorted(MAKE))
def test_a_model_without_the_branch_is_refused(name: str) -> None:
    found = Representation({"global": Branch(draw(4)), "local": Branch(draw(4))})
    with pytest.raises(UserError, match=r"has no branch 'locl'. Did you mean 'local'"):
        MAKE[name](branches=("locl",)).prepare(found, 2)
    with pytest.raises(UserError, match="needs a branch, and the model has none"):
        MAKE[name]().prepare(Representation({}), 2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("triplet", {"margin": "soft", "mining": "hard", "normalise": False}),
        ("quadruplet", {"margin": 0.5, "second_margin": 0.2, "normalise": False}),
        (
            "support-neighbour",
            {
                "neighbours": 10,
                "sigma": 40.0,
                "squeeze_weight": 0.1,
                "distance": "squared",
                "normalise": True,
            },
        ),
        ("circle", {"margin": 0.25, "gamma": 128.0}),
        ("centre", {"alpha": 0.5, "normalise": False}),
    ],
)
def test_the_papers_settings_are_the_defaults(name: str, expected: dict[str, object]) -> None:
    assert TERMS.defaults(name, {}) == expected | {"branches": None}
    assert TERMS.build(name, branches=["global"]).branches == ("global",)

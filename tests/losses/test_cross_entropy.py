"""Cross-entropy against the written-out formula, and the objective that holds it."""

import math

import pytest
import torch
from torch import Tensor

from resight.errors import UserError
from resight.losses.cross_entropy import CrossEntropy
from resight.losses.objective import Objective
from resight.losses.term import TERMS, Term
from resight.models.representation import Branch, Representation

PERSONS = 5


def represent(crops: int = 6, dtype: torch.dtype = torch.float64, seed: int = 0) -> Representation:
    generator = torch.Generator().manual_seed(seed)

    def draw(size: int) -> Tensor:
        return torch.randn(crops, size, generator=generator, dtype=dtype) * 3

    return Representation(
        {
            "global": Branch(draw(4), draw(PERSONS)),
            "local": Branch(draw(4), draw(PERSONS)),
            "plain": Branch(draw(4)),
        }
    )


def naive(logits: Tensor, persons: Tensor, smoothing: float) -> float:
    """Cross-entropy against the smoothed target, in loops over crops and persons."""
    total = 0.0
    for row, person in zip(logits.tolist(), persons.tolist(), strict=True):
        normaliser = math.log(sum(math.exp(value) for value in row))
        for index, value in enumerate(row):
            target = (1 - smoothing) * (index == person) + smoothing / len(row)
            total -= target * (value - normaliser)
    return total / len(logits)


def labels() -> Tensor:
    return torch.tensor([0, 4, 2, 2, 1, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_it_is_the_sum_of_the_branches_cross_entropies(smoothing: float) -> None:
    found, persons = represent(), labels()
    expected = sum(
        naive(found.branches[name].logits, persons, smoothing)  # type: ignore[arg-type]
        for name in ("global", "local")
    )
    assert CrossEntropy(label_smoothing=smoothing)(found, persons).item() == pytest.approx(
        expected, rel=1e-12
    )


def test_a_subset_of_branches_counts_alone() -> None:
    found, persons = represent(), labels()
    logits = found.branches["local"].logits
    assert logits is not None
    loss = CrossEntropy(branches=("local",))(found, persons)
    assert loss.item() == pytest.approx(naive(logits, persons, 0.0), rel=1e-12)


def test_gradient_is_softmax_minus_target() -> None:
    found, persons = represent(), labels()
    logits = found.branches["global"].logits
    assert logits is not None
    logits.requires_grad_()
    CrossEntropy(label_smoothing=0.2)(found, persons).backward()
    target = torch.full((6, PERSONS), 0.2 / PERSONS, dtype=torch.float64)
    target[torch.arange(6), persons] += 0.8
    torch.testing.assert_close(logits.grad, (logits.detach().softmax(1) - target) / 6)


def test_gradcheck() -> None:
    persons = labels()[:3]

    def loss(logits: Tensor) -> Tensor:
        return CrossEntropy(label_smoothing=0.1)(Representation({"a": Branch(logits, logits)}), persons)

    logits = torch.randn(3, PERSONS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(loss, logits.requires_grad_())


def test_order_of_crops_does_not_matter() -> None:
    found, persons = represent(), labels()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled = Representation(
        {
            name: Branch(branch.embedding[order], None if branch.logits is None else branch.logits[order])
            for name, branch in found.branches.items()
        }
    )
    term = CrossEntropy(label_smoothing=0.1)
    assert term(shuffled, persons[order]).item() == pytest.approx(term(found, persons).item(), rel=1e-12)


def test_persons_can_be_renamed() -> None:
    found, persons = represent(), labels()
    names = torch.tensor([2, 0, 4, 1, 3])
    back = names.argsort()
    renamed = Representation(
        {
            name: Branch(branch.embedding, None if branch.logits is None else branch.logits[:, back])
            for name, branch in found.branches.items()
        }
    )
    term = CrossEntropy()
    assert term(renamed, names[persons]).item() == pytest.approx(term(found, persons).item(), rel=1e-12)


def test_bfloat16_logits_are_summed_in_float32() -> None:
    found = represent(dtype=torch.bfloat16)
    loss = CrossEntropy()(found, labels())
    exact = sum(naive(found.branches[name].logits, labels(), 0.0) for name in ("global", "local"))  # type: ignore[arg-type]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=1e-5)


class Length(Term):
    """Mean squared length of a branch, with a weight to learn."""

    def prepare(self, example: Representation, persons: int) -> None:
        if "extra" not in example.features:
            raise UserError("It needs the feature 'extra'.")

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        return representation.branches["plain"].embedding.square().mean()


def test_objective_weighs_its_terms_and_names_them() -> None:
    found, persons = represent(), labels()
    found.features["extra"] = torch.zeros(1)
    cross_entropy, length = CrossEntropy(), Length()
    objective = Objective([("identity", 1.0, cross_entropy), ("length", 0.25, length)], found, PERSONS)
    total, terms = objective(found, persons)
    assert terms["identity"].item() == pytest.approx(cross_entropy(found, persons).item())
    assert terms["length"].item() == pytest.approx(length(found, persons).item())
    assert total.item() == pytest.approx(terms["identity"].item() + 0.25 * terms["length"].item())
    assert not any(value.requires_grad for value in terms.values())


def test_objective_refuses_every_term_that_the_model_cannot_feed() -> None:
    terms = [
        ("first", 1.0, CrossEntropy(branches=("locl",))),
        ("fine", 1.0, CrossEntropy()),
        ("second", 1.0, Length()),
    ]
    with pytest.raises(UserError) as caught:
        Objective(terms, represent(), PERSONS)
    sentences = str(caught.value).splitlines()
    assert sentences == [
        "Term 'first' does not fit the model: The model has no branch 'locl'. Did you mean 'local'?",
        "Term 'second' does not fit the model: It needs the feature 'extra'.",
    ]


@pytest.mark.parametrize(
    ("term", "example", "persons", "reason"),
    [
        (CrossEntropy(), Representation({"a": Branch(torch.zeros(2, 3))}), 5, "needs a branch with logits"),
        (CrossEntropy(branches=("plain",)), represent(), 5, "'plain' has no logits"),
        (CrossEntropy(), represent(), 7, "logits for 5 persons; 7 are trained"),
    ],
)
def test_cross_entropy_says_what_it_lacks(
    term: CrossEntropy, example: Representation, persons: int, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        term.prepare(example, persons)


def test_it_is_found_by_name() -> None:
    term = TERMS.build("cross-entropy", label_smoothing=0.1, branches=["global"])
    assert isinstance(term, CrossEntropy)
    assert (term.label_smoothing, term.branches) == (0.1, ("global",))

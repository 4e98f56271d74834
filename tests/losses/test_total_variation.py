"""Total variation against the matrices of Sharp's Eq. 6, and its gradient against Eq. 7."""

import pytest
import torch
from torch import Tensor

from resight.errors import UserError
from resight.losses.term import TERMS
from resight.losses.total_variation import TotalVariation
from resight.models.representation import Representation

PERSONS = torch.zeros(2, dtype=torch.int64)


def draw(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def represent(**attention: Tensor) -> Representation:
    return Representation({}, attention=attention)


def differences(length: int) -> Tensor:
    """D_1 [length - 1, length]; D_2 is its transpose."""
    return (torch.eye(length) - torch.eye(length).roll(1, 1)).double()[:-1]


def naive(masks: Tensor) -> float:
    _, _, height, width = masks.shape
    total = 0.0
    for mask in masks:
        for a in mask:
            total += (differences(height) @ a).norm() ** 2 + (a @ differences(width).T).norm() ** 2
    return float(total) / masks.numel()


@pytest.mark.parametrize("size", [(2, 3, 5, 4), (2, 1, 1, 6), (2, 4, 1, 1)])
def test_equals_the_equation(size: tuple[int, ...]) -> None:
    masks = draw(*size)
    assert TotalVariation()(represent(a=masks), PERSONS).item() == pytest.approx(naive(masks), rel=1e-12)


def test_gradient_is_that_of_equation_7() -> None:
    masks = draw(2, 3, 5, 4).requires_grad_()
    TotalVariation()(represent(a=masks), PERSONS).backward()
    d1, d2 = differences(5), differences(4).T
    a = masks.detach()
    expected = 2 * (d1.T @ d1 @ a + a @ d2 @ d2.T) / a.numel()
    torch.testing.assert_close(masks.grad, expected)


def test_gradcheck() -> None:
    masks = draw(2, 2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: TotalVariation()(represent(a=m), PERSONS), masks)


def test_masks_are_summed_maps_are_no_masks_and_some_can_be_chosen() -> None:
    one, two, seen = draw(2, 3, 4, 2), draw(2, 5, 2, 1, seed=1), draw(2, 4, 2, seed=2)
    found = represent(layer1=one, layer2=two, soft=seen)
    TotalVariation().prepare(found, 5)
    assert TotalVariation()(found, PERSONS).item() == pytest.approx(naive(one) + naive(two), rel=1e-12)
    chosen = TotalVariation(masks=("layer2",))
    chosen.prepare(found, 5)
    assert chosen(found, PERSONS).item() == pytest.approx(naive(two), rel=1e-12)


def test_a_speck_costs_more_than_a_whole_region() -> None:
    speck, region = torch.zeros(1, 1, 8, 4), torch.zeros(1, 1, 8, 4)
    speck[:, :, 1::3, 1::2] = 1
    region[:, :, :3, :2] = 1
    assert speck.sum() == region.sum()
    term = TotalVariation()
    assert term(represent(a=speck), PERSONS) > 2 * term(represent(a=region), PERSONS)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_mask_is_zero_and_finite_under_autocast(value: float) -> None:
    masks = torch.full((2, 3, 4, 2), value, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = TotalVariation()(represent(a=masks), PERSONS)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == 0
    assert masks.grad is not None
    assert not masks.grad.any()


def test_order_of_the_batch_does_not_matter() -> None:
    masks = draw(2, 3, 4, 2)
    loss = TotalVariation()(represent(a=masks), PERSONS)
    assert torch.allclose(TotalVariation()(represent(a=masks.flip(0)), PERSONS), loss)


@pytest.mark.parametrize(
    ("term", "attention", "reason"),
    [
        (TotalVariation(), {}, "needs an attention module that says a mask"),
        (TotalVariation(), {"soft1": draw(2, 4, 2)}, "needs an attention module that says a mask"),
        (TotalVariation(masks=("layr1",)), {"layer1": draw(2, 3, 4, 2)}, "Did you mean 'layer1'"),
        (
            TotalVariation(masks=("soft",)),
            {"soft": draw(2, 4, 2), "layer1": draw(2, 3, 4, 2)},
            "no attention mask 'soft'",
        ),
    ],
)
def test_a_model_without_masks_is_refused(
    term: TotalVariation, attention: dict[str, Tensor], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        term.prepare(represent(**attention), 5)


def test_it_is_found_by_name() -> None:
    assert isinstance(TERMS.build("total-variation", masks=["layer1"]), TotalVariation)

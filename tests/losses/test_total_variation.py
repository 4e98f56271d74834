"""Total variation against the matrices of Sharp's Eq. 6, and its gradient against Eq. 7."""

from typing import Literal

import pytest
import torch
from torch import Tensor

from resight.errors import UserError
from resight.losses.term import TERMS
from resight.losses.total_variation import TotalVariation
from resight.models.network import build_model
from resight.models.representation import Representation

PERSONS = torch.zeros(2, dtype=torch.int64)


def draw(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def represent(**attention: Tensor) -> Representation:
    """Masks over features of one, so that the features they leave are the masks."""
    masked = {name: torch.ones_like(mask) for name, mask in attention.items() if mask.dim() == 4}
    return Representation({}, attention=attention, masked=masked)


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
    """Eq. 6 is of the attention-aware features, Eq. 1: the mask times the features under it."""
    mask, features = draw(*size), draw(*size, seed=1) * 3
    found = Representation({}, attention={"a": mask}, masked={"a": features})
    assert TotalVariation()(found, PERSONS).item() == pytest.approx(naive(mask * features), rel=1e-12)
    assert TotalVariation(of="mask")(found, PERSONS).item() == pytest.approx(naive(mask), rel=1e-12)


def test_gradient_is_that_of_equation_7() -> None:
    mask, features = draw(2, 3, 5, 4).requires_grad_(), (draw(2, 3, 5, 4, seed=1) * 3).requires_grad_()
    found = Representation({}, attention={"a": mask}, masked={"a": features})
    TotalVariation()(found, PERSONS).backward()
    d1, d2 = differences(5), differences(4).T
    a = (mask * features).detach()
    slope = 2 * (d1.T @ d1 @ a + a @ d2 @ d2.T) / a.numel()
    torch.testing.assert_close(mask.grad, slope * features.detach())
    torch.testing.assert_close(features.grad, slope * mask.detach())


def test_it_reads_the_features_that_a_module_laid_its_mask_over() -> None:
    """Not what comes out of the module, which is (1 + M) T."""
    trunk = {"name": "mobilenet", "width": 0.125}
    blocks = {"layer1": "sharp", "layer2": [{"name": "harmonious"}, {"name": "sharp", "interaction": "none"}]}
    model = build_model("pooled", 3, trunk=trunk, attention=blocks, input_size=(64, 32))
    found = model(draw(2, 3, 64, 32).float())
    assert list(found.masked) == ["layer1", "layer2.2"]
    left = {name: found.attention[name] * features for name, features in found.masked.items()}
    torch.testing.assert_close(found.features["layer1"], found.masked["layer1"] + left["layer1"])
    torch.testing.assert_close(found.features["layer2"], left["layer2.2"])
    expected = sum(naive(features.detach().double()) for features in left.values())
    assert TotalVariation()(found, PERSONS).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("of", ["features", "mask"])
def test_gradcheck(of: Literal["features", "mask"]) -> None:
    def loss(mask: Tensor, features: Tensor) -> Tensor:
        found = Representation({}, attention={"a": mask}, masked={"a": features})
        return TotalVariation(of=of)(found, PERSONS)

    both = draw(2, 2, 3, 2).requires_grad_(), draw(2, 2, 3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(loss, both)


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
        (TotalVariation(), {}, "needs an attention module with a mask"),
        (TotalVariation(), {"soft1": draw(2, 4, 2)}, "needs an attention module with a mask"),
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
    assert TERMS.defaults("total-variation", {}) == {"of": "features", "masks": None}

"""The self-attention constraint against loops written from SAL's Eqs. 1 and 2."""

import math

import pytest
import torch
from torch import Tensor

from resight.errors import UserError
from resight.losses.self_attention import SelfAttention
from resight.losses.term import TERMS
from resight.models.representation import Representation

PERSONS = torch.zeros(3, dtype=torch.int64)


def draw(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def represent(*features: Tensor) -> Representation:
    return Representation({}, features={f"layer{n}": values for n, values in enumerate(features, 1)})


def naive_map(features: Tensor, factor: int = 1) -> list[float]:
    """Eq. 1 of one crop's features [C, H, W], averaged over squares of factor x factor, of length one."""
    channels, height, width = features.shape
    values = features.tolist()
    energy = [
        [sum(values[c][y][x] ** 2 for c in range(channels)) / channels for x in range(width)]
        for y in range(height)
    ]
    small = [
        sum(energy[y + dy][x + dx] for dy in range(factor) for dx in range(factor)) / factor**2
        for y in range(0, height, factor)
        for x in range(0, width, factor)
    ]
    length = math.sqrt(sum(value**2 for value in small))
    return [value / length for value in small]


def naive(layers: list[Tensor], factors: list[int]) -> float:
    total = 0.0
    for crop in zip(*layers, strict=True):
        *others, last = [naive_map(f, factor) for f, factor in zip(crop, factors, strict=True)]
        total += sum((a - b) ** 2 for other in others for a, b in zip(last, other, strict=True))
    return total / len(layers[0])


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_equations(seed: int) -> None:
    layers = [draw(3, channels, 4, 2, seed=seed + channels) for channels in (2, 5, 3)]
    found = SelfAttention()(represent(*layers), PERSONS)
    assert found.item() == pytest.approx(naive(layers, [1, 1, 1]), rel=1e-12)


@pytest.mark.parametrize("last", [0, 2])
def test_maps_of_unequal_size_are_averaged_down_to_the_smallest(last: int) -> None:
    layers, factors = [draw(3, 2, 8, 4), draw(3, 3, 4, 2), draw(3, 4, 2, 1)], [4, 2, 1]
    if last == 0:
        layers.reverse()
        factors.reverse()
    found = SelfAttention()(represent(*layers), PERSONS)
    assert found.item() == pytest.approx(naive(layers, factors), rel=1e-12)


def test_maps_can_be_chosen_and_the_last_one_is_compared_to() -> None:
    one, two, three = (draw(3, 2, 4, 2, seed=seed) for seed in range(3))
    found = SelfAttention(maps=("layer3", "layer1"))(represent(one, two, three), PERSONS)
    assert found.item() == pytest.approx(naive([three, one], [1, 1]), rel=1e-12)


def test_equal_maps_are_zero_whatever_their_channels_and_scale() -> None:
    features = draw(3, 2, 4, 2)
    found = represent(features, features.repeat(1, 3, 1, 1) * 7, features.flip(1))
    assert SelfAttention()(found, PERSONS).item() == pytest.approx(0, abs=1e-15)


def test_gradcheck() -> None:
    one, two = draw(2, 2, 4, 2).requires_grad_(), draw(2, 3, 2, 1, seed=1).requires_grad_()
    term = SelfAttention()
    assert torch.autograd.gradcheck(lambda a, b: term(represent(a, b), PERSONS[:2]), (one, two))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_of_zero_are_finite(dtype: torch.dtype) -> None:
    one = torch.zeros(2, 3, 4, 2, dtype=dtype, requires_grad=True)
    two = draw(2, 3, 4, 2).to(dtype).relu().requires_grad_()
    loss = SelfAttention()(represent(one, two), PERSONS[:2])
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1, rel=1e-6)  # a map of zeros against one of length one
    for features in (one, two):
        assert features.grad is not None
        assert features.grad.isfinite().all()


def test_autocast_does_not_touch_it() -> None:
    images = draw(3, 3, 8, 4).float()
    convolution = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = convolution(images)
        assert features.dtype == torch.bfloat16
        loss = SelfAttention()(represent(images, features), PERSONS)
    exact = SelfAttention()(represent(images, features.detach().float()), PERSONS)
    torch.testing.assert_close(loss.detach(), exact)
    loss.backward()
    assert convolution.weight.grad is not None
    assert convolution.weight.grad.isfinite().all()


def test_order_of_the_batch_does_not_matter() -> None:
    one, two, order = draw(3, 2, 4, 2), draw(3, 2, 2, 1), torch.tensor([2, 0, 1])
    loss = SelfAttention()(represent(one, two), PERSONS)
    assert torch.allclose(SelfAttention()(represent(one[order], two[order]), PERSONS), loss)


@pytest.mark.parametrize(
    ("term", "layers", "reason"),
    [
        (SelfAttention(), 1, r"got 1 \(layer1\). Maps of the model: layer1"),
        (SelfAttention(), 0, r"got 0 \(the model has none\)"),
        (SelfAttention(maps=("layer2",)), 3, r"got 1 \(layer2\)"),
        (SelfAttention(maps=("layer2", "layer2")), 3, "got 1"),
        (SelfAttention(maps=("layer2", "layr3")), 3, "no feature map 'layr3'. Did you mean 'layer3'"),
    ],
)
def test_a_model_without_two_maps_is_refused(term: SelfAttention, layers: int, reason: str) -> None:
    example = represent(*(torch.zeros(2, 3, 4, 2, device="meta") for _ in range(layers)))
    with pytest.raises(UserError, match=reason):
        term.prepare(example, 5)


def test_it_is_found_by_name() -> None:
    term = TERMS.build("self-attention", maps=["layer1", "layer2"])
    assert isinstance(term, SelfAttention)
    term.prepare(represent(*(torch.zeros(2, 3, 4, 2, device="meta") for _ in range(2))), 5)

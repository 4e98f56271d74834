"""The building units: shapes, parameters, gradients in bfloat16."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from resight.models.units import ConvUnit, DepthwiseUnit, InceptionA, InceptionB, ResidualBottleneck


@pytest.mark.parametrize("size", [(8, 6), (7, 5)])
@pytest.mark.parametrize("stride", [1, 2])
def test_units_keep_or_halve_the_map(stride: int, size: tuple[int, int]) -> None:
    images = torch.randn(2, 8, *size)
    expected = (2, 16, -(-size[0] // stride), -(-size[1] // stride))
    for unit in (DepthwiseUnit(8, 16, stride), ResidualBottleneck(8, 16, stride)):
        assert unit(images).shape == expected
    inception = InceptionA(8, 16) if stride == 1 else InceptionB(8, 16)
    assert inception(images).shape == expected


def test_parameters() -> None:
    def weights(unit: nn.Module) -> int:
        return sum(part.weight.numel() for part in unit.modules() if isinstance(part, nn.Conv2d))

    assert weights(DepthwiseUnit(8, 16, 2)) == 8 * 16 + 9 * 16
    assert weights(ResidualBottleneck(8, 16, 2)) == 8 * 8 + 9 * 8 * 8 + 8 * 16 + 8 * 16
    assert weights(InceptionA(8, 16)) == 3 * (8 * 4 + 9 * 16) + 8 * 4
    assert weights(InceptionB(8, 16)) == (8 * 4 + 9 * 16) + (8 * 4 + 2 * 9 * 16) + 8 * 8


def test_no_convolution_has_a_bias_and_each_is_normalised() -> None:
    for unit in (DepthwiseUnit(8, 16, 2), ResidualBottleneck(8, 16, 2), InceptionA(8, 16), InceptionB(8, 16)):
        parts = [part for part in unit.modules() if isinstance(part, ConvUnit)]
        assert len(parts) == sum(isinstance(part, nn.Conv2d) for part in unit.modules())
        for part in parts:
            convolution, norm = part[0], part[1]
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            assert convolution.bias is None


def test_a_bottleneck_is_residual_plus_shortcut() -> None:
    unit, images = ResidualBottleneck(8, 16, 2).eval(), torch.randn(2, 8, 6, 6)
    expected = torch.relu(unit.residual(images) + unit.shortcut(images))
    torch.testing.assert_close(unit(images), expected)
    assert unit.residual(images).min() < 0
    assert unit.shortcut(images).min() < 0


@pytest.mark.parametrize("size", [(12, 8), (6, 7)])
def test_bfloat16_gradients_of_a_strided_depthwise_convolution(size: tuple[int, int]) -> None:
    unit = ConvUnit(16, 16, 3, stride=2, groups=16)
    images = torch.randn(4, 16, *size).contiguous(memory_format=torch.channels_last)
    found = []
    for low in (False, True):
        unit.zero_grad()
        given = images.to(torch.bfloat16 if low else torch.float32, copy=True).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            result = unit(given)
        assert result.dtype == given.dtype
        (result.float() ** 2).sum().backward()
        assert given.grad is not None
        assert unit[0].weight.grad is not None
        found.append((given.grad.float().flatten(), unit[0].weight.grad.flatten()))
    for exact, close in zip(*found, strict=True):
        assert functional.cosine_similarity(exact, close, dim=0) > 0.98

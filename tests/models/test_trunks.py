"""What holds for every trunk."""

import pytest
import torch
from trunk_parts import Alone, maps

from resight.models.trunk import TRUNKS, Trunk

SETTINGS = {
    "resnet": {"depth": 18, "strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
    "mobilenet": {"width": 0.25},
    "osnet": {"width": 0.25, "norm": "ain"},
    "mobilenet-v2": {"width": 0.25},
    "mobilenet-v3": {"size": "small", "width": 0.25},
}
"""A light form of each; a trunk that is not here is tested with its defaults."""


@pytest.fixture(params=TRUNKS.names())
def trunk(request: pytest.FixtureRequest) -> Trunk:
    return TRUNKS.build(request.param, **SETTINGS.get(request.param, {}))


def test_layers_are_modules_and_have_channels_and_strides(trunk: Trunk) -> None:
    assert list(trunk.channels) == list(trunk.strides)
    trunk.eval()
    for features, layer in zip(maps(trunk, torch.randn(2, 3, 64, 32)), trunk.channels, strict=True):
        stride = trunk.strides[layer]
        assert features.shape == (2, trunk.channels[layer], 64 // stride, 32 // stride)


def test_training_reaches_every_weight(trunk: Trunk) -> None:
    *_, last = maps(trunk, torch.randn(4, 3, 64, 32))
    last.square().mean().backward()
    for name, weight in trunk.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


def test_evaluation_is_deterministic_and_sees_each_image_alone(trunk: Trunk) -> None:
    trunk.eval()
    images = torch.randn(3, 3, 64, 32)
    with torch.inference_mode():
        *_, once = maps(trunk, images)
        *_, again = maps(trunk, images)
        *_, alone = maps(trunk, images[1:2])
    assert torch.equal(once, again)
    torch.testing.assert_close(once[1:2], alone, rtol=1e-4, atol=1e-4 * once.abs().max().item())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_traced_it_says_the_same(trunk: Trunk) -> None:
    module, other = Alone(trunk.eval()), torch.randn(3, 3, 64, 32)
    with torch.no_grad():
        traced = torch.jit.trace(module, (torch.randn(1, 3, 64, 32),), check_trace=False)
        torch.testing.assert_close(traced(other), module(other))


def test_exported_it_says_the_same_of_any_batch(trunk: Trunk) -> None:
    module, other = Alone(trunk.eval()), torch.randn(3, 3, 64, 32)
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        exported = torch.export.export(module, (torch.randn(2, 3, 64, 32),), dynamic_shapes=({0: batch},))
        torch.testing.assert_close(exported.module()(other), module(other))


def test_bfloat16_is_near_float32(trunk: Trunk) -> None:
    trunk.eval()
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        *_, exact = maps(trunk, images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            *_, low = maps(trunk, images)
    assert low.dtype == torch.bfloat16
    assert (low.float() - exact).norm() < 0.05 * exact.norm()


def test_a_bfloat16_step_has_finite_gradients(trunk: Trunk) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        *_, last = maps(trunk, torch.randn(4, 3, 64, 32))
    last.float().square().mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in trunk.parameters())

"""Folding batch normalisation changes no embedding and leaves the model alone."""

from typing import Any

import pytest
import torch
from small import LIGHT, every_variant, pictures, settle, small
from torch import Tensor, nn
from trunk_parts import maps

from resight.models.folding import folded
from resight.models.network import build_model
from resight.models.trunk import TRUNKS

TRUNK_SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *((name, LIGHT.get(name, {})) for name in TRUNKS.names()),
    ("resnet", {"depth": 50, "strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}),
]


def norms(model: nn.Module) -> list[str]:
    return [name for name, part in model.named_modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]


def assert_close(found: Tensor, expected: Tensor) -> None:
    """Compare descriptors; raw ones may be long, and round by as much more."""
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize(("name", "variant"), every_variant())
def test_every_network_says_the_same_to_rounding(name: str, variant: str) -> None:
    model = small(name, variant).eval()
    images, ready = pictures(model.picture_size), folded(model)
    with torch.no_grad():
        found, expected = ready.embed(images), model.embed(images)
    assert not torch.allclose(expected[0], expected[1], atol=0.01)
    assert_close(found, expected)
    assert norms(model)
    # What stays normalises half of a convolution's channels (IBN-a), or what no single layer made (a BNNeck).
    left = {part.split(".")[-2] if part.endswith(".0") else part.split(".")[-1] for part in norms(ready)}
    necks = {"global_", "projected_", *(f"part{number}_" for number in range(1, 5))}
    kept = {"resnet-50-ibn-a": {"BN"}, "resnet-50-sbs": {"feature"}}
    assert left <= (necks if name == "vit" else kept.get(variant, set()))
    assert bool(left) == (name == "vit" or variant in kept)


@pytest.mark.parametrize(("name", "settings"), TRUNK_SETTINGS)
def test_every_trunk_says_the_same_to_rounding(name: str, settings: dict[str, Any]) -> None:
    trunk = TRUNKS.build(name, **settings)
    settle(trunk, lambda images: list(maps(trunk, images)))
    images, ready = pictures((64, 32)), folded(trunk.eval())
    with torch.no_grad():
        for found, expected in zip(maps(ready, images), maps(trunk, images), strict=True):
            assert (expected[0] - expected[1]).abs().max() > 0.1
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert not norms(ready)


@pytest.mark.parametrize("attention", [{"interaction": "concatenate"}, {"upsampling": "transposed"}])
def test_attention_says_the_same_to_rounding(attention: dict[str, str]) -> None:
    """What no variant has: another convolution with its normalisation, and one without."""
    block = {"name": "sharp", **attention}
    trunk = {"name": "mobilenet", "width": 0.125}
    model = build_model("pooled", 3, trunk=trunk, attention={"layer2": block}, input_size=(64, 32))
    settle(model, model)
    images, ready = pictures((64, 32)), folded(model.eval())
    with torch.no_grad():
        found, expected = ready.embed(images), model.embed(images)
    assert_close(found, expected)
    assert not norms(ready)


def test_the_model_is_left_as_it_was() -> None:
    model = small("pooled", "resnet-50")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded(model)
    assert model.training
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_normalisation_without_a_layer_before_it_stays() -> None:
    layers = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)).eval()
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(folded(layers)(images), layers(images))


class Undeclared(nn.Module):
    """Normalises before it convolves, under names that often mean the other order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv1(self.bn1(images))  # type: ignore[no-any-return]


def test_names_alone_say_nothing() -> None:
    module, images = Undeclared(), torch.randn(2, 3, 4, 4)
    settle(module, module)
    module.eval()
    assert norms(folded(module)) == ["bn1"]
    assert torch.equal(folded(module)(images), module(images))

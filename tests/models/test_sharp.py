"""Sharp attention: masks against the paper's equations, finite gradients, costs, temperature."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resight.models.attention.sharp import ContextUnit, sample, stretched
from resight.models.network import build_model
from resight.models.trunk import ATTENTIONS
from resight.models.weights import load_weights, save_weights

MASKS = ["sharp", "soft", "threshold", "power"]


def relu_features(batch: int = 2, channels: int = 8, height: int = 8, width: int = 4) -> Tensor:
    """Features as a residual block leaves them: many zeros, and one constant channel."""
    features = torch.randn(batch, channels, height, width).relu()
    features[:, 3] = 0.7
    features[:, 4] = 0
    return features


def equation_3(features: Tensor) -> Tensor:
    out = torch.zeros_like(features)
    for b in range(features.shape[0]):
        for c in range(features.shape[1]):
            channel = features[b, c]
            span = channel.max() - channel.min()
            if span > 0:
                out[b, c] = (channel - channel.min()) / span
    return out


def test_stretching_is_equation_3_with_zero_for_a_constant_channel() -> None:
    features = relu_features()
    torch.testing.assert_close(stretched(features), equation_3(features))


@pytest.mark.parametrize("scale", [1e-7, 1e-10, 1e4])
def test_stretching_does_not_depend_on_the_range(scale: float) -> None:
    features = relu_features()
    torch.testing.assert_close(stretched(features * scale), stretched(features), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mask", MASKS)
def test_context_units_learn_whatever_the_mask(mask: str) -> None:
    block = ATTENTIONS.build("sharp", 8, mask=mask, interaction="none")
    block(relu_features())[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.context.parameters())


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_draws_are_above_a_half_as_often_as_the_probability_says(tau: float) -> None:
    probability = torch.tensor([0.0, 0.01, 0.2, 0.5, 0.9, 1.0])
    draws = sample(probability.repeat(40_000, 1), torch.tensor(tau), noisy=True)
    share = (draws > 0.5).float().mean(0)
    spread = (probability * (1 - probability) / 40_000).sqrt()
    assert ((share - probability).abs() <= 4 * spread + 2e-5).all()


def test_draws_have_the_moments_of_equation_5_with_its_two_gumbel_draws() -> None:
    pi, tau = torch.tensor(0.3, dtype=torch.float64), 0.6
    gumbel = -torch.log(-torch.log(torch.rand(2, 200_000, dtype=torch.float64)))
    logits = torch.stack([(1 - pi).log(), pi.log()])[:, None] + gumbel
    expected = torch.softmax(logits / tau, dim=0)[1]
    draws = sample(pi.expand(200_000), torch.tensor(tau), noisy=True)
    assert abs(draws.mean() - expected.mean()) < 0.005
    assert abs(draws.std() - expected.std()) < 0.005


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("context", [True, False])
def test_masks_lie_in_zero_and_one_and_the_output_is_equation_2(mask: str, context: bool) -> None:
    block, features = ATTENTIONS.build("sharp", 8, mask=mask, context=context), relu_features()
    out, seen = block(features)
    assert seen.shape == out.shape == features.shape
    assert seen.min() >= 0
    assert seen.max() <= 1
    assert seen.std() > 0.02
    torch.testing.assert_close(out, (1 + seen) * features)


def test_without_interaction_the_output_is_equation_1() -> None:
    block, features = ATTENTIONS.build("sharp", 8, interaction="none"), relu_features()
    out, seen = block(features)
    torch.testing.assert_close(out, seen * features)


def test_concatenation_reads_both_and_keeps_the_channels() -> None:
    block = ATTENTIONS.build("sharp", 8, interaction="concatenate", context=False).eval()
    features = relu_features()
    out, seen = block(features)
    torch.testing.assert_close(out, block.join(torch.cat([features, seen * features], dim=1)))
    assert out.shape == features.shape


def test_alternatives_are_those_of_table_iii() -> None:
    features = relu_features()
    f = equation_3(features)
    for settings, expected in (
        ({"mask": "threshold"}, f * (f >= 0.3)),
        ({"mask": "threshold", "threshold": 0.6}, f * (f >= 0.6)),
        ({"mask": "power"}, f**2),
        ({"mask": "power", "power": 3}, f**3),
        ({"mask": "soft"}, torch.sigmoid(features)),
    ):
        _, seen = ATTENTIONS.build("sharp", 8, context=False, **settings)(features)
        torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize("low", [True, False])
def test_gradients_are_finite_where_equation_3_gives_zero_and_one(
    mask: str, context: bool, low: bool
) -> None:
    block = ATTENTIONS.build("sharp", 8, mask=mask, context=context)
    for features in (relu_features(), torch.zeros(2, 8, 8, 4), torch.full((2, 8, 8, 4), 3.0)):
        features.requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            out, seen = block(features * 1)
        (out.float().square().sum() + seen.float().sum()).backward()
        assert out.isfinite().all()
        assert features.grad is not None
        assert features.grad.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in block.parameters())


def test_the_gradient_passes_through_the_sampler() -> None:
    """To the probabilities, as the written-out derivative of the sigmoid says, and to the context unit."""
    pi = torch.linspace(0.05, 0.95, 50, dtype=torch.float64).requires_grad_()
    draws = sample(pi, torch.tensor(0.7, dtype=torch.float64), noisy=True)
    (slope,) = torch.autograd.grad(draws.sum(), pi)
    torch.testing.assert_close(slope, draws * (1 - draws) / 0.7 / (pi * (1 - pi)))
    assert (slope > 0).all()
    block = ATTENTIONS.build("sharp", 8, interaction="none")
    block(relu_features())[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.context.parameters())


def test_probabilities_are_clamped_in_float32_under_autocast() -> None:
    """In bfloat16, 1 - 1e-6 is 1 and its logit infinite."""
    block = ATTENTIONS.build("sharp", 1, context=False).eval()
    features = torch.tensor([0.0, 0.5, 1.0], dtype=torch.bfloat16).view(1, 1, 3, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, seen = block(features)
    assert out.dtype == seen.dtype == torch.bfloat16
    torch.testing.assert_close(seen.flatten().float(), torch.tensor([0.0, 0.5, 1.0]), atol=1e-5, rtol=0)


def test_evaluation_is_deterministic_and_training_is_not() -> None:
    block, features = ATTENTIONS.build("sharp", 8, context=False), relu_features()
    assert not torch.equal(block(features)[1], block(features)[1])
    block.eval().begin_epoch(200)
    out, seen = block(features)
    assert torch.equal(out, block(features)[0])
    f = equation_3(features).clamp(1e-6, 1 - 1e-6).double()
    torch.testing.assert_close(seen.double(), f**2 / (f**2 + (1 - f) ** 2), atol=1e-6, rtol=1e-5)


def test_the_noise_comes_from_torchs_generator() -> None:
    block, features = ATTENTIONS.build("sharp", 8, context=False), relu_features()
    torch.manual_seed(5)
    first = block(features)[1]
    torch.manual_seed(5)
    assert torch.equal(block(features)[1], first)


def test_temperature_follows_equation_9() -> None:
    block = ATTENTIONS.build("sharp", 8)
    for epoch in (0, 1, 40, 86, 87, 149):
        block.begin_epoch(epoch)
        assert float(block.temperature) == pytest.approx(max(0.5, math.exp(-0.008 * epoch)))
    block.begin_epoch(86)
    assert float(block.temperature) > 0.5
    block.begin_epoch(87)
    assert float(block.temperature) == 0.5
    own = ATTENTIONS.build("sharp", 8, rate=0.1, floor=0.2)
    own.begin_epoch(5)
    assert float(own.temperature) == pytest.approx(math.exp(-0.5))


def test_weights_files_keep_the_last_temperature(tmp_path: Path) -> None:
    settings = {"trunk": {"name": "mobilenet", "width": 0.125}, "attention": {"layer1": "sharp"}}
    model = build_model("pooled", 3, input_size=(32, 32), **settings)
    model.begin_epoch(50)
    save_weights(model, tmp_path / "weights.safetensors")
    loaded = load_weights(tmp_path / "weights.safetensors", torch.device("cpu"))
    assert float(loaded.attentions.layer1[0].temperature) == pytest.approx(math.exp(-0.4))


@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
def test_context_units_have_the_parameters_of_table_ii(upsampling: str) -> None:
    found = []
    for channels in (256, 512, 1024):
        with torch.device("meta"):
            unit = ContextUnit(channels, upsampling)
        kinds = (nn.Conv2d, nn.ConvTranspose2d)
        convolutions = [part for part in unit.modules() if isinstance(part, kinds)]
        assert all(convolution.bias is None for convolution in convolutions)
        found.append(sum(convolution.weight.numel() for convolution in convolutions))
    assert found == [507_904, 2_031_616, 8_126_464]
    assert sum(found) == 10_665_984


@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
@pytest.mark.parametrize("size", [(8, 4), (7, 5)])
def test_context_units_give_back_the_size(upsampling: str, size: tuple[int, int]) -> None:
    assert ContextUnit(8, upsampling)(torch.randn(2, 8, *size)).shape == (2, 8, *size)


def test_the_transposed_form_leaves_three_of_four_outputs_empty_and_bilinear_none() -> None:
    features = torch.randn(2, 8, 8, 4)
    taken = ContextUnit(8, "transposed")(features) != 0
    assert taken[:, :, ::2, ::2].float().mean() > 0.9
    assert taken.sum() == taken[:, :, ::2, ::2].sum()
    assert (ContextUnit(8, "bilinear")(features) != 0).all()


@pytest.mark.parametrize("layers", ["1", "2", "3", "4", "12", "123", "1234"])
def test_the_seven_combinations_of_fig_5(layers: str) -> None:
    blocks = {f"layer{number}": {"name": "sharp", "context": False} for number in layers}
    model = build_model("pooled", 2, trunk={"name": "mobilenet", "width": 0.125}, attention=blocks)
    found = model(torch.randn(2, 3, 64, 32))
    assert list(found.attention) == list(blocks)
    assert sum(p.numel() for p in model.attentions.parameters()) == 0
    assert all(found.attention[name].shape == found.features[name].shape for name in blocks)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        ATTENTIONS.build("sharp", 8, mask="hard")
    with pytest.raises(ValueError, match="floor"):
        ATTENTIONS.build("sharp", 8, floor=0)


def test_it_is_traced_and_exported() -> None:
    block, features = ATTENTIONS.build("sharp", 8).eval(), relu_features()
    expected = block(features)
    for made in (torch.jit.trace(block, features), torch.export.export(block, (features,)).module()):
        for one, other in zip(made(features), expected, strict=True):
            torch.testing.assert_close(one, other)

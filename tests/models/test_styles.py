"""MixStyle against its equation, crop by crop; instance normalisation of a layer."""

from typing import Any

import pytest
import torch
from torch import Tensor

from resight.draws import Part, drawing_for
from resight.models.network import build_model
from resight.models.trunk import ATTENTIONS


def features(count: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    scale = 1 + torch.rand(count, 4, 1, 1, generator=generator)
    return torch.randn(count, 4, 5, 3, generator=generator) * scale + 3 * scale


def style(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean((1, 2), keepdim=True), (x.var((1, 2), correction=0, keepdim=True) + 1e-6).sqrt()


def test_mixstyle_follows_its_equation() -> None:
    module, x = ATTENTIONS.build("mixstyle", 4, p=1.0, alpha=0.5), features()
    torch.manual_seed(3)
    mixed, seen = module(x)
    assert seen is None
    torch.manual_seed(3)
    _, keys, shares = module._sample(len(x))
    for row, (share, other) in enumerate(zip(shares, keys.argsort(), strict=True)):
        (mean, deviation), (mean_, deviation_) = style(x[row]), style(x[other])
        gamma = share * deviation + (1 - share) * deviation_
        beta = share * mean + (1 - share) * mean_
        torch.testing.assert_close(mixed[row], gamma * (x[row] - mean) / deviation + beta)
    assert not torch.equal(mixed, x)


def test_mixstyle_leaves_what_it_did_not_choose_and_tests_as_if_it_were_not_there() -> None:
    x = features(200)
    assert torch.equal(ATTENTIONS.build("mixstyle", 4, p=0.0)(x)[0], x)
    assert torch.equal(ATTENTIONS.build("mixstyle", 4, p=1.0).eval()(x)[0], x)
    torch.manual_seed(0)
    changed = (ATTENTIONS.build("mixstyle", 4, alpha=1.0)(x)[0] != x).flatten(1).any(1)
    assert 70 < changed.sum() < 130


def test_mixstyle_passes_the_gradient_of_a_fixed_scale() -> None:
    module, x = ATTENTIONS.build("mixstyle", 4, p=1.0, alpha=1.0), features().requires_grad_()
    mixed, _ = module(x)
    mixed.sum().backward()
    gradient = x.grad
    assert gradient is not None
    assert torch.equal(gradient, gradient[:, :, :1, :1].expand_as(x))  # one factor a channel
    assert (gradient > 0).all()


def test_mixstyle_stays_within_the_part_of_a_batch() -> None:
    module, x = ATTENTIONS.build("mixstyle", 4, p=1.0, alpha=1.0), features(4)
    torch.manual_seed(2)
    with drawing_for(Part(1, 2)):
        part, _ = module(x[2:])
    torch.manual_seed(2)
    _, keys, shares = module._sample(4)
    other = x[2:][keys[2:].argsort()]
    expected = shares[2:, None] * x[2:].mean((2, 3)) + (1 - shares[2:, None]) * other.mean((2, 3))
    torch.testing.assert_close(part.mean((2, 3)), expected)


def test_instance_norm_normalises_each_channel_of_each_crop() -> None:
    normed, seen = ATTENTIONS.build("instance-norm", 4)(features())
    assert seen is None
    torch.testing.assert_close(normed.mean((2, 3)), torch.zeros(6, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var((2, 3), correction=0), torch.ones(6, 4), atol=1e-4, rtol=0)


HAN = {"name": "han", "widths": (16, 32, 48)}
POOLED = {"name": "pooled", "trunk": "mobilenet"}


@pytest.mark.parametrize(("network", "layer"), [(HAN, "stem"), (HAN, "level1"), (POOLED, "layer1")])
def test_networks_take_styles_in_their_early_layers(network: dict[str, Any], layer: str) -> None:
    settings = {"input_size": (64, 32), "attention": {layer: ["instance-norm", "mixstyle"]}}
    model = build_model(num_persons=3, **network, **settings)
    images = torch.rand(4, 3, 64, 32)
    torch.manual_seed(0)
    with torch.no_grad():
        first, second = model(images), model(images)
    name = next(iter(first.branches))
    assert not torch.equal(first.branches[name].embedding, second.branches[name].embedding)
    weight = model.get_submodule(f"attentions.{layer}.0.norm").weight
    sum(branch.embedding.square().sum() for branch in model(images).branches.values()).backward()
    assert weight.grad is not None
    assert weight.grad.any()

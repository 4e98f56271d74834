"""Muon against what its papers write."""

import copy

import pytest
import torch
from torch import Tensor, nn

from resight.training.muon import Muon, orthogonal
from resight.training.optimizers import OPTIMIZERS


@pytest.fixture(params=[pytest.param(False, id="float32"), pytest.param(True, id="bfloat16")])
def low(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr("resight.training.muon.computes_bfloat16", lambda device: request.param)
    return bool(request.param)


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (12, 12)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_singular_values_are_near_one_and_directions_stay(
    shape: tuple[int, int], scale: float, low: bool
) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) * scale
    found = orthogonal(matrix)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = left.T @ found @ right.T
    assert found.shape == shape
    assert 0.6 < values.diagonal().min() < values.diagonal().max() < 1.25
    assert (values - values.diagonal().diag()).abs().max() < (0.1 if low else 1e-3)


def test_nothing_stays_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(4, 6)), torch.zeros(4, 6))


def model() -> nn.Sequential:
    """A first convolution, a depthwise one, two ordinary ones, and a linear layer."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Conv2d(6, 8, 3, bias=False),
        nn.Conv2d(8, 4, 1),
        nn.Flatten(),
        nn.Linear(64, 5),
    )


def gradients(step: int) -> list[Tensor]:
    torch.manual_seed(step)
    return [torch.randn_like(weight) for weight in model().parameters()]


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        for weight, gradient in zip(network.parameters(), gradients(step), strict=True):
            weight.grad = gradient
        optimizer.step()


def test_two_steps_as_the_papers_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resight.training.muon.computes_bfloat16", lambda device: False)
    found, same = model(), model()
    train(found, OPTIMIZERS.build("muon", found.parameters(), lr=0.01, weight_decay=0.1), range(2))
    train(same, OPTIMIZERS.build("adamw", same.parameters(), lr=0.01, weight_decay=0.1), range(2))
    for (name, weight), other in zip(found.named_parameters(), same.parameters(), strict=True):
        if name not in ("2.weight", "3.weight"):
            assert torch.equal(weight, other), name
    for name, index in (("2.weight", 4), ("3.weight", 5)):
        expected = dict(model().named_parameters())[name].detach().clone()
        momentum = torch.zeros_like(expected)
        for step in range(2):
            gradient = gradients(step)[index]
            momentum = 0.95 * momentum + 0.05 * gradient
            ahead = 0.05 * gradient + 0.95 * momentum
            matrix = ahead.reshape(len(ahead), -1)
            update = 0.2 * max(matrix.shape) ** 0.5 * orthogonal(matrix)
            expected = expected - 0.01 * (update.reshape(expected.shape) + 0.1 * expected)
        weight = dict(found.named_parameters())[name]
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-5)


def test_resumed_it_goes_on_in_the_same_bits() -> None:
    whole, part = model(), model()
    train(whole, Muon([{"params": list(whole.parameters())}], lr=0.01, momentum=0.9), range(4))
    first = Muon([{"params": list(part.parameters())}], lr=0.01, momentum=0.9)
    train(part, first, range(2))
    again = Muon([{"params": list(part.parameters())}], lr=0.01, momentum=0.9)
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    train(part, again, range(2, 4))
    for one, other in zip(whole.parameters(), part.parameters(), strict=True):
        assert torch.equal(one, other)

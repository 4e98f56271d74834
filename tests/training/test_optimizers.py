"""The optimisers do what their names say, and weight decay reaches what it should."""

from typing import Any

import pytest
import torch
from torch import nn

from resight.models.attention.harmonious import HardAttention
from resight.training.optimizers import OPTIMIZERS


def two_steps(name: str, **settings: Any) -> torch.Tensor:
    """Two steps down the parabola x² / 2, whose gradient is x."""
    parameter = nn.Parameter(torch.tensor([[2.0]], dtype=torch.float64))
    optimizer = OPTIMIZERS.build(name, [parameter], **settings)
    for _ in range(2):
        optimizer.zero_grad()
        (parameter.square() / 2).sum().backward()
        optimizer.step()
    return parameter.detach()[0, 0]


def test_sgd_with_momentum_and_weight_decay() -> None:
    first = 2 * 1.1  # gradient and decay
    x = 2 - 0.1 * first
    velocity = 0.9 * first + x * 1.1
    assert two_steps("sgd", lr=0.1, momentum=0.9, weight_decay=0.1).item() == pytest.approx(
        x - 0.1 * velocity
    )


def test_sgd_with_nesterov_momentum() -> None:
    first = 2.0
    x = 2 - 0.1 * (first + 0.9 * first)
    velocity = 0.9 * first + x
    found = two_steps("sgd", lr=0.1, momentum=0.9, nesterov=True)
    assert found.item() == pytest.approx(x - 0.1 * (x + 0.9 * velocity))


def adam_steps(decoupled: float, added: float) -> float:
    x, mean, square = 2.0, 0.0, 0.0
    for step in (1, 2):
        gradient = x + added * x
        x -= 0.1 * decoupled * x
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        x -= 0.1 * (mean / (1 - 0.9**step)) / ((square / (1 - 0.99**step)) ** 0.5 + 1e-8)
    return x


def test_adam_adds_weight_decay_to_the_gradient() -> None:
    found = two_steps("adam", lr=0.1, betas=[0.9, 0.99], weight_decay=0.3)
    assert found.item() == pytest.approx(adam_steps(decoupled=0, added=0.3))


def test_adamw_decouples_weight_decay() -> None:
    found = two_steps("adamw", lr=0.1, betas=[0.9, 0.99], weight_decay=0.3)
    assert found.item() == pytest.approx(adam_steps(decoupled=0.3, added=0))


@pytest.mark.parametrize("name", OPTIMIZERS.names())
@pytest.mark.parametrize("everything", [True, False])
def test_biases_and_norms_can_be_spared_weight_decay(name: str, everything: bool) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = OPTIMIZERS.build(
        name, model.parameters(), lr=0.1, weight_decay=0.5, decay_biases_and_norms=everything
    )
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for (key, parameter), old in zip(model.named_parameters(), before, strict=True):
        moved = not torch.equal(parameter, old)
        assert moved == ((key == "0.weight" or everything) and bool(old.any())), key


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    optimizer = OPTIMIZERS.build("sgd", model.parameters(), lr=0.1)
    assert [parameter for group in optimizer.param_groups for parameter in group["params"]] == [model.weight]


@pytest.mark.parametrize("name", OPTIMIZERS.names())
@pytest.mark.parametrize("everything", [True, False])
def test_weight_decay_does_not_move_regions_to_the_middle_of_the_picture(name: str, everything: bool) -> None:
    hard = HardAttention(16, 4, 0.3)
    before = hard(torch.randn(1, 16))
    optimizer = OPTIMIZERS.build(
        name, hard.parameters(), lr=0.1, weight_decay=0.5, decay_biases_and_norms=everything
    )
    for parameter in hard.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.equal(hard(torch.randn(1, 16)), before)

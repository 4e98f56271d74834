"""Costs on the meta device, against a count by hand; the model itself is not touched."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from resight.models.complexity import example, measure
from resight.models.heads import Classifier, Head
from resight.models.network import Network, build_model
from resight.models.representation import Branch, Representation


class Twice(Network):
    """One convolution used twice."""

    def __init__(self, persons: int) -> None:
        super().__init__((16, 8))
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.head = Head(3, 10, persons)

    def forward(self, images: Tensor) -> Representation:
        return Representation({"only": self.head(self.conv(self.conv(images)).mean((2, 3)))})


class Undecided(Network):
    """Says something else in training."""

    def __init__(self) -> None:
        super().__init__((16, 8))
        self.linear = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Representation:
        name = "training" if self.training else "testing"
        return Representation({name: Branch(self.linear(images.mean((2, 3))))})


def test_a_module_used_twice_has_its_parameters_once_and_its_work_twice() -> None:
    cost = measure(Twice(7))
    assert cost.parameters == 81 + 30 + 20
    assert cost.multiply_adds == 2 * 16 * 8 * 81 + 30
    assert cost.flops == 2 * cost.multiply_adds
    assert cost.input == (16, 8)
    assert cost.embedding == 10


def test_the_number_of_persons_does_not_count() -> None:
    assert measure(Twice(2)) == measure(Twice(2000))


@pytest.mark.parametrize("unit", ["depthwise", "inception", "residual"])
def test_the_counter_agrees_with_a_count_layer_by_layer(unit: str) -> None:
    model = build_model("han", 5, unit=unit, widths=(16, 32, 48), input_size=(80, 32)).eval()
    total = 0

    def count(layer: nn.Module, _: Sequence[Tensor], result: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        total += result.numel() * layer.weight[0].numel()

    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear) and not isinstance(part, Classifier):
            part.register_forward_hook(count)
    model(torch.randn(1, 3, 80, 32))
    assert (
        total
        == measure(build_model("han", 5, unit=unit, widths=(16, 32, 48), input_size=(80, 32))).multiply_adds
    )


def test_parameters_are_those_of_the_model_without_its_classifiers() -> None:
    model = build_model("han", 5)
    classifiers = sum(
        p.numel() for part in model.modules() if isinstance(part, Classifier) for p in part.parameters()
    )
    assert classifiers == 2 * (512 * 5 + 5)
    assert measure(model).parameters == sum(p.numel() for p in model.parameters()) - classifiers


def test_the_model_is_not_touched() -> None:
    model = build_model("han", 5, widths=(16, 16, 16), input_size=(80, 32))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measure(model)
    example(model)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(tensor.is_meta for tensor in model.state_dict().values())


def test_an_example_is_of_training_and_on_the_meta_device() -> None:
    found = example(Undecided().eval(), batch=5)
    assert list(found.branches) == ["training"]
    assert found.branches["training"].embedding.shape == (5, 4)
    assert found.branches["training"].embedding.is_meta


def test_an_example_has_the_shapes_of_a_forward_pass() -> None:
    model = build_model("han", 5, widths=(16, 16, 16), input_size=(80, 32))
    shapes, real = example(model, batch=3), model(torch.randn(3, 3, 80, 32))
    for name, branch in real.branches.items():
        assert shapes.branches[name].embedding.shape == branch.embedding.shape
        assert shapes.branches[name].logits.shape == branch.logits.shape  # type: ignore[union-attr]
    assert {n: v.shape for n, v in shapes.attention.items()} == {
        n: v.shape for n, v in real.attention.items()
    }
    assert {n: v.shape for n, v in shapes.regions.items()} == {n: v.shape for n, v in real.regions.items()}


def test_models_can_be_built_and_measured_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = build_model("han", 1)
    assert measure(model) == measure(build_model("han", 1))

"""Second-order attention: Eqs. 1-3 of SONA written out, its start, its memory, its uses."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from resight.models.attention.second_order import NonLocal, SecondOrder
from resight.models.trunk import ATTENTIONS, Attention

SIZE = (48, 16)
"""The map that SONA-Net attends to."""
MATRIX = (48 * 16) ** 2
"""Elements of one image's hw x hw matrix."""


def awake(attention: Attention) -> Attention:
    """Give p values, so that the module does not begin as the identity; and theta some history."""
    nn.init.normal_(attention.p.weight)  # type: ignore[arg-type, union-attr]
    nn.init.normal_(attention.p.bias)  # type: ignore[arg-type, union-attr]
    for module in attention.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return attention


def convolved(layer: nn.Module, rows: Tensor) -> Tensor:
    """Apply a 1x1 convolution to [hw, c]."""
    assert isinstance(layer, nn.Conv2d)
    product = rows @ layer.weight[:, :, 0, 0].T
    return product if layer.bias is None else product + layer.bias


def written_out(sona: SecondOrder, features: Tensor, scale: float | None) -> tuple[Tensor, Tensor]:
    """Return Eqs. 1-3 as the paper writes them, image by image, and the softmax of Eq. 2."""
    _, channels, height, width = features.shape
    theta, norm, slope = sona.theta
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    outputs, weights = [], []
    for image in features:
        x = image.flatten(1).T
        reduced = convolved(theta, x)
        normal = (reduced - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        reduced = functional.leaky_relu(normal * norm.weight + norm.bias, slope.negative_slope)  # type: ignore[arg-type]
        n = reduced.shape[1]
        i_bar = (torch.eye(n, dtype=x.dtype) - torch.ones(n, n, dtype=x.dtype) / n) / n
        sigma = reduced @ i_bar @ reduced.T  # Eq. 1
        products = sigma / n**0.5 if scale is None else sigma * n * scale
        attention = products.exp() / products.exp().sum(1, keepdim=True)
        z = attention @ convolved(sona.g, x)  # Eq. 2
        outputs.append((x + convolved(sona.p, z)).T.reshape(channels, height, width))  # Eq. 3
        weights.append(attention)
    return torch.stack(outputs), torch.stack(weights)


@pytest.mark.parametrize("scale", [None, 0.5])
@pytest.mark.parametrize("reduction", [1, 2, 4])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_it_is_equations_1_to_3(scale: float | None, reduction: int, order: torch.memory_format) -> None:
    sona = awake(SecondOrder(16, reduction=reduction, scale=scale)).double().eval()
    assert isinstance(sona, SecondOrder)
    features = (3 * torch.randn(3, 16, 6, 4, dtype=torch.float64)).contiguous(memory_format=order)
    expected, weights = written_out(sona, features, scale)
    found, shown = sona(features)
    assert shown is None
    torch.testing.assert_close(found, expected)
    assert weights.std() > 1e-4  # not a mere average, which any scale would give


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_its_gradients_are_those_of_equations_1_to_3(order: torch.memory_format) -> None:
    sona = awake(SecondOrder(8, scale=0.5)).double().eval()
    assert isinstance(sona, SecondOrder)
    features = torch.randn(2, 8, 4, 3, dtype=torch.float64).contiguous(memory_format=order).requires_grad_()
    pull = torch.randn(2, 8, 4, 3, dtype=torch.float64)
    wanted = [features, *sona.parameters()]
    expected = torch.autograd.grad((written_out(sona, features, 0.5)[0] * pull).sum(), wanted)
    found = torch.autograd.grad((sona(features)[0] * pull).sum(), wanted)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_position_sees_the_others_as_equation_2_weighs_them() -> None:
    sona = awake(SecondOrder(16, scale=0.3)).double().eval()
    assert isinstance(sona, SecondOrder)
    features = torch.randn(2, 16, 6, 4, dtype=torch.float64)
    _, weights = written_out(sona, features, 0.3)
    torch.testing.assert_close(sona.pairwise(features), weights)


def test_with_the_papers_scale_attention_starts_within_3_percent_of_uniform() -> None:
    seen = SecondOrder(512).pairwise(torch.randn(4, 512, *SIZE))[:, 10 * SIZE[1] + 5]
    weights = seen * SIZE[0] * SIZE[1]
    assert (weights - 1).abs().max() < 0.03
    assert (weights - 1).abs().max() > 1e-4


def test_non_local_attention_is_its_equations() -> None:
    module = awake(NonLocal(8)).double()
    features = torch.randn(2, 8, 5, 3, dtype=torch.float64)
    expected = []
    for image in features:
        x = image.flatten(1).T
        theta, phi, g = (convolved(layer, x) for layer in (module.theta, module.phi, module.g))
        z = torch.softmax(theta @ phi.T, dim=1) @ g
        expected.append((x + convolved(module.p, z)).T.reshape(8, 5, 3))
    torch.testing.assert_close(module(features)[0], torch.stack(expected))


@pytest.mark.parametrize(("name", "published"), [("second-order", 394_496), ("non-local", 525_568)])
def test_parameters_after_layer2(name: str, published: int) -> None:
    """512 channels, r = 2: the weights, g's (and phi's and theta's) and p's biases, theta's normalisation."""
    module = ATTENTIONS.build(name, 512)
    biases_and_norms = 256 + 512 + 2 * 256 if name == "second-order" else 3 * 256 + 512
    matrices = 3 if name == "second-order" else 4
    assert sum(p.numel() for p in module.parameters()) == matrices * 512 * 256 + biases_and_norms == published


both = pytest.mark.parametrize("name", ["second-order", "non-local"])
orders = pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])


@both
def test_it_begins_as_the_identity_and_leaves_it(name: str) -> None:
    module, features = ATTENTIONS.build(name, 16), torch.randn(4, 16, 6, 4)
    assert torch.equal(module(features)[0], features)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):  # p learns in the first step, all that is behind it in the second
        optimizer.zero_grad()
        module(features)[0].square().sum().backward()
        optimizer.step()
    assert not torch.allclose(module(features)[0], features)
    for key, parameter in module.named_parameters():
        if key != "phi.bias":  # it adds the same to all products of a position, which a softmax ignores
            assert parameter.grad is not None
            assert parameter.grad.abs().max() > 0


class LargestTensor(TorchDispatchMode):
    """Notes the elements of the largest tensor that any operation makes, in forward and in backward."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@both
@orders
@pytest.mark.parametrize("low", [False, True])
def test_training_never_builds_the_matrix(name: str, order: torch.memory_format, low: bool) -> None:
    module = awake(ATTENTIONS.build(name, 32))
    features = torch.randn(1, 32, *SIZE).contiguous(memory_format=order).requires_grad_()
    with LargestTensor() as largest:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            attended, _ = module(features)
        attended.float().square().sum().backward()
    assert features.grad is not None
    assert largest.elements <= 32 * SIZE[0] * SIZE[1]
    assert largest.elements < MATRIX / 20


def peak_bytes(run: Callable[[], object]) -> int:
    """Return how much more memory is held in the run than before it, at most: inside fused kernels too."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    assert found.profiler is not None
    assert found.profiler.kineto_results is not None
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))


@both
@pytest.mark.parametrize(
    ("order", "low"),
    [(torch.contiguous_format, False), (torch.channels_last, False), (torch.channels_last, True)],
)
def test_the_peak_memory_of_training_does_not_grow_with_the_matrix(
    name: str, order: torch.memory_format, low: bool
) -> None:
    """Forward and backward, on the CPU, on a map of 96x32: less than a fifth of the matrix."""
    module = awake(ATTENTIONS.build(name, 32))
    features = torch.randn(1, 32, 96, 32).contiguous(memory_format=order).requires_grad_()
    matrix = (96 * 32) ** 2 * (2 if low else 4)

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            attended, _ = module(features)
        attended.float().square().sum().backward()

    assert peak_bytes(train) < matrix / 5

    def train_with_the_matrix() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            attended = with_the_matrix(features, features, features, 1.0)
        attended.float().square().sum().backward()

    assert peak_bytes(train_with_the_matrix) > matrix


def with_the_matrix(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attention as the equations are written."""
    products = query.flatten(2).transpose(1, 2) @ key.flatten(2)
    return (value.flatten(2) @ torch.softmax(scale * products, dim=2).transpose(1, 2)).view_as(value)


@pytest.mark.parametrize("dimensions", [3, 4])
def test_the_memory_test_sees_what_another_shape_would_cost(dimensions: int) -> None:
    """[B, hw, n] instead of [B, 1, hw, n], or channels that lie apart in memory: the matrix is there."""
    shape = (1, SIZE[0] * SIZE[1], 16) if dimensions == 3 else (1, 1, 16, SIZE[0] * SIZE[1])
    rows = torch.randn(shape)
    rows = (rows if dimensions == 3 else rows.transpose(2, 3)).requires_grad_()
    with LargestTensor() as largest:
        functional.scaled_dot_product_attention(rows, rows, rows).sum().backward()
    assert largest.elements >= MATRIX


@both
def test_evaluation_is_deterministic_and_does_not_depend_on_the_batch(name: str) -> None:
    module, features = awake(ATTENTIONS.build(name, 16)).eval(), torch.randn(4, 16, 6, 4)
    together = module(features)[0]
    assert torch.equal(together, module(features)[0])
    torch.testing.assert_close(module(features[1:2])[0], together[1:2])


@both
def test_it_runs_in_bfloat16(name: str) -> None:
    module, features = awake(ATTENTIONS.build(name, 16)), torch.randn(8, 16, 6, 4)
    with torch.autocast("cpu", torch.bfloat16):
        attended = module(features)[0]
    attended.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    module.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        low = module(features)[0] - features
    high = module(features)[0] - features
    assert functional.cosine_similarity(low.flatten(), high.flatten(), dim=0) > 0.999


class FeaturesAlone(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, features: Tensor) -> Tensor:
        return self.module(features)[0]  # type: ignore[no-any-return]


@both
@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
def test_it_can_be_traced_and_exported(name: str) -> None:
    module, example = FeaturesAlone(awake(ATTENTIONS.build(name, 16))).eval(), torch.randn(2, 16, 6, 4)
    other = torch.randn(2, 16, 6, 4)
    expected = module(other)
    torch.testing.assert_close(torch.jit.trace(module, example)(other), expected)
    torch.testing.assert_close(torch.export.export(module, (example,)).module()(other), expected)

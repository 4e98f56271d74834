"""Muon: steps whose matrices have singular values near one."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW

from resight.device import computes_bfloat16


class Muon(AdamW):
    """Steps by the orthogonal factor of the momentum for convolutions, and by AdamW for all else.

    A convolution's weights [out, in, height, width] are one matrix [out, in * height * width]. Weights with
    at most three inputs (the first convolution, and those of a channel each) are AdamW's, too. A step's root
    mean square is that of AdamW's, so the same rates fit (Liu et al., "Muon is Scalable for LLM Training",
    2025, Section 2.2; Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024).

    Args:
        parameters: to train.
        momentum: of the convolutions' gradients, by Nesterov's rule.
        settings: AdamW's.
    """

    def __init__(
        self, parameters: Iterable[dict[str, Any]], *, lr: float, momentum: float, **settings: Any
    ) -> None:
        groups = []
        for group in parameters:
            for matrices in (True, False):
                chosen = [weight for weight in group["params"] if _is_matrix(weight) == matrices]
                groups.append({**group, "params": chosen, "matrices": matrices, "momentum": momentum})
        super().__init__([group for group in groups if group["params"]], lr=lr, fused=True, **settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Change the weights; the gradients of convolutions are gone afterwards."""
        for group in self.param_groups:
            for weight in group["params"] if group["matrices"] else ():
                if weight.grad is not None:
                    self._step(weight, weight.grad, group)
                    weight.grad = None  # AdamW's step passes it over
        return super().step(closure)

    def _step(self, weight: Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())  # AdamW's own, which it wants to find when a run is resumed
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        matrix = gradient.lerp(momentum, group["momentum"]).flatten(1)
        update = orthogonal(matrix) * (0.2 * max(matrix.shape) ** 0.5)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(update.view(weight.shape), alpha=group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about U V^T of the matrix U S V^T [M, N], with singular values of 0.7 to 1.2.

    By five steps of Newton's and Schulz's iteration, with the coefficients of Jordan et al.
    """
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    if computes_bfloat16(matrix.device):
        wide = wide.bfloat16()
    for _ in range(5):
        square = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * square + 2.0315 * square @ square) @ wide
    found: Tensor = wide if len(matrix) <= matrix.shape[1] else wide.T
    return found.to(matrix.dtype)


def _is_matrix(weight: Parameter) -> bool:
    return weight.ndim == 4 and weight.shape[1] > 3

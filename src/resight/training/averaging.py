"""Moving average of a model's weights."""

import copy

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from resight.models.network import Network


class Average:
    """Exponential moving average of a model's weights and running statistics.

    Other buffers, such as the temperature of Sharp attention, are copied from the model. In the first steps
    the decay is smaller, (1 + step) / (10 + step), so that a short run does not keep its random start.

    Attributes:
        model: the averaged model, in evaluation mode.
    """

    def __init__(self, model: Network, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._to, self._to_copy = _parts(self.model)
        self._from, self._from_copy = _parts(model)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the model after this step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._to, self._from, 1 - decay)
        torch._foreach_copy_(self._to_copy, self._from_copy)


def _parts(model: Network) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the tensors to average and those to copy."""
    averaged = [parameter.data for parameter in model.parameters()]
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            averaged += [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    known = {id(tensor) for tensor in averaged}
    return averaged, [buffer for buffer in model.buffers() if id(buffer) not in known]

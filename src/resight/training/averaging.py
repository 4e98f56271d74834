"""A model whose weights are the moving average of another's."""

import copy

import torch

from resight.models.network import Network


class Average:
    """Exponential moving average of a model's weights and running statistics.

    Over the first steps the decay is smaller, (1 + step) / (10 + step), or a short run would remember its
    random start.

    Attributes:
        model: the averaged model, in evaluation mode.
    """

    def __init__(self, model: Network, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._to, self._from = _floats(self.model), _floats(model)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model after the step of that number."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._to, self._from, 1 - decay)


def _floats(model: Network) -> list[torch.Tensor]:
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]

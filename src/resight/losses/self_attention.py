"""Self-attention constraint: the layers of a network attend to the same places."""

import torch
from torch import Tensor
from torch.nn import functional

from resight.errors import UserError
from resight.losses.term import TERMS, Names, Term, refuse_unknown
from resight.models.representation import Representation


@TERMS.register("self-attention")
class SelfAttention(Term):
    """Self-attention constraint (SAL, Section III-B, Eqs. 1 and 2).

    The map of a layer is the mean over channels of its squared features (Eq. 1), L2-normalised over its
    positions. With the deepest layer's map last::

        sum over the other layers l of ||map_last - map_l||_2^2

    averaged over the batch. Maps of unequal size (not in the paper) are averaged down (adaptive average
    pooling) to the smallest before they are normalised. A layer that is zero everywhere has a map of zeros.

    Args:
        maps: names of the layers; the others are compared with the last one. All layers by default.
    """

    def __init__(self, *, maps: Names | None = None) -> None:
        super().__init__()
        self.maps = maps

    def prepare(self, example: Representation, num_persons: int) -> None:
        """Refuse a model with fewer than two maps, or without those that the recipe names."""
        refuse_unknown("feature map", self.maps, example.features)
        chosen = list(example.features) if self.maps is None else list(self.maps)
        if len(set(chosen)) < 2:
            raise UserError(
                f"It compares the maps of two or more layers; got {len(set(chosen))} "
                f"({', '.join(chosen) or 'the model has none'}). "
                f"Maps of the model: {', '.join(example.features) or 'none'}."
            )

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar mean over the batch."""
        energies = [representation.energy(name) for name in self.maps or representation.features]
        size = min(energy.shape[1] for energy in energies), min(energy.shape[2] for energy in energies)
        *others, last = [
            functional.normalize(functional.adaptive_avg_pool2d(energy, size).flatten(1), dim=1)
            for energy in energies
        ]
        return torch.stack([(last - other).square().sum(1).mean() for other in others]).sum()

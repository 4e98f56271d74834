"""Total variation: removes specks from attention."""

from typing import Literal

import torch
from torch import Tensor

from resight.errors import UserError
from resight.losses.mining import at_least_float32
from resight.losses.term import TERMS, Names, Term, refuse_unknown
from resight.models.representation import Representation


@TERMS.register("total-variation")
class TotalVariation(Term):
    """Total variation of the attended features (Sharp, Section III-B, Eqs. 6 and 8).

    For the attention-aware features A [C, H, W] of Eq. 1, mask times features::

        sum_c ||D_1 A_c||_2^2 + ||A_c D_2||_2^2

    the squared differences of vertical and of horizontal neighbours, divided by the number C H W of elements
    (a sum would be far larger than the triplet loss), averaged over the batch and summed over masks. Its
    weight mu is 0.1.

    Args:
        of: ``features``, A as in the paper; or ``mask``, the mask alone, so that it cannot fall because
            features become small.
        masks: names of the masks [B, C, H, W]; all that the model has by default.
    """

    def __init__(self, *, of: Literal["features", "mask"] = "features", masks: Names | None = None) -> None:
        super().__init__()
        self.of, self.masks = of, masks

    def prepare(self, example: Representation, num_persons: int) -> None:
        """Refuse a model without masks, or without those that the recipe names."""
        known = _masks(example)
        if not known:
            raise UserError("It needs an attention module with a mask of every element; there is none.")
        refuse_unknown("attention mask", self.masks, known)

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar sum over masks."""
        losses = []
        for name, mask in _masks(representation).items():
            if self.masks is None or name in self.masks:
                values = at_least_float32(mask)
                if self.of == "features":
                    values = values * representation.masked[name]
                losses.append(_variation(values))
        return torch.stack(losses).sum()


def _masks(representation: Representation) -> dict[str, Tensor]:
    return {name: mask for name, mask in representation.attention.items() if mask.dim() == 4}


def _variation(values: Tensor) -> Tensor:
    return (values.diff(dim=2).square().sum() + values.diff(dim=3).square().sum()) / values.numel()

"""Total variation: attention masks without specks."""

import torch
from torch import Tensor

from resight.errors import UserError
from resight.losses.mining import at_least_float32
from resight.losses.term import TERMS, Names, Term, refuse_unknown
from resight.models.representation import Representation


@TERMS.register("total-variation")
class TotalVariation(Term):
    """Total variation of attention masks (Sharp, Section III-B, Eqs. 6 and 8).

    For a mask A [C, H, W]::

        sum_c ||D_1 A_c||_2^2 + ||A_c D_2||_2^2

    the squared differences of vertical and of horizontal neighbours, divided by the number C H W of elements
    (a sum would drown the triplet loss), averaged over the batch and summed over masks. Its weight mu is 0.1.

    The paper writes the equation for the attended features, mask times features. We take the mask itself,
    whose specks it is meant against: attended features would be smoothest where they are smallest.

    Args:
        masks: names of the masks [B, C, H, W]; all that the model has by default.
    """

    def __init__(self, *, masks: Names | None = None) -> None:
        super().__init__()
        self.masks = masks

    def prepare(self, example: Representation, persons: int) -> None:
        """Refuse a model without masks, or without those asked for."""
        known = _masks(example)
        if not known:
            raise UserError("It needs an attention module that says a mask of every element; there is none.")
        refuse_unknown("attention mask", self.masks, known)

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar sum over masks."""
        masks = [mask for name, mask in _masks(representation).items() if name in (self.masks or (name,))]
        return torch.stack([_variation(at_least_float32(mask)) for mask in masks]).sum()


def _masks(representation: Representation) -> dict[str, Tensor]:
    return {name: mask for name, mask in representation.attention.items() if mask.dim() == 4}


def _variation(mask: Tensor) -> Tensor:
    return (mask.diff(dim=2).square().sum() + mask.diff(dim=3).square().sum()) / mask.numel()

"""Identity classification: softmax cross-entropy on the branches' logits."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from resight.errors import UserError
from resight.losses.mining import at_least_float32
from resight.losses.term import TERMS, Names, Term, refuse_unknown
from resight.models.representation import Representation


@TERMS.register("cross-entropy")
class CrossEntropy(Term):
    """Sum over branches of the batch's mean cross-entropy between a branch's logits and the persons.

    HAN (Section 3.1) trains its global and its local branch in this way, with equal weights.

    Args:
        label_smoothing: share of the target spread evenly over all persons (Szegedy et al. 2016, Section 7).
        branches: names of the branches to train; every branch with logits by default.
    """

    def __init__(
        self,
        *,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        branches: Names | None = None,
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.branches = branches

    def prepare(self, example: Representation, num_persons: int) -> None:
        """Refuse a model if its branches lack the needed logits [B, persons]."""
        classified = {
            name: branch.logits for name, branch in example.branches.items() if branch.logits is not None
        }
        if not classified:
            raise UserError("It needs a branch with logits, and the model has none.")
        refuse_unknown("branch", self.branches, example.branches)
        for name in self.branches or classified:
            if name not in classified:
                raise UserError(
                    f"The model's branch '{name}' has no logits. Branches with logits: "
                    f"{', '.join(classified)}."
                )
            if classified[name].shape[1] != num_persons:
                raise UserError(
                    f"The model's branch '{name}' has logits for {classified[name].shape[1]} persons; "
                    f"{num_persons} are trained."
                )

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar sum over the chosen branches."""
        losses = [
            functional.cross_entropy(
                at_least_float32(branch.logits), persons, label_smoothing=self.label_smoothing
            )
            for name, branch in representation.branches.items()
            if branch.logits is not None and (self.branches is None or name in self.branches)
        ]
        return torch.stack(losses).sum()

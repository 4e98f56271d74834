"""Batch-hard triplet loss."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from resight.errors import UserError, did_you_mean
from resight.losses.mining import distances, embeddings, hardest
from resight.losses.term import TERMS, Term
from resight.models.representation import Representation


@TERMS.register("triplet")
class Triplet(Term):
    """Batch-hard triplet loss (Hermans, Beyer, Leibe: In Defense of the Triplet Loss, 2017, Eq. 5).

    For each anchor a of the batch, with p its furthest positive and n its nearest negative in Euclidean
    distance D::

        [m + D(a, p) - D(a, n)]_+        or, softly,        ln(1 + exp(D(a, p) - D(a, n)))

    averaged over the anchors that have both, summed over branches. Zero where no anchor has both (a batch
    of one person, or of one crop a person).

    Args:
        margin: m, or ``soft``.
        normalise: L2-normalise the embeddings first, as the descriptor at test time is.
        branches: names of the branches to train; every branch by default.
    """

    def __init__(
        self,
        *,
        margin: Annotated[float, Field(gt=0)] | Literal["soft"] = "soft",
        normalise: bool = False,
        branches: Annotated[tuple[str, ...], Field(min_length=1)] | None = None,
    ) -> None:
        super().__init__()
        self.margin, self.normalise, self.branches = margin, normalise, branches

    def prepare(self, example: Representation, persons: int) -> None:
        """Refuse branches that the model lacks."""
        for name in self.branches or ():
            if name not in example.branches:
                raise UserError(f"The model has no branch '{name}'.{did_you_mean(name, example.branches)}")

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar sum over the chosen branches."""
        losses = [self._branch(found, persons) for found in embeddings(representation, self.branches)]
        return torch.stack(losses).sum()

    def _branch(self, embedding: Tensor, persons: Tensor) -> Tensor:
        if self.normalise:
            embedding = functional.normalize(embedding, dim=1)
        distance = distances(embedding)
        positive, negative, valid = hardest(distance.detach(), persons)
        anchor = torch.arange(len(persons), device=persons.device)
        gap = (distance[anchor, positive] - distance[anchor, negative])[valid]
        loss = functional.softplus(gap) if self.margin == "soft" else functional.relu(gap + self.margin)
        return loss.sum() / valid.sum().clamp(min=1)

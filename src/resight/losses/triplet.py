"""Triplet loss over the hardest triplets of a batch, or over all of them."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from resight.losses.mining import distances, mean_over, nearest, pairs
from resight.losses.term import TERMS, EmbeddingTerm, Names


@TERMS.register("triplet")
class Triplet(EmbeddingTerm):
    """Triplet loss (Hermans, Beyer, Leibe: In Defense of the Triplet Loss, 2017).

    For an anchor a of the batch, a positive p and a negative n, in Euclidean distance D::

        [m + D(a, p) - D(a, n)]_+        or, softly,        ln(1 + exp(D(a, p) - D(a, n)))

    *Batch hard* (Eq. 5) takes each anchor's furthest positive and nearest negative, *batch all* (Eq. 6) every
    triplet. Averaged over the triplets, summed over branches. An anchor without a positive or a negative is
    in no triplet; without any triplet (a batch of one person, or of one crop per person), the loss is zero.

    Args:
        margin: m, or ``soft``.
        mining: ``hard``; ``all``; or ``active``: all, averaged over those with a loss above zero.
        normalise: L2-normalise the embeddings first, like the descriptor at test time.
        branches: names of the branches to train; every branch by default.
    """

    needs_positives = True

    def __init__(
        self,
        *,
        margin: Annotated[float, Field(gt=0)] | Literal["soft"] = "soft",
        mining: Literal["hard", "all", "active"] = "hard",
        normalise: bool = False,
        branches: Names | None = None,
    ) -> None:
        super().__init__(normalise, branches)
        self.margin, self.mining = margin, mining

    def loss(self, embedding: Tensor, persons: Tensor) -> Tensor:
        """Return the scalar mean over the triplets of embeddings [B, d]."""
        distance = distances(embedding)
        positives, negatives = pairs(persons)
        if self.mining == "hard":
            positive, has_positive = nearest(distance, positives, furthest=True)
            negative, has_negative = nearest(distance, negatives)
            gap = distance.gather(1, positive) - distance.gather(1, negative)
            valid = has_positive & has_negative
        else:
            gap = distance[:, :, None] - distance[:, None, :]
            valid = positives[:, :, None] & negatives[:, None, :]
        loss = functional.softplus(gap) if self.margin == "soft" else functional.relu(gap + self.margin)
        return mean_over(loss, valid & (loss > 0) if self.mining == "active" else valid)

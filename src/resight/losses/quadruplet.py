"""Quadruplet loss over the hardest quadruplets of a batch."""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from resight.losses.mining import distances, mean_over, nearest, pairs
from resight.losses.term import TERMS, EmbeddingTerm, Names


@TERMS.register("quadruplet")
class Quadruplet(EmbeddingTerm):
    """Quadruplet-hard loss (SAL, Section III-C, Eq. 5).

    For each anchor i of the batch, in Euclidean distance d (not squared)::

        [d(i, j) - d(i, k) + m1]_+  +  [d(i, j) - d(k, h) + m2]_+

    j is its furthest positive, k its nearest negative, and h the crop nearest to k of a third person. Each
    term is averaged over the anchors that have it: those with a positive and a negative, and for the second
    term a third person (a batch of two persons has only the first term). Summed over branches; zero if no
    anchor has a positive and a negative.

    Args:
        margin: m1.
        second_margin: m2.
        normalise: L2-normalise the embeddings first; not in the paper.
        branches: names of the branches to train; every branch by default.
    """

    needs_positives = True

    def __init__(
        self,
        *,
        margin: Annotated[float, Field(gt=0)] = 0.5,
        second_margin: Annotated[float, Field(gt=0)] = 0.2,
        normalise: bool = False,
        branches: Names | None = None,
    ) -> None:
        super().__init__(normalise, branches)
        self.margin, self.second_margin = margin, second_margin

    def loss(self, embedding: Tensor, persons: Tensor) -> Tensor:
        """Return the scalar mean over the anchors of embeddings [B, d]."""
        distance = distances(embedding)
        positives, negatives = pairs(persons)
        j, has_j = nearest(distance, positives, furthest=True)
        k, has_k = nearest(distance, negatives)
        from_k = distance[k.squeeze(1)]
        h, has_h = nearest(from_k, negatives & negatives[k.squeeze(1)])
        positive, valid = distance.gather(1, j), has_j & has_k
        first = functional.relu(positive - distance.gather(1, k) + self.margin)
        second = functional.relu(positive - from_k.gather(1, h) + self.second_margin)
        return mean_over(first, valid) + mean_over(second, valid & has_h)

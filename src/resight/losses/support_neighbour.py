"""Support neighbour loss: among an anchor's nearest crops, its person against others."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from resight.losses.mining import distances, logsumexp_over, mean_over, nearest, pairs, squared_distances
from resight.losses.term import TERMS, EmbeddingTerm, Names


@TERMS.register("support-neighbour")
class SupportNeighbour(EmbeddingTerm):
    """Support neighbour loss (SN, Section 3.2, Eqs. 3 to 6).

    For each anchor i of the batch, the K crops nearest to it are its support neighbours: P_i of its person,
    N_i of others. With distance D::

        separation_i = -log( sum_{p in P_i} exp(-sigma D(i, p)) / sum_{s in P_i and N_i} exp(-sigma D(i, s)) )
        squeeze_i    = max_{p in P_i} D(i, p) - min_{p in P_i} D(i, p)
        loss         = mean_i separation_i + lambda mean_i squeeze_i

    Where the paper is silent: for an anchor with no positive among its K neighbours, P_i is its nearest
    positive, in addition to the K; an anchor with no positive in the batch is left out; the paper's sums are
    means over the anchors that count. Summed over branches; zero if no anchor counts.

    Args:
        neighbours: K; all other crops if the batch has fewer. Not stated; mAP "drops consistently" as K
            grows.
        sigma: scale of the separation.
        squeeze_weight: lambda.
        distance: ``squared`` Euclidean, as in the appendix, or plain ``euclidean``, as in Section 3.2.
        normalise: L2-normalise the embeddings first: sigma is meant for distances of at most 4.
        branches: names of the branches to train; every branch by default.
    """

    needs_positives = True

    def __init__(
        self,
        *,
        neighbours: Annotated[int, Field(ge=1)] = 10,
        sigma: Annotated[float, Field(gt=0)] = 40.0,
        squeeze_weight: Annotated[float, Field(ge=0)] = 0.1,
        distance: Literal["squared", "euclidean"] = "squared",
        normalise: bool = True,
        branches: Names | None = None,
    ) -> None:
        super().__init__(normalise, branches)
        self.neighbours, self.sigma, self.squeeze_weight = neighbours, sigma, squeeze_weight
        self.distance = distance

    def loss(self, embedding: Tensor, persons: Tensor) -> Tensor:
        """Return the scalar mean over the anchors of embeddings [B, d]."""
        distance = squared_distances(embedding) if self.distance == "squared" else distances(embedding)
        positives, negatives = pairs(persons)
        near = _members(*nearest(distance, positives | negatives, self.neighbours), positives)
        nearest_positive = _members(*nearest(distance, positives), positives)
        found = near & positives
        found = torch.where(found.any(1, keepdim=True), found, nearest_positive)
        valid = found.any(1, keepdim=True)
        found = found | ~valid  # anchors that do not count must be finite, too
        similarity = -self.sigma * distance
        separation = logsumexp_over(similarity, found | near) - logsumexp_over(similarity, found)
        largest = distance.masked_fill(~found, -torch.inf).amax(1, keepdim=True)
        least = distance.masked_fill(~found, torch.inf).amin(1, keepdim=True)
        return mean_over(separation, valid) + self.squeeze_weight * mean_over(largest - least, valid)


def _members(index: Tensor, found: Tensor, like: Tensor) -> Tensor:
    """Return bool [A, B], in the shape of the third: true at the found positions [A, count]."""
    return torch.zeros_like(like).scatter(1, index, found)

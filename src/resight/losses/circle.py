"""Circle loss: an anchor's similarities, weighted by their distance from the optimum."""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from resight.losses.mining import logsumexp_over, mean_over, pairs
from resight.losses.term import TERMS, EmbeddingTerm, Names


@TERMS.register("circle")
class Circle(EmbeddingTerm):
    """Circle loss with pair-wise labels (Sun et al.: Circle Loss, CVPR 2020, Eqs. 5 and 6).

    For each anchor of the batch, with s_p its cosine similarities to its positives and s_n to its negatives::

        log(1 + sum_n exp(gamma a_n (s_n - m)) sum_p exp(-gamma a_p (s_p - (1 - m))))
        a_n = [s_n + m]_+        a_p = [1 + m - s_p]_+

    The weights a are constants for the gradient (Section 3.3). Averaged over the anchors with a positive and
    a negative, summed over branches; zero if no anchor has both.

    Args:
        margin: m; of similarity.
        gamma: scale. Margin and scale are the paper's for person re-identification (Section 4.1).
        branches: names of the branches to train; every branch by default.
    """

    needs_positives = True

    def __init__(
        self,
        *,
        margin: Annotated[float, Field(gt=0, lt=1)] = 0.25,
        gamma: Annotated[float, Field(gt=0)] = 128.0,
        branches: Names | None = None,
    ) -> None:
        super().__init__(True, branches)
        self.margin, self.gamma = margin, gamma

    def loss(self, embedding: Tensor, persons: Tensor) -> Tensor:
        """Return the scalar mean over the anchors of normalised embeddings [B, d]."""
        similarity = embedding @ embedding.T
        fixed = similarity.detach()
        positives, negatives = pairs(persons)
        valid = positives.any(1, keepdim=True) & negatives.any(1, keepdim=True)
        attract = -self.gamma * (1 + self.margin - fixed).relu() * (similarity - (1 - self.margin))
        repel = self.gamma * (fixed + self.margin).relu() * (similarity - self.margin)
        # anchors that do not count must be finite, too
        exponent = logsumexp_over(repel, negatives | ~valid) + logsumexp_over(attract, positives | ~valid)
        return mean_over(functional.softplus(exponent), valid)

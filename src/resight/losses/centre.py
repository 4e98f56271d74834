"""Centre loss: pulls each person's embeddings towards their centre."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from resight.losses.term import TERMS, EmbeddingTerm, Names
from resight.models.representation import Representation


@TERMS.register("centre")
class Centre(EmbeddingTerm):
    """Centre loss (Wen, Zhang, Li, Qiao: A Discriminative Feature Learning Approach, ECCV 2016, Eq. 2).

    With c_y the centre of person y in the embedding's space::

        1/2 ||x_i - c_{y_i}||^2

    averaged over the batch and summed over branches. (The paper sums over the batch, also for cross-entropy.
    Both are averages here, so its weight of 0.003 stays valid.) In training, each forward pass then moves the
    centres by the paper's own rule (Eq. 4), without an optimiser::

        c_j -= alpha * sum_{i: y_i = j} (c_j - x_i) / (1 + number of crops of person j)

    They begin at zero, and are part of the state in checkpoints.

    Args:
        alpha: rate of the centres.
        normalise: L2-normalise the embeddings first.
        branches: names of the branches to train; every branch by default.
    """

    def __init__(
        self,
        *,
        alpha: Annotated[float, Field(gt=0, le=1)] = 0.5,
        normalise: bool = False,
        branches: Names | None = None,
    ) -> None:
        super().__init__(normalise, branches)
        self.alpha = alpha

    def prepare(self, example: Representation, num_persons: int) -> None:
        """Make the centres [persons, d] of each branch; refuse branches that the model does not have."""
        super().prepare(example, num_persons)
        for name, embedding in self.embeddings(example).items():
            self.register_buffer(f"centres_{name}", torch.zeros(num_persons, embedding.shape[1]))

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar sum over the chosen branches; in training, move the centres."""
        losses = []
        for name, embedding in self.embeddings(representation).items():
            centres = self.get_buffer(f"centres_{name}")
            away = embedding - centres[persons]
            losses.append(away.square().sum(1).mean() / 2)
            if self.training:
                self._move(centres, away.detach(), persons)
        return torch.stack(losses).sum()

    def _move(self, centres: Tensor, away: Tensor, persons: Tensor) -> None:
        crops = torch.bincount(persons, minlength=len(centres))
        towards = torch.zeros_like(centres).index_add_(0, persons, away.to(centres.dtype))
        centres += self.alpha * towards / (1 + crops[:, None])

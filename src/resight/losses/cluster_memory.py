"""Cluster memory: each crop is compared with one remembered vector of every person or pseudo-label."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from resight.losses.term import TERMS, EmbeddingTerm, Names
from resight.models.representation import Representation


@TERMS.register("cluster-memory")
class ClusterMemory(EmbeddingTerm):
    """Cluster contrast (Dai et al.: Cluster Contrast for Unsupervised Person Re-Identification, ACCV 2022).

    With unit embeddings x and the remembered unit vector m_k of person k (Eq. 1)::

        -log(exp(x_i . m_{y_i} / t) / sum over k of exp(x_i . m_k / t))

    averaged over the batch and summed over branches. In training, each forward pass then moves the vector of
    every person in the batch towards the mean x of the person's crops there (Eq. 3, with the mean of a batch
    in place of its crops one after the other)::

        m_k <- unit(momentum * m_k + (1 - momentum) * x)

    The vectors begin at zero, or where ``start`` puts them, and are part of the state in checkpoints.

    Args:
        temperature: t.
        momentum: share of the old vector; 0 keeps only the last batch.
        branches: names of the branches to train; every branch by default.
    """

    def __init__(
        self,
        *,
        temperature: Annotated[float, Field(gt=0)] = 0.05,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        branches: Names | None = None,
    ) -> None:
        super().__init__(True, branches)
        self.temperature, self.momentum = temperature, momentum

    def prepare(self, example: Representation, num_persons: int) -> None:
        """Make the vectors [persons, d] of each branch; refuse branches that the model does not have."""
        super().prepare(example, num_persons)
        for name, embedding in self.embeddings(example).items():
            self.register_buffer(f"memory_{name}", torch.zeros(num_persons, embedding.shape[1]))

    @torch.no_grad()
    def start(self, embeddings: Mapping[str, Tensor], persons: Tensor) -> None:
        """Set the vectors to the means of their persons.

        Args:
            embeddings: of each branch: [N, d], on the CPU.
            persons: int64 [N]; crops with a negative number belong to nobody.
        """
        for name in self.branches or embeddings:
            memory = self.get_buffer(f"memory_{name}")
            units = functional.normalize(embeddings[name][persons >= 0], dim=1)
            means = torch.zeros(memory.shape, dtype=units.dtype).index_add_(0, persons[persons >= 0], units)
            memory.copy_(functional.normalize(means, dim=1))

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar sum over the chosen branches; in training, move the vectors."""
        losses = []
        for name, embedding in self.embeddings(representation).items():
            memory = self.get_buffer(f"memory_{name}")
            scores = embedding @ memory.to(embedding.dtype, copy=True).T
            losses.append(functional.cross_entropy(scores / self.temperature, persons))
            if self.training:
                self._move(memory, embedding.detach(), persons)
        return torch.stack(losses).sum()

    def _move(self, memory: Tensor, embedding: Tensor, persons: Tensor) -> None:
        seen, place = persons.unique(return_inverse=True)
        sums = memory.new_zeros(len(seen), memory.shape[1])
        towards = functional.normalize(sums.index_add_(0, place, embedding.to(memory.dtype)), dim=1)
        moved = self.momentum * memory[seen] + (1 - self.momentum) * towards
        memory[seen] = functional.normalize(moved, dim=1)

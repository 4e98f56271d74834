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

    With unit embeddings x and the remembered unit vector m_k of person or cluster k (Eq. 1)::

        -log(exp(x_i . m_{y_i} / t) / sum over k of exp(x_i . m_k / t))

    averaged over the batch and summed over branches. In training, each forward pass then moves the vector of
    every cluster in the batch towards the mean x of the cluster's crops there (Eq. 3, with the mean of a
    batch in place of its crops one after the other)::

        m_k <- unit(momentum * m_k + (1 - momentum) * x)

    The vectors begin at zero, or where ``start`` puts them, and are part of the state in checkpoints.

    Where ``start`` says that each cluster is of one camera, k in the sum is a cluster of the crop's camera,
    and the linked clusters P of other cameras are learnt from, too (Wang et al.: Camera-aware Proxies for
    Unsupervised Person Re-Identification, AAAI 2021), with the most similar other ones of other cameras, H::

        across * mean over p in P of -log(exp(x_i . m_p / t) / sum over k in P and H of exp(x_i . m_k / t))

    So a person in two clusters that are not linked is not pushed apart by the first sum.

    Args:
        temperature: t; the default is that of Wang et al.
        momentum: share of the old vector; 0 keeps only the last batch.
        across: weight of the comparison with other cameras' clusters.
        hard: number of clusters in H.
        branches: names of the branches to train; every branch by default.
    """

    def __init__(
        self,
        *,
        temperature: Annotated[float, Field(gt=0)] = 0.07,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        across: Annotated[float, Field(ge=0)] = 0.5,
        hard: Annotated[int, Field(ge=1)] = 50,
        branches: Names | None = None,
    ) -> None:
        super().__init__(True, branches)
        self.temperature, self.momentum = temperature, momentum
        self.across, self.hard = across, hard

    def prepare(self, example: Representation, num_persons: int) -> None:
        """Make the vectors [persons, d] of each branch; refuse branches that the model does not have."""
        super().prepare(example, num_persons)
        for name, embedding in self.embeddings(example).items():
            self.register_buffer(f"memory_{name}", torch.zeros(num_persons, embedding.shape[1]))
        self.register_buffer("cameras", torch.zeros(num_persons, dtype=torch.int64))
        self.register_buffer("linked", torch.arange(num_persons))

    @torch.no_grad()
    def start(
        self,
        embeddings: Mapping[str, Tensor],
        persons: Tensor,
        cameras: Tensor | None = None,
        linked: Tensor | None = None,
    ) -> None:
        """Set the vectors to the means of their persons or clusters.

        Args:
            embeddings: of each branch: [N, d], on the CPU.
            persons: int64 [N]; crops with a negative number belong to nobody.
            cameras: int64 [clusters], the one of each; one for all by default.
            linked: int64 [clusters], equal for those that are linked; none are by default.
        """
        for name in self.branches or embeddings:
            memory = self.get_buffer(f"memory_{name}")
            units = functional.normalize(embeddings[name][persons >= 0], dim=1)
            means = torch.zeros(memory.shape, dtype=units.dtype).index_add_(0, persons[persons >= 0], units)
            memory.copy_(functional.normalize(means, dim=1))
        if cameras is not None:
            self.get_buffer("cameras").copy_(cameras)
        if linked is not None:
            self.get_buffer("linked").copy_(linked)

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar sum over the chosen branches; in training, move the vectors."""
        cameras, linked = self.get_buffer("cameras"), self.get_buffer("linked")
        own = cameras == cameras[persons, None]  # [B, clusters]
        right = (linked == linked[persons, None]) & ~own
        losses = []
        for name, embedding in self.embeddings(representation).items():
            memory = self.get_buffer(f"memory_{name}")
            scores = embedding @ memory.to(embedding.dtype, copy=True).T / self.temperature
            losses.append(functional.cross_entropy(scores.masked_fill(~own, -torch.inf), persons))
            if self.across and bool(right.any()):
                losses.append(self.across * self._across(scores, right, ~own & ~right))
            if self.training:
                self._move(memory, embedding.detach(), persons)
        return torch.stack(losses).sum()

    def _across(self, scores: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
        """Return the scalar loss of the batch's crops whose cluster is linked; the others' is 0.

        Args:
            scores: [B, clusters], x . m / t.
            right, wrong: bool [B, clusters], the linked clusters and the other ones of other cameras.
        """
        hard = scores.masked_fill(~wrong, -torch.inf).topk(min(self.hard, scores.shape[1]), dim=1).values
        compared = torch.cat([scores.masked_fill(~right, -torch.inf), hard], dim=1)
        some = right.any(1)
        losses = (compared[some].logsumexp(1, keepdim=True) - scores[some]).masked_fill(~right[some], 0.0)
        return (losses.sum(1) / right[some].sum(1)).sum() / len(scores)

    def _move(self, memory: Tensor, embedding: Tensor, persons: Tensor) -> None:
        seen, place = persons.unique(return_inverse=True)
        sums = memory.new_zeros(len(seen), memory.shape[1])
        towards = functional.normalize(sums.index_add_(0, place, embedding.to(memory.dtype)), dim=1)
        moved = self.momentum * memory[seen] + (1 - self.momentum) * towards
        memory[seen] = functional.normalize(moved, dim=1)

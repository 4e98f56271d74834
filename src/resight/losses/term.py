"""Base classes of loss terms and of terms on embeddings, and the registry of terms."""

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from resight.device import full_precision
from resight.errors import UserError, did_you_mean
from resight.losses.mining import at_least_float32
from resight.models.representation import Representation
from resight.registry import Registry

TERMS: Registry["Term"] = Registry("term", "resight.losses")

Names = Annotated[tuple[str, ...], Field(min_length=1)]
"""Names of branches, maps or masks in a recipe."""


class Term(nn.Module):
    """One term of an objective.

    Subclasses are registered by ``@TERMS.register("name")``; a recipe may set the keyword-only parameters of
    the constructor, with the paper's values as defaults.

    Attributes:
        needs_positives: whether it learns only from crops with another crop of the same person in the batch.
    """

    needs_positives: ClassVar[bool] = False

    def prepare(self, example: Representation, num_persons: int) -> None:
        """Check that the model produces this term's inputs, and make parameters that depend on its shapes.

        Args:
            example: the model's output for a small batch (on the ``meta`` device: shapes, no values).
            num_persons: of training.

        Raises:
            UserError: the model does not produce the term's inputs; the message names both.
        """

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar loss.

        Args:
            representation: the model's output for a batch of B crops.
            persons: int64 [B], the class index (0 to persons - 1) of each crop.
        """
        raise TypeError(f"{type(self).__name__} does not define forward()")


class EmbeddingTerm(Term):
    """Base of terms on embeddings: the sum of ``loss`` over the chosen branches.

    Args:
        normalise: L2-normalise the embeddings first, like the descriptor at test time.
        branches: names of the branches to train; every branch by default.
    """

    def __init__(self, normalise: bool, branches: Sequence[str] | None) -> None:
        super().__init__()
        self.normalise, self.branches = normalise, branches

    def prepare(self, example: Representation, num_persons: int) -> None:
        """Refuse a model without the branches."""
        if not example.branches:
            raise UserError("It needs a branch, and the model has none.")
        refuse_unknown("branch", self.branches, example.branches)

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar sum over the chosen branches."""
        with full_precision(persons.device):  # bfloat16 is too coarse for differences of near embeddings
            found = self.embeddings(representation).values()
            losses = torch.stack([self.loss(embedding, persons) for embedding in found])
        if losses.dim() != 1:
            shape = list(losses.shape[1:])
            raise UserError(f"The loss of {type(self).__name__} has the shape {shape}; a scalar is expected.")
        return losses.sum()

    def loss(self, embedding: Tensor, persons: Tensor) -> Tensor:
        """Return the scalar loss of one branch's embedding [B, d], float32 or float64."""
        raise TypeError(f"{type(self).__name__} does not define loss()")

    def embeddings(self, representation: Representation) -> dict[str, Tensor]:
        """Return the chosen branches' embeddings [B, d], in float32 or better, normalised if so set."""
        found = {
            name: at_least_float32(branch.embedding)
            for name, branch in representation.branches.items()
            if self.branches is None or name in self.branches
        }
        if not self.normalise:
            return found
        return {name: functional.normalize(embedding, dim=1) for name, embedding in found.items()}


def refuse_unknown(kind: str, names: Iterable[str] | None, known: Iterable[str]) -> None:
    """Raise a UserError for the first name that the model does not have; None is allowed."""
    for name in names or ():
        if name not in known:
            raise UserError(f"The model has no {kind} '{name}'.{did_you_mean(name, known)}")

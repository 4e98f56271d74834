"""The objective of a stage of training: a weighted sum of named terms."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from resight.errors import UserError
from resight.losses.gather import gather, mean_over_ranks
from resight.losses.term import Term
from resight.models.representation import Representation


class Objective(nn.Module):
    """Weighted sum of terms; each term is also returned by name.

    If several processes train together (``torch.distributed``), terms on embeddings and logits see the
    joined batch of all processes, every process returns the same values, and after DistributedDataParallel's
    averaging the gradients are those of one process with the joined batch.

    Args:
        terms: (name, weight, term) of each; names are unique.
        example: the model's output for a small batch (shapes only, on the ``meta`` device).
        persons: number of training persons.

    Raises:
        UserError: the model does not produce the inputs of some terms; each is named with its reason.
    """

    def __init__(
        self, terms: Sequence[tuple[str, float, Term]], example: Representation, num_persons: int
    ) -> None:
        super().__init__()
        refused = []
        for name, _, term in terms:
            try:
                term.prepare(example, num_persons)
            except UserError as error:
                refused.append(f"Term '{name}' does not fit the model: {error}")
        if refused:
            raise UserError("\n".join(refused))
        self.names = [name for name, _, _ in terms]
        self.weights = [weight for _, weight, _ in terms]
        self.terms = nn.ModuleList(term for _, _, term in terms)

    def forward(self, representation: Representation, persons: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar total, and each term's scalar value before weighting (detached).

        Args:
            representation: the model's output for B crops, this process's own.
            persons: int64 [B] class indices.

        Raises:
            UserError: several processes have batches of unequal size.
        """
        representation, persons = gather(representation, persons)
        losses = mean_over_ranks(torch.stack([term(representation, persons) for term in self.terms]))
        total = torch.stack([weight * loss for weight, loss in zip(self.weights, losses, strict=True)]).sum()
        return total, {name: loss.detach() for name, loss in zip(self.names, losses, strict=True)}

"""The contract of a loss term, and the registry of terms."""

from torch import Tensor, nn

from resight.models.representation import Representation
from resight.registry import Registry

TERMS: Registry["Term"] = Registry("term", "resight.losses")


class Term(nn.Module):
    """One term of an objective.

    Subclasses are registered as ``@TERMS.register("name")``; what a recipe may set are the keyword-only
    parameters of the constructor, with the paper's values as defaults.
    """

    def prepare(self, example: Representation, persons: int) -> None:
        """Check that the model feeds this term, and make parameters whose shape depends on it.

        Args:
            example: what the model produces for a small batch (on the ``meta`` device: shapes, no values).
            persons: number of training persons.

        Raises:
            UserError: the model does not produce what the term reads; the sentence names both.
        """

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        """Return the scalar loss.

        Args:
            representation: the model's output for a batch of B crops.
            persons: int64 [B], the class index (0 to persons - 1) of each crop.
        """
        raise TypeError(f"{type(self).__name__} does not define forward()")

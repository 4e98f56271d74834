"""Top-1 and top-5 error of classified pictures."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from resight.errors import UserError

TOPS = (1, 5)
"""A picture is right if its class is among the first k, for each of these k."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationScores:
    """The rank of each picture's right class.

    Attributes:
        ranks: int64 [N], of the right class, from 1.
        classes: number of classes.
    """

    ranks: Tensor
    classes: int

    @property
    def tops(self) -> tuple[int, ...]:
        """The k of the accuracies in ``as_dict``."""
        return TOPS

    def accuracy(self, k: int) -> float:
        """Return the share of pictures with the right class among the first k."""
        return float((self.ranks <= k).double().mean())

    def as_dict(self) -> dict[str, Any]:
        """Return accuracies and errors as fractions, and counts."""
        accuracies = {f"top{k}": self.accuracy(k) for k in self.tops}
        errors = {f"{name}_error": 1 - value for name, value in accuracies.items()}
        return {
            **accuracies,
            **errors,
            "pictures": len(self.ranks),
            "classes": self.classes,
            "protocol": "classification",
        }


def score_classes(scores: Tensor, classes: Tensor) -> ClassificationScores:
    """Rank each picture's class among all; a class with an equal score comes before the right one.

    Args:
        scores: float [N, C], of each class; higher is more likely.
        classes: int64 [N], the right ones, 0 to C - 1.

    Raises:
        UserError: there is no picture, or scores are not finite.
    """
    if not len(scores):
        raise UserError("There are no pictures to score.")
    if not (finite := scores.isfinite().all(1)).all():
        raise UserError(
            f"The scores of {int((~finite).sum())} of {len(scores)} pictures are not finite, first those of "
            f"picture {int((~finite).nonzero()[0])}: the network's weights are damaged."
        )
    right = scores.gather(1, classes[:, None])
    return ClassificationScores((scores >= right).sum(1), scores.shape[1])

"""Embedded crops: the input of ranking and scoring."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resight.errors import UserError


@dataclass(frozen=True, slots=True)
class Embedded:
    """Features and labels of N crops.

    Attributes:
        features: float [N, D].
        persons: int64 [N]; -1 is junk, 0 a distractor.
        cameras: int64 [N], or None if they are not known.
        items: int64 [N] that identify crops, so that a query does not find itself in the gallery; None if
            query and gallery share no crop.
        clothes: int64 [N], or None if they are not known.

    Raises:
        UserError: features are not [N, D], or labels are not int64 [N].
    """

    features: Tensor
    persons: Tensor
    cameras: Tensor | None = None
    items: Tensor | None = None
    clothes: Tensor | None = None

    def __post_init__(self) -> None:
        if self.features.ndim != 2:
            raise UserError(f"Features must be [N, D]; got the shape {tuple(self.features.shape)}.")
        for name in ("persons", "cameras", "items", "clothes"):
            labels = getattr(self, name)
            if labels is None:
                continue
            if labels.shape != (len(self.features),):
                raise UserError(
                    f"There must be one entry in '{name}' for each of the {len(self.features)} features; "
                    f"got the shape {tuple(labels.shape)}."
                )
            if labels.dtype != torch.int64:
                raise UserError(f"The entries of '{name}' must be int64 numbers; got {labels.dtype}.")

    def take(self, rows: Tensor) -> "Embedded":
        """Return some rows, int64 [R]."""
        others = (self.cameras, self.items, self.clothes)
        taken = (None if part is None else part[rows] for part in others)
        return Embedded(self.features[rows], self.persons[rows], *taken)

    def __len__(self) -> int:
        return len(self.features)

"""What a model says about a batch of crops: all that losses and reports know of the model."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(slots=True)
class Branch:
    """One embedding, trained with its own losses.

    Attributes:
        embedding: [B, d].
        logits: [B, persons] of the branch's own classifier, or None where it has none.
    """

    embedding: Tensor
    logits: Tensor | None = None


@dataclass(slots=True)
class Representation:
    """What a forward pass produced.

    Attributes:
        branches: name -> embedding and logits.
        attention: name -> map [B, H, W] or mask [B, C, H, W].
        regions: name -> boxes [B, T, 4] of hard attention as (left, top, right, bottom) in fractions of the
            image; values outside [0, 1] lie outside the image.
        features: name -> whatever else a term reads, by name.
    """

    branches: dict[str, Branch]
    attention: dict[str, Tensor] = field(default_factory=dict)
    regions: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)

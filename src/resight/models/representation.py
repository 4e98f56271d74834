"""The output of a model for a batch of crops: all that losses and reports use of the model."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(slots=True)
class Branch:
    """One embedding, trained with its own losses.

    Attributes:
        embedding: [B, d].
        logits: [B, persons] of the branch's classifier, or None if it has none.
    """

    embedding: Tensor
    logits: Tensor | None = None


@dataclass(slots=True)
class Representation:
    """The output of a forward pass.

    Attributes:
        branches: name -> embedding and logits.
        attention: name -> map [B, H, W] or mask [B, C, H, W] of an attention module.
        regions: name -> boxes [B, T, 4] of hard attention as (left, top, right, bottom) in fractions of the
            image; values outside [0, 1] are outside the image.
        masked: name of a mask -> the features [B, C, H, W] before it.
        features: layer -> its feature map [B, C, H, W], in order.
    """

    branches: dict[str, Branch]
    attention: dict[str, Tensor] = field(default_factory=dict)
    regions: dict[str, Tensor] = field(default_factory=dict)
    masked: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)

    def energy(self, name: str) -> Tensor:
        """Return the activation map [B, H, W] of a layer: the mean over channels of its squared features.

        In float32 or better, not yet normalised (SAL, Section III-B, Eq. 1).
        """
        features = self.features[name]
        return features.to(torch.promote_types(features.dtype, torch.float32)).square().mean(1)

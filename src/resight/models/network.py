"""The contract of a model, and the registry of models."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from resight.errors import UserError, did_you_mean
from resight.models.representation import Representation
from resight.registry import Registry

MODELS: Registry["Network"] = Registry("model", "resight.models")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Network(nn.Module):
    """Base of every model: ``forward`` for training, ``embed`` for search.

    Subclasses are registered as ``@MODELS.register("name")``; their constructor takes ``persons`` (the number
    of identity classes) first and everything that a recipe may set as keyword-only parameters.

    Args:
        input_size: height and width that the network was made for, in pixels.
        mean, std: statistics of the RGB channels in [0, 1] that ``normalise`` uses.

    Attributes:
        variants: name -> settings of the configurations that have a name of their own, such as a paper's;
            listed by ``resight models``.
        name, persons, settings: what ``build_model`` was asked for; a weights file keeps it.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    name: str
    persons: int
    settings: dict[str, Any]
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        input_size: tuple[int, int],
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn pixels uint8 [B, 3, H, W] (RGB) into the floats that ``forward`` and ``embed`` take."""
        return (pixels.to(self.mean.dtype) / 255 - self.mean) / self.std

    def forward(self, images: Tensor) -> Representation:
        """Describe normalised images float [B, 3, H, W]."""
        raise TypeError(f"{type(self).__name__} does not define forward()")

    def embed(self, images: Tensor, branches: Sequence[str] | None = None) -> Tensor:
        """Return the test-time descriptor [B, D]: each branch L2-normalised, then concatenated.

        Args:
            images: normalised images float [B, 3, H, W].
            branches: names of the branches to use; all by default.

        Raises:
            UserError: the model has no branch of that name.
        """
        found = self(images).branches
        for name in branches or ():
            if name not in found:
                raise UserError(f"The model has no branch '{name}'.{did_you_mean(name, found)}")
        chosen = [found[name].embedding for name in branches or found]
        return torch.cat([functional.normalize(embedding.float(), dim=1) for embedding in chosen], dim=1)


def build_model(name: str, persons: int, **settings: Any) -> Network:
    """Build a registered model with ``persons`` identity classes from settings, which are checked."""
    model = MODELS.build(name, persons, **settings)
    model.name, model.persons, model.settings = name, persons, MODELS.defaults(name, settings)
    return model

"""Base class of models, and their registry."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from resight.errors import UserError, did_you_mean
from resight.models.representation import Representation
from resight.registry import Registry

MODELS: Registry["Network"] = Registry("model", "resight.models")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Views = Literal["one", "mirror", "ten-crop"]
"""Views to average: the crop; the crop and its mirror image; or ten pieces of it."""

Descriptor = Literal["raw", "unit"]
"""How branches make a descriptor: embeddings as trained, or each scaled to unit length."""


class Network(nn.Module):
    """Base of every model: ``forward`` for training, ``embed`` for search.

    Subclasses are registered by ``@MODELS.register("name")``; their constructor takes ``num_persons`` (the
    number of identity classes), then the settings of a recipe as keyword-only parameters.

    Args:
        input_size: height and width that the network was made for, in pixels.
        views: of a crop to average over at test time. The ten pieces are the four corners and
            the centre, each ``input_size``, of a picture 9/8 as high and as wide, and their mirror images.
        descriptor: of a view: ``raw``, the branches' embeddings as trained; or ``unit``, each L2-normalised.
            Networks trained on Euclidean distances of raw embeddings are tested with these.
        mean, std: statistics of the RGB channels in [0, 1] that ``normalise`` uses.

    Attributes:
        variants: name -> settings of named configurations, such as a paper's (``resight model list``).
        name, num_persons, settings: the arguments of ``build_model``; weights files store them.
        trained_cameras: names of the cameras whose crops it was trained on; weights files store them, too.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    name: str
    num_persons: int
    settings: dict[str, Any]
    trained_cameras: tuple[str, ...] = ()
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        input_size: tuple[int, int],
        views: Views = "one",
        descriptor: Descriptor = "unit",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.views = views
        self.descriptor = descriptor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of decoded crops, for ``embed``; at least the input size."""
        return picture_size(self.input_size, self.views)

    def begin_epoch(self, epoch: int) -> None:
        """Prepare for a training epoch, counted over the whole run from 0; depends on the number alone.

        Calls ``begin_epoch`` of every module that has one.
        """
        for module in self.modules():
            begin = getattr(module, "begin_epoch", None)
            if module is not self and begin is not None:
                begin(epoch)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Convert pixels uint8 [B, 3, H, W] (RGB) to the input of ``forward`` and ``embed``."""
        # in place: without new memory, ten times as fast as the plain formula
        return pixels.to(self.mean.dtype).mul_(1 / (255 * self.std)).sub_(self.mean / self.std)

    def forward(self, images: Tensor) -> Representation:
        """Process normalised images float [B, 3, H, W]."""
        raise TypeError(f"{type(self).__name__} does not define forward()")

    def embed(self, images: Tensor, branches: Sequence[str] | None = None) -> Tensor:
        """Return the test-time descriptor [B, D]: the mean of ``describe`` over the views.

        Args:
            images: normalised images float [B, 3, *picture_size].
            branches: names of the branches to use; all by default.

        Raises:
            UserError: the model has no branch of that name.
        """
        described = [self.describe(view, branches) for view in self._seen(images)]
        return described[0] if len(described) == 1 else torch.stack(described).mean(0)

    def describe(self, images: Tensor, branches: Sequence[str] | None = None) -> Tensor:
        """Return the descriptor [B, D] of one view: its branches' embeddings, concatenated.

        With ``descriptor`` ``unit`` each embedding is L2-normalised first.

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
        chosen = [found[name].embedding.float() for name in branches or found]
        if self.descriptor == "unit":
            chosen = [functional.normalize(embedding, dim=1) for embedding in chosen]
        return torch.cat(chosen, dim=1)

    def classify(self, images: Tensor) -> Tensor:
        """Return class probabilities, float64 [B, persons]: the mean over views and branches.

        Args:
            images: normalised images float [B, 3, *picture_size].

        Raises:
            UserError: no branch has a classifier.
        """
        branches = [branch for view in self._seen(images) for branch in self(view).branches.values()]
        said = [branch.logits.double().softmax(1) for branch in branches if branch.logits is not None]
        if not said:
            raise UserError(
                "The model has no classifier, so it cannot predict classes. Train with classifier: true."
            )
        return torch.stack(said).mean(0)

    def _seen(self, images: Tensor) -> list[Tensor]:
        """Return the views of images [B, 3, *picture_size], each [B, 3, *input_size]."""
        return cut_views(images, self.input_size, self.views)


def picture_size(input_size: tuple[int, int], views: Views) -> tuple[int, int]:
    """Return height and width of the pictures that views of ``input_size`` are cut from."""
    height, width = input_size
    return (height * 9 // 8, width * 9 // 8) if views == "ten-crop" else input_size


def cut_views(images: Tensor, input_size: tuple[int, int], views: Views) -> list[Tensor]:
    """Return the views [B, C, *input_size] of images [B, C, *picture_size]."""
    if views == "one":
        return [images]
    if views == "mirror":
        return [images, images.flip(3)]
    height, width = input_size
    down, right = images.shape[2] - height, images.shape[3] - width
    places = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    cut = [images[:, :, top : top + height, left : left + width] for top, left in places]
    return [*cut, *(view.flip(3) for view in cut)]


def build_model(name: str, num_persons: int, **settings: Any) -> Network:
    """Build a registered model with ``num_persons`` identity classes; settings are checked."""
    model = MODELS.build(name, num_persons, **settings)
    model.name, model.num_persons, model.settings = name, num_persons, MODELS.defaults(name, settings)
    return model

"""What is done to a crop before a network sees it, and to the vectors that come out."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
import torch
from pydantic import Field
from torch import Tensor

from resight.errors import UserError
from resight.imaging import Interpolation, Resizing
from resight.models.network import IMAGENET_MEAN, IMAGENET_STD, Descriptor, Views
from resight.registry import Settings

Side = Annotated[int, Field(ge=1, le=4096)]
Positive = Annotated[float, Field(gt=0)]
Layout = Literal["nchw", "nhwc"]


class Preprocessing(Settings):
    """How crops are fed to a network.

    Attributes:
        input_size: height and width, in pixels.
        colours: order of the channels.
        value_range: of the channels before mean and deviation: 0 to 1, or 0 to 255.
        mean, deviation: of the channels, in the order of ``colours`` and in units of ``value_range``.
        interpolation: of pixels that are resized (see ``imaging.Interpolation``).
        padding: grey value around a crop that keeps its proportions, in the centre; None stretches the crop.
        views: of a crop, whose vectors are averaged.
        descriptor: of a view: the network's vector as it is (``raw``), or scaled to length 1 (``unit``).
    """

    input_size: tuple[Side, Side]
    colours: Literal["rgb", "bgr"] = "rgb"
    value_range: Literal[1, 255] = 1
    mean: tuple[float, float, float] = IMAGENET_MEAN
    deviation: tuple[Positive, Positive, Positive] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    padding: Annotated[int, Field(ge=0, le=255)] | None = None
    views: Views = "one"
    descriptor: Descriptor = "raw"

    @property
    def resizing(self) -> Resizing:
        """How pictures come to the input size."""
        return Resizing(self.interpolation, self.padding)

    def normalise(self, pixels: Tensor, layout: Layout = "nchw") -> Tensor:
        """Turn pixels uint8 [B, 3, H, W] (RGB) into the network's input, float32 in its layout."""
        images = pixels.flip(1) if self.colours == "bgr" else pixels
        scale = torch.tensor(self.deviation).mul_(255 / self.value_range).reciprocal_().view(3, 1, 1)
        shift = (torch.tensor(self.mean) / torch.tensor(self.deviation)).view(3, 1, 1)
        ready = images.float().mul_(scale).sub_(shift)
        return ready.permute(0, 2, 3, 1) if layout == "nhwc" else ready

    def describe(self) -> str:
        """Return it in words."""
        height, width = self.input_size
        fit = "stretched" if self.padding is None else f"padded with {self.padding}"
        numbers = (" ".join(f"{value:g}" for value in three) for three in (self.mean, self.deviation))
        return (
            f"{height}x{width}, {fit}, {self.interpolation}; {self.colours.upper()} from 0 to "
            f"{self.value_range}, mean {next(numbers)}, deviation {next(numbers)}; views {self.views}, "
            f"vectors {self.descriptor}"
        )


def check_settings(settings: Mapping[str, Any]) -> Preprocessing:
    """Return the settings, checked.

    Raises:
        UserError: one is not possible.
    """
    try:
        return Preprocessing.model_validate(dict(settings))
    except pydantic.ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UserError(f"Crops cannot be fed to a network so: {found}.") from None


PLAIN: dict[str, Any] = {"value_range": 255, "mean": (0.0, 0.0, 0.0), "deviation": (1.0, 1.0, 1.0)}
"""Settings of a network that takes pixels as they are, 0 to 255."""

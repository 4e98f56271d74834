"""How crops are preprocessed for a network, and how its vectors are scaled."""

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
    """How crops are preprocessed for a network.

    Attributes:
        input_size: height and width, in pixels.
        colours: order of the channels.
        value_range: largest pixel value before normalisation: pixels are from 0 to 1, or from 0 to 255.
        mean, deviation: subtracted from each channel, and divided by; in the order of ``colours`` and in
            units of ``value_range``.
        interpolation: how pixels are resized (see ``imaging.Interpolation``).
        padding: grey value around a crop, which keeps its proportions; None stretches the crop instead.
        views: views of each crop; their vectors are averaged.
        descriptor: ``raw``, the network's vector of a view, or ``unit``, the same scaled to length 1.
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
        """How pictures are resized to the input size."""
        return Resizing(self.interpolation, self.padding)

    def normalise(self, pixels: Tensor, layout: Layout = "nchw") -> Tensor:
        """Return the network's input, float32 in its layout, for pixels uint8 [B, 3, H, W] (RGB)."""
        images = pixels.flip(1) if self.colours == "bgr" else pixels
        scale = torch.tensor(self.deviation).mul_(255 / self.value_range).reciprocal_().view(3, 1, 1)
        shift = (torch.tensor(self.mean) / torch.tensor(self.deviation)).view(3, 1, 1)
        normalised = images.float().mul_(scale).sub_(shift)
        return normalised.permute(0, 2, 3, 1) if layout == "nhwc" else normalised

    def input_range(self) -> tuple[float, float]:
        """Return the smallest and the largest number that the network is fed."""
        ends = [
            (value - mean) / deviation
            for value in (0, self.value_range)
            for mean, deviation in zip(self.mean, self.deviation, strict=True)
        ]
        return min(ends), max(ends)

    def describe(self) -> str:
        """Return a description for users."""
        height, width = self.input_size
        fit = "stretched" if self.padding is None else f"padded with {self.padding}"
        return (
            f"{height}x{width}, {fit}, {self.interpolation}; {self.describe_pixels()}; views {self.views}, "
            f"vectors {self.descriptor}"
        )

    def describe_pixels(self) -> str:
        """Return a description of the pixels for users."""
        numbers = (" ".join(f"{value:g}" for value in three) for three in (self.mean, self.deviation))
        return (
            f"{self.colours.upper()} from 0 to {self.value_range}, mean {next(numbers)}, "
            f"deviation {next(numbers)}"
        )


def check_settings(settings: Mapping[str, Any]) -> Preprocessing:
    """Return settings as a ``Preprocessing``.

    Raises:
        UserError: one is unknown or out of range.
    """
    try:
        return Preprocessing.model_validate(dict(settings))
    except pydantic.ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UserError(f"This preprocessing is not possible: {found}.") from None


RAW_PIXELS: dict[str, Any] = {"value_range": 255, "mean": (0.0, 0.0, 0.0), "deviation": (1.0, 1.0, 1.0)}
"""Settings of a network that takes pixels from 0 to 255, not normalised."""

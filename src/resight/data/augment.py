"""Augmentation of whole batches of pixels on their device: uint8 to uint8, without a loop over images.

Every augmentation takes ``images`` uint8 [B, 3, H, W] and a generator on the same device, draws anew for each
image, and returns a new batch that is channels_last in memory; only ``downscale`` and ``random-resized-crop``
change height and width. To add one, register a class with such a ``__call__``; let it draw by
``resight.draws``.
"""

from typing import Annotated, Literal
from typing import Protocol as Interface

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn import functional

from resight.draws import draw
from resight.errors import UserError
from resight.registry import Registry

Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=0)]
Fill = Literal["random", "mean", "black"]

MEAN_COLOUR = (124, 116, 104)
"""Mean of ImageNet's RGB pixels, about zero after normalisation."""

ATTEMPTS = 100
"""Rectangles to draw until one fits into the image."""


class Augmentation(Interface):
    """Changes a batch of pixels at random. Built as ``AUGMENTATIONS.build(name, **settings)``."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the changed batch, uint8 [B, 3, H, W]; random numbers come from the generator."""


AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation", "resight.data")


@AUGMENTATIONS.register("mirror")
class Mirror:
    """Swap left and right with probability ``p``."""

    def __init__(self, *, p: Probability = 0.5) -> None:
        self.p = p

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the batch, some images mirrored."""
        chosen = choose(self.p, images, generator)
        pixels = channels_last(images)
        return mix(pixels, pixels.flip(2), as_bytes(chosen).view(-1, 1, 1, 1)).permute(0, 3, 1, 2)


@AUGMENTATIONS.register("pad-and-crop")
class PadAndCrop:
    """Shift by up to ``padding`` pixels in each direction: pad with black, then cut out the image's size."""

    def __init__(self, *, padding: Annotated[int, Field(ge=1)] = 10) -> None:
        self.padding = padding

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the batch, every image shifted."""
        pixels, pad = channels_last(images), self.padding
        count, height, width, channels = pixels.shape
        padded = functional.pad(pixels, (0, 0, pad, pad, pad, pad))
        image, row, column, channel = padded.stride()
        places = 2 * pad + 1
        # Every window of the image's size, as a view: selecting one copies whole lines.
        windows = padded.as_strided(
            (count, places, places, height, width, channels), (image, row, column, row, column, channel)
        )
        top, left = draw(
            count,
            lambda rows: torch.randint(places, (2, rows), generator=generator, device=images.device),
            dim=1,
        )
        return windows[torch.arange(count, device=images.device), top, left].permute(0, 3, 1, 2)


@AUGMENTATIONS.register("random-resized-crop")
class RandomResizedCrop:
    """Cut out a random rectangle and resize it (Sharp attention, Sec. IV-B).

    Area and aspect ratio are uniform in their ranges and drawn again until the rectangle, with sides rounded
    to pixels, fits into the image; if none of 100 fits, the whole image is used. The aspect ratio is that in
    the original picture: sets such as CUHK03 have pictures of many shapes, all resized to one. Bilinear,
    without smoothing, because a rectangle is hardly larger than the result.

    Args:
        area: least and greatest share of the image's area.
        aspect: least and greatest height / width of the rectangle, in the original picture.
        size: height and width of the result; those of the images by default.

    Raises:
        UserError: a range begins above its end.
    """

    def __init__(
        self,
        *,
        area: tuple[Share, Share] = (0.64, 1.0),
        aspect: tuple[Ratio, Ratio] = (2.0, 3.0),
        size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None,
    ) -> None:
        for name, (least, greatest) in (("area", area), ("aspect", aspect)):
            if least > greatest:
                raise UserError(f"{name} should rise from least to greatest; got {least}, {greatest}.")
        self.area, self.aspect, self.size = area, aspect, size

    def __call__(self, images: Tensor, generator: Generator, aspects: Tensor | None = None) -> Tensor:
        """Return a part of every image, uint8 [B, 3, *size].

        Args:
            images, generator: as for every augmentation.
            aspects: float [B], height / width of each picture before it was resized; by default that of the
                images.
        """
        count, _, height, width = images.shape
        draws = uniform(4, images, generator, ATTEMPTS)
        area = (self.area[0] + draws[0] * (self.area[1] - self.area[0])) * (height * width)
        aspect = self.aspect[0] + draws[1] * (self.aspect[1] - self.aspect[0])
        if aspects is not None:  # of the original picture, in pixels of the resized one
            aspect = aspect * (height / width / aspects[:, None])
        tall, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        fits = (tall <= height) & (wide <= width)
        first = fits.int().argmax(dim=1, keepdim=True)
        fits = fits.gather(1, first)
        tall = torch.where(fits, tall.gather(1, first), height)
        wide = torch.where(fits, wide.gather(1, first), width)
        top = (draws[2].gather(1, first) * (height - tall + 1)).floor()
        left = (draws[3].gather(1, first) * (width - wide + 1)).floor()
        rows, columns = self.size or (height, width)
        down = _centres(top, tall, rows, height)[:, :, None].expand(count, rows, columns)
        across = _centres(left, wide, columns, width)[:, None, :].expand(count, rows, columns)
        # Colour by colour: twice as fast as with the colours last.
        pixels = functional.grid_sample(
            images.contiguous().float(), torch.stack([across, down], dim=3), align_corners=True
        )
        return pixels.round_().to(torch.uint8).contiguous(memory_format=torch.channels_last)


@AUGMENTATIONS.register("downscale")
class Downscale:
    """Resize every image to a smaller ``size``, for a stage that trains on small pictures to save time.

    Bilinear with smoothing. Smaller pictures early in training cost less and hardly any accuracy (Touvron et
    al., Fixing the train-test resolution discrepancy, 2019; Tan and Le, EfficientNetV2, 2021, Sec. 4).

    Args:
        size: height and width of the result.
    """

    def __init__(self, *, size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]) -> None:
        self.size = size

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the batch, uint8 [B, 3, *size]; nothing is drawn."""
        small = functional.interpolate(images.float(), self.size, mode="bilinear", antialias=True)
        return small.round_().to(torch.uint8).contiguous(memory_format=torch.channels_last)


@AUGMENTATIONS.register("random-erasing")
class RandomErasing:
    """Fill a random rectangle (Zhong et al., Random Erasing Data Augmentation, 2017, Algorithm 1).

    As in the authors' code, a rectangle is drawn again until it is smaller than the image, and is then placed
    anywhere inside; an image in which none of 100 fits stays as it is.

    Args:
        p: probability of each image.
        smallest, largest: share of the image's area.
        aspect: least height / width; the greatest is 1 / aspect.
        fill: ``random`` values for each pixel (RE-R), the ``mean`` colour (RE-M), or ``black`` (RE-0).
    """

    def __init__(
        self,
        *,
        p: Probability = 0.5,
        smallest: Annotated[float, Field(gt=0, le=1)] = 0.02,
        largest: Annotated[float, Field(gt=0, le=1)] = 0.4,
        aspect: Annotated[float, Field(gt=0, le=1)] = 0.3,
        fill: Fill = "random",
    ) -> None:
        if smallest > largest:
            raise UserError(f"smallest should be at most largest; got {smallest} and {largest}.")
        self.p, self.smallest, self.largest, self.aspect, self.fill = p, smallest, largest, aspect, fill

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the batch, some images with one rectangle filled."""
        height, width = images.shape[2:]
        draws = uniform(5, images, generator, ATTEMPTS)
        area = (self.smallest + draws[0] * (self.largest - self.smallest)) * (height * width)
        aspect = self.aspect + draws[1] * (1 / self.aspect - self.aspect)
        tall, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        fits = (tall < height) & (wide < width) & (draws[4, :, :1] < self.p)
        first = fits.int().argmax(dim=1, keepdim=True)
        tall, wide = tall * fits, wide * fits  # zero where no rectangle is wanted, or none fits
        tall, wide = tall.gather(1, first), wide.gather(1, first)
        top = (draws[2].gather(1, first) * (height - tall + 1)).floor()
        left = (draws[3].gather(1, first) * (width - wide + 1)).floor()
        return _fill(images, top, left, top + tall, left + wide, self.fill, generator)


@AUGMENTATIONS.register("cutout")
class Cutout:
    """Fill a square (DeVries and Taylor, Improved Regularization with Cutout, 2017).

    Its centre is anywhere in the image; parts outside are cut off.

    Args:
        p: probability of each image.
        size: side of the square in pixels.
        fill: ``mean`` (zero after normalisation, as the authors), ``black``, or ``random`` for each pixel.
    """

    def __init__(
        self, *, p: Probability = 1.0, size: Annotated[int, Field(ge=1)] = 32, fill: Fill = "mean"
    ) -> None:
        self.p, self.size, self.fill = p, size, fill

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the batch, some images with one square filled."""
        height, width = images.shape[2:]
        draws = uniform(3, images, generator, 1)
        side = self.size * (draws[2] < self.p)
        top = (draws[0] * height).floor() - side // 2
        left = (draws[1] * width).floor() - side // 2
        return _fill(images, top, left, top + side, left + side, self.fill, generator)


def channels_last(images: Tensor) -> Tensor:
    """Return the images as [B, H, W, 3], contiguous (a view where they are channels_last)."""
    return images.permute(0, 2, 3, 1).contiguous()


def choose(p: float, images: Tensor, generator: Generator) -> Tensor:
    """Return which of the images are chosen, bool [B]."""
    return uniform(1, images, generator)[0] < p


def uniform(numbers: int, images: Tensor, generator: Generator, *more: int) -> Tensor:
    """Return numbers for each image, [numbers, B, *more], uniform in [0, 1)."""
    return draw(
        len(images),
        lambda rows: torch.rand(numbers, rows, *more, generator=generator, device=images.device),
        dim=1,
    )


def _fill(
    images: Tensor, top: Tensor, left: Tensor, bottom: Tensor, right: Tensor, fill: Fill, generator: Generator
) -> Tensor:
    """Fill the rectangle [top, bottom) x [left, right), each [B, 1], of every image."""
    pixels = channels_last(images)
    count, height, width, channels = pixels.shape
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).repeat_interleave(channels)
    inside_rows = as_bytes((rows >= top) & (rows < bottom))
    inside_columns = as_bytes((columns >= left) & (columns < right))
    inside = inside_rows[:, :, None] & inside_columns[:, None, :]
    lines = pixels.view(count, height, width * channels)
    if fill == "random":
        values = _noise(lines, generator)
    else:
        colour = MEAN_COLOUR if fill == "mean" else (0, 0, 0)
        values = torch.tensor(colour, dtype=torch.uint8, device=images.device).repeat(width)
    return mix(lines, values, inside).view(pixels.shape).permute(0, 3, 1, 2)


def _centres(start: Tensor, length: Tensor, pieces: int, extent: int) -> Tensor:
    """Return the centres of equal pieces of [start, start + length); -1 and 1 are the outermost pixels.

    None is beyond the centres of the first and last pixel inside, so that pixels outside have no influence.

    Args:
        start, length: whole numbers [B, 1].
        pieces: their number, for [B, pieces].
        extent: pixels of the image.
    """
    places = (torch.arange(pieces, device=start.device) + 0.5) * (length / pieces) - 0.5
    places = start + torch.minimum(places.clamp(min=0), length - 1)
    return places * (2 / max(1, extent - 1)) - 1


def as_bytes(flags: Tensor) -> Tensor:
    """Return 255 for true, 0 for false."""
    return flags.to(torch.uint8) * 255


def mix(old: Tensor, new: Tensor, mask: Tensor) -> Tensor:
    """Return ``new`` where the mask is 255 and ``old`` where it is 0 (far faster than ``where`` on bytes)."""
    return old ^ ((old ^ new) & mask)


def _noise(pixels: Tensor, generator: Generator) -> Tensor:
    """Return random bytes of the pixels' shape, drawn eight at a time."""
    each = pixels[0].numel()

    def sample(rows: int) -> Tensor:
        words = torch.empty(-(-rows * each // 8), dtype=torch.int64, device=pixels.device)
        words.random_(-(2**63), None, generator=generator)
        return words.view(torch.uint8)[: rows * each].view(rows, *pixels.shape[1:])

    return draw(len(pixels), sample)

"""Augmentations of colours; see ``augment`` for what they have in common."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor

from resight.data.augment import (
    AUGMENTATIONS,
    Probability,
    Strength,
    as_bytes,
    channels_last,
    choose,
    mix,
    uniform,
)

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey."""


@AUGMENTATIONS.register("colour-jitter")
class ColourJitter:
    """Change brightness, contrast, saturation and hue, each by its own random factor for every image.

    Each factor is uniform in [1 - strength, 1 + strength]; hue rotates by up to ``hue`` of a full circle
    either way. Applied in this order, by the usual definitions (contrast about the image's mean grey,
    saturation about each pixel's grey, hue as a rotation in the plane of colour differences), they are one
    matrix and one offset per image. Values are clipped to 0..255 once, at the end.
    """

    def __init__(
        self,
        *,
        p: Probability = 1.0,
        brightness: Strength = 0.2,
        contrast: Strength = 0.15,
        saturation: Strength = 0.0,
        hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0,
    ) -> None:
        self.p = p
        self.strengths = (brightness, contrast, saturation, 2 * math.pi * hue)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the batch, some images with their colours changed."""
        count, _, height, width = images.shape
        device = images.device
        strengths = torch.tensor(self.strengths, device=device)[:, None]
        draws = uniform(4, images, generator) * 2 - 1
        draws = draws * strengths * choose(self.p, images, generator)
        brightness, contrast, saturation = (draws[:3] + 1).view(3, count, 1, 1)
        to_grey = torch.tensor(LUMA, device=device)
        # Colour by colour, [B, 3, H * W]: the product is ten times faster than with the colours last.
        pixels = images.reshape(count, 3, height * width).float()
        mean = (to_grey @ pixels.mean(dim=2).T).view(count, 1, 1) * brightness
        grey = to_grey.expand(3, 3)  # each row maps a colour to its grey
        colours = saturation * torch.eye(3, device=device) + (1 - saturation) * grey
        matrix = _turns(draws[3], grey) @ colours * (contrast * brightness)
        # Saturation and hue act after contrast and keep greys, so they do not change its offset.
        offset = ((1 - contrast) * mean).expand(count, 3, 1)
        changed = torch.baddbmm(offset, matrix, pixels).round_().clamp_(0, 255).to(torch.uint8)
        return changed.view(count, 3, height, width).contiguous(memory_format=torch.channels_last)


def _turns(angles: Tensor, grey: Tensor) -> Tensor:
    """Return matrices [B, 3, 3] that rotate colours by the angles [B] in YIQ, keeping greys and luminance."""
    eye = torch.eye(3, device=angles.device)
    to_yiq = torch.tensor(
        [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], device=angles.device
    )
    quarter = torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]], device=angles.device)
    quarter = torch.linalg.inv(to_yiq) @ quarter @ to_yiq
    cosine, sine = angles.cos().view(-1, 1, 1), angles.sin().view(-1, 1, 1)
    turned: Tensor = grey + cosine * (eye - grey) + sine * quarter
    return turned


@AUGMENTATIONS.register("random-grey")
class RandomGrey:
    """Take the colours away with probability ``p`` (SimCLR: Chen et al., ICML 2020, Appendix A)."""

    def __init__(self, *, p: Probability = 0.2) -> None:
        self.p = p

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the batch, some images grey."""
        shares = torch.tensor(LUMA, device=images.device)
        grey = torch.einsum("bchw,c->bhw", images.float(), shares).round_().to(torch.uint8)
        chosen = as_bytes(choose(self.p, images, generator)).view(-1, 1, 1, 1)
        return mix(channels_last(images), grey[..., None], chosen).permute(0, 3, 1, 2)


@AUGMENTATIONS.register("channel-shuffle")
class ChannelShuffle:
    """Put red, green and blue in a random order with probability ``p``, so that hues count less."""

    def __init__(self, *, p: Probability = 0.2) -> None:
        self.p = p

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the batch, the channels of some images in another order."""
        pixels = channels_last(images)
        order = uniform(3, images, generator).argsort(0).T[:, None, None].expand_as(pixels)
        chosen = as_bytes(choose(self.p, images, generator)).view(-1, 1, 1, 1)
        return mix(pixels, pixels.gather(3, order), chosen).permute(0, 3, 1, 2)

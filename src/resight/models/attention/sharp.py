"""Sharp attention: masks sampled from the features themselves (Shen et al., TCSVT 2019)."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from resight.device import full_precision
from resight.draws import draw_like
from resight.models.trunk import ATTENTIONS, Attention
from resight.models.trunks.resnet import Bottleneck
from resight.models.trunks.start import initialise
from resight.models.units import ConvUnit

Mask = Literal["sharp", "soft", "threshold", "power"]
Interaction = Literal["add", "none", "concatenate"]
Upsampling = Literal["bilinear", "transposed"]

LEAST = 1e-6
"""Minimum probability of either outcome."""

FLAT = 1e-12
"""A channel with a smaller range counts as constant: the gradient of Eq. 3 is one over the range, and its
square, which Adam stores, must be finite in float32."""


@ATTENTIONS.register("sharp")
class Sharp(Attention):
    """Sharp attention block: trunk features T times a sampled mask M in [0, 1], both combined (Sec. III).

    f is a channel's features in each image, mapped to [0, 1] by their minimum and maximum (Eq. 3); a constant
    channel gives 0. With pi_1 = f and two classes, Eq. 5 is a logistic relaxation, M = sigmoid((logit(pi_1) +
    L) / tau) with L ~ Logistic(0, 1), so one noise tensor replaces two.

    Where the paper is silent: pi_1 is kept within [1e-6, 1 - 1e-6], always in float32, because Eq. 3 yields
    exact 0 and 1, where the logit's derivative is infinite. There is no noise at test time: the mask is the
    sigmoid at the last tau. Concatenated features are reduced to C channels by a 1x1 convolution with batch
    normalisation and ReLU.

    Returns the mask [B, C, H, W].

    Args:
        channels: C of the layer.
        mask: ``sharp``, sampled; ``soft``, a sigmoid of the mask branch's features, the gate that the paper
            argues against; ``threshold``, f where f >= ``threshold`` and 0 elsewhere ("features that are
            below a certain threshold are set to 0"); ``power``, f ** ``power`` (Sec. IV-F, Table III).
        context: make the mask from a context-aware unit instead of the features themselves (Sec. III-D).
        interaction: ``add``, the cross-feature interaction learning (1 + M) T of Eq. 2; ``none``, M T alone
            (Eq. 1); ``concatenate`` T and M T, which "is hard to converge" (Sec. III-C).
        threshold: lambda (Sec. IV-F).
        power: 2 and 3 in Table III.
        rate, floor: tau = max(floor, exp(-rate epoch)) (Eq. 9).
        upsampling: of the context-aware unit.
    """

    temperature: Tensor

    def __init__(
        self,
        channels: int,
        *,
        mask: Mask = "sharp",
        context: bool = True,
        interaction: Interaction = "add",
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.3,
        power: Annotated[float, Field(gt=0)] = 2.0,
        rate: Annotated[float, Field(ge=0)] = 0.008,
        floor: Annotated[float, Field(gt=0, le=1)] = 0.5,
        upsampling: Upsampling = "bilinear",
    ) -> None:
        super().__init__()
        self.mask, self.interaction = mask, interaction
        self.threshold, self.power, self.rate, self.floor = threshold, power, rate, floor
        self.context = ContextUnit(channels, upsampling) if context else nn.Identity()
        self.join = ConvUnit(2 * channels, channels) if interaction == "concatenate" else None
        self.register_buffer("temperature", torch.tensor(1.0))  # so that weights files keep the last one

    def begin_epoch(self, epoch: int) -> None:
        """Set the temperature of an epoch, counted over the whole run from 0 (Eq. 9)."""
        self.temperature.fill_(max(self.floor, math.exp(-self.rate * epoch)))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output and the mask, both [B, C, H, W], for trunk features [B, C, H, W]."""
        source = self.context(features)
        with full_precision(features.device):
            mask = self._mask(source.to(torch.promote_types(source.dtype, torch.float32))).to(features.dtype)
        if self.interaction == "add":
            return torch.addcmul(features, mask, features), mask
        attended = mask * features
        return (attended if self.join is None else self.join(torch.cat([features, attended], dim=1))), mask

    def _mask(self, source: Tensor) -> Tensor:
        if self.mask == "soft":
            return torch.sigmoid(source)
        share = stretched(source)
        if self.mask == "threshold":
            return share * (share >= self.threshold)
        if self.mask == "power":
            return share**self.power
        return sample(share, self.temperature, noisy=self.training)


class ContextUnit(nn.Module):
    """Context-aware unit: down by a residual unit, up again by a 1x1 convolution (Sec. III-D, p = q = 1).

    The residual unit is the first bottleneck of ResNet's next stage, with weights of its own: with C = 256,
    512 and 1,024 the convolutions have the 507,904, 2,031,616 and 8,126,464 parameters of Table II.

    Args:
        channels: C.
        upsampling: ``transposed``, the paper's term, a 1x1 kernel at stride 1/2 that leaves three of four
            outputs empty; or the same weights at stride 1, followed by ``bilinear`` interpolation.
    """

    def __init__(self, channels: int, upsampling: Upsampling) -> None:
        super().__init__()
        width = 2 * channels // Bottleneck.expansion
        outer = Bottleneck.expansion * width
        self.residual = Bottleneck(channels, width, stride=2)
        self.transposed = upsampling == "transposed"
        self.up = (
            nn.ConvTranspose2d(outer, channels, 1, stride=2, bias=False)
            if self.transposed
            else nn.Conv2d(outer, channels, 1, bias=False)
        )
        initialise(self)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, C, H, W] for features [B, C, H, W]."""
        deep = self.residual(features)
        size = features.shape[2:]
        if self.transposed:
            return self.up(deep, output_size=size)  # type: ignore[no-any-return]
        return functional.interpolate(self.up(deep), size, mode="bilinear", align_corners=False)


def stretched(features: Tensor) -> Tensor:
    """Return features [B, C, H, W], each channel mapped to [0, 1] by its minimum and maximum (Eq. 3)."""
    least = features.amin((2, 3), keepdim=True)
    span = features.amax((2, 3), keepdim=True) - least
    return (features - least) / span.masked_fill(span < FLAT, torch.inf)  # 0, without a gradient, if flat


def sample(probability: Tensor, temperature: Tensor, noisy: bool) -> Tensor:
    """Return relaxed Bernoulli draws in [0, 1], in the shape of the probabilities (Eqs. 4 and 5).

    A draw is above 0.5 with its probability, at every temperature. Without noise it is the sigmoid of the
    probability's logit.
    """
    logit = probability.logit(eps=LEAST)
    if noisy:
        logit = logit + draw_like(probability).logit(eps=1e-7)  # Logistic(0, 1)
    return torch.sigmoid(logit / temperature)

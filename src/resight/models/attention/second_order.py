"""Attention between all positions: by covariance (SONA, ICCV 2019), or by plain products."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from resight.models.trunk import ATTENTIONS, Attention

Reduction = Annotated[int, Field(ge=1, le=16)]
Scale = Annotated[float, Field(gt=0)]


@ATTENTIONS.register("second-order")
class SecondOrder(Attention):
    """Second-order non-local attention, SONA (Xia et al., ICCV 2019, Section 2.2).

    With x [hw, c], n = c / r and theta(x), g(x) [hw, n]::

        Sigma = theta(x) I_bar theta(x)^T,   I_bar = (1/n) (I - (1/n) 1 1^T)      (Eq. 1)
        z = softmax(Sigma / sqrt(n)) g(x)                                         (Eq. 2)
        SONA(x) = x + p(z)                                                        (Eq. 3)

    I - (1/n) 1 1^T is the projection that subtracts the mean over channels. So Eq. 2 is scaled dot-product
    attention with the centred theta as queries and keys and the scale 1 / (n sqrt(n)): a fused kernel
    computes it without the hw x hw matrix.

    theta is a 1x1 convolution, batch normalisation and LeakyReLU; g and p are 1x1 convolutions. p starts at
    zero, as in non-local networks, so that the module begins as the identity and does not disturb a
    pre-trained trunk (our choice; the paper does not say). Returns no map: each position has its own, see
    ``pairwise``.

    Args:
        channels: c of the layer.
        reduction: r.
        scale: of the products of centred features; the paper's 1 / (n sqrt(n)) by default, with which the
            softmax starts within 3 % of uniform.
    """

    def __init__(self, channels: int, *, reduction: Reduction = 2, scale: Scale | None = None) -> None:
        super().__init__()
        inner = channels // reduction
        self.theta = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.LeakyReLU(inplace=True)
        )
        self.g = nn.Conv2d(channels, inner, 1)
        self.p = _silent(inner, channels)
        self.scale = inner**-1.5 if scale is None else scale

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """Return the attended features [B, C, H, W] for features [B, C, H, W], and None."""
        centred = self._centred(features)
        return features + self.p(_attended(centred, centred, self.g(features), self.scale)), None

    def pairwise(self, features: Tensor) -> Tensor:
        """Return how much each position attends to each, [B, HW, HW]; rows sum to 1 (Fig. 3).

        Builds the matrix that ``forward`` avoids: for a few crops, to look at.

        Args:
            features: [B, C, H, W], the module's input.
        """
        centred = _rows(self._centred(features))[:, 0]
        return functional.softmax(self.scale * centred @ centred.mT, dim=2)

    def _centred(self, features: Tensor) -> Tensor:
        theta = self.theta(features)
        return theta - theta.mean(1, keepdim=True)  # type: ignore[no-any-return]


@ATTENTIONS.register("non-local")
class NonLocal(Attention):
    """Non-local block with embedded Gaussian, SONA's first-order relative (Wang et al., CVPR 2018, Eqs. 2-6).

    x + p(softmax(theta(x) phi(x)^T) g(x)), all four 1x1 convolutions, p zero at the start. Returns no map:
    see ``pairwise``.

    Args:
        channels: C of the layer.
        reduction: of the channels inside.
        scale: of the products; 1 in the paper.
    """

    def __init__(self, channels: int, *, reduction: Reduction = 2, scale: Scale = 1.0) -> None:
        super().__init__()
        inner = channels // reduction
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.p = _silent(inner, channels)
        self.scale = scale

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """Return the attended features [B, C, H, W] for features [B, C, H, W], and None."""
        query, key, value = self.theta(features), self.phi(features), self.g(features)
        return features + self.p(_attended(query, key, value, self.scale)), None

    def pairwise(self, features: Tensor) -> Tensor:
        """Return how much each position attends to each, as in ``SecondOrder.pairwise``."""
        query, key = (_rows(layer(features))[:, 0] for layer in (self.theta, self.phi))
        return functional.softmax(self.scale * query @ key.mT, dim=2)


def _attended(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Return softmax(scale query^T key) value [B, n, H, W] for maps [B, n, H, W]."""
    _, channels, height, width = value.shape
    found = functional.scaled_dot_product_attention(_rows(query), _rows(key), _rows(value), scale=scale)
    return found.view(-1, height, width, channels).permute(0, 3, 1, 2)


def _rows(maps: Tensor) -> Tensor:
    """Return maps [B, n, H, W] as [B, 1, HW, n], contiguous: a view where they are channels_last.

    In another shape or memory order, PyTorch does not use its fused kernel on the CPU, and builds the hw x hw
    matrix.
    """
    return maps.permute(0, 2, 3, 1).contiguous().flatten(1, 2).unsqueeze(1)


def _silent(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 1x1 convolution that starts at zero."""
    layer = nn.Conv2d(inputs, outputs, 1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer

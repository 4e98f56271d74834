"""Shared by trunks: initialisation, rounded widths, layers by stride."""

from collections.abc import Sequence

from torch import nn


def initialise(trunk: nn.Module) -> None:
    """Initialise the convolutions without bias (before a normalisation) as He et al. (ICCV 2015).

    With "fan out", which preserves the variance of gradients.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def rounded(channels: float) -> int:
    """Return the multiple of 8 nearest to a number of channels, at least 90 % of it (MobileNetV2, V3)."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def grouped_by_stride(
    strides: Sequence[int], channels: Sequence[int]
) -> tuple[dict[str, list[str]], dict[str, int], dict[str, int]]:
    """Group consecutive modules: each stride of 2, except the stem's, begins a new layer.

    Args:
        strides: stride of each module of ``features``; the first is the stem.
        channels: number of output channels of each.

    Returns:
        ``parts`` (with the stem), ``channels`` and ``strides`` of a trunk.
    """
    parts: dict[str, list[str]] = {}
    outputs: dict[str, int] = {}
    reached: dict[str, int] = {}
    total, layer = 1, "stem"
    for number, (stride, width) in enumerate(zip(strides, channels, strict=True)):
        total *= stride
        if stride == 2 and number:
            layer = f"layer{len(parts)}"
        parts.setdefault(layer, []).append(f"features.{number}")
        outputs[layer], reached[layer] = width, total
    del outputs["stem"], reached["stem"]
    return parts, outputs, reached

"""What trunks share: how they begin where no weights are loaded, rounded widths, layers by stride."""

from collections.abc import Sequence

from torch import nn


def initialise(trunk: nn.Module) -> None:
    """Draw the convolutions without bias, which a normalisation follows, as He et al. (ICCV 2015) do.

    By "fan out", which keeps the variance of gradients.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def rounded(channels: float) -> int:
    """Return the multiple of 8 next to a number of channels, and never below 90 % of it (MobileNetV2, V3)."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def grouped_by_stride(
    strides: Sequence[int], channels: Sequence[int]
) -> tuple[dict[str, list[str]], dict[str, int], dict[str, int]]:
    """Group modules that follow each other: each stride of 2 after the stem's begins a layer.

    Args:
        strides: of the modules of ``features``, the first of them the stem's.
        channels: of their outputs.

    Returns:
        ``parts`` (the stem among them), ``channels`` and ``strides`` of a trunk.
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

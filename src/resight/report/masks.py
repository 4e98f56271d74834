"""Sharp attention's features before and after a mask, beside a soft gate (Sharp, Figs. 2 and 6)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resight.imaging import Pixels
from resight.models.attention.sharp import Sharp
from resight.models.network import Network
from resight.report.attention import View, heat_view, inputs_of
from resight.report.pictures import coloured

CERTAIN = 0.1
"""Values of a mask this near to 0 or 1 count as decided."""


@dataclass(frozen=True, slots=True)
class Masked:
    """Features before and after the masks of one block.

    Attributes:
        place: of the block, such as ``layer1``.
        raw: features before the mask [N, C, h, w].
        masks: kind, ``sharp`` or ``soft`` for example -> mask [N, C, h, w]; the block's own comes last.
        gated: whether the soft gate is ours: the sigmoid of what the block samples from.
    """

    place: str
    raw: Tensor
    masks: dict[str, Tensor]
    gated: bool

    def decided(self) -> str:
        """Return the share of each mask's values near 0 or 1."""
        shares = {
            kind: float(((mask < CERTAIN) | (mask > 1 - CERTAIN)).float().mean())
            for kind, mask in self.masks.items()
        }
        return ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in shares.items())


def first_masks(model: Network, pixels: Pixels, gate: bool) -> Masked | None:
    """Return features and masks of the first block of sharp attention; None without one.

    Args:
        model: in evaluation mode.
        pixels: uint8 [N, H, W, 3] at the model's input size.
        gate: for a mask of another kind, also return the soft gate that the same features would give.
    """
    blocks = inputs_of(model, (Sharp,), pixels)
    if not blocks:
        return None
    place, (module, features) = next(iter(blocks.items()))
    assert isinstance(module, Sharp)
    gated = gate and module.mask != "soft"
    with torch.inference_mode():
        soft = {"soft": torch.sigmoid(module.context(features)).float().cpu()} if gated else {}
        masks = soft | {module.mask: module(features)[1].float().cpu()}
    return Masked(place, features.float().cpu(), masks, gated)


def mask_views(masked: Masked, crops: Pixels) -> list[list[View]]:
    """Return for each crop its features, raw and under each mask, and one channel of each mask.

    Features are means over channels; the channel is the one whose own mask varies most over the positions.

    Args:
        masked: from ``first_masks``.
        crops: uint8 [N, H, W, 3], at the size of the views.
    """
    *_, own = masked.masks.values()
    channels = own.var((2, 3)).argmax(1).tolist()
    features = {"raw": masked.raw} | {kind: masked.raw * mask for kind, mask in masked.masks.items()}
    means = {f"{kind}\nfeatures": values.mean(1).numpy() for kind, values in features.items()}
    views = []
    for index, (crop, channel) in enumerate(zip(crops, channels, strict=True)):
        size = crop.shape[0], crop.shape[1]
        heats = [heat_view(name, crop, values[index]) for name, values in means.items()]
        one_channel = [
            _mask_view(kind, mask[index, channel].numpy(), channel, size)
            for kind, mask in masked.masks.items()
        ]
        views.append([*heats, *one_channel])
    return views


def _mask_view(kind: str, mask: NDArray[np.float32], channel: int, size: tuple[int, int]) -> View:
    return View(f"{kind}\nmask", coloured(mask, size), note=f"channel {channel}")

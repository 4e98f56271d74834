"""A model's attention: its hard regions and soft maps over some crops."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from resight.imaging import Pixels
from resight.models.network import Network
from resight.report.pictures import data_uri, heat_overlay

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class View:
    """One picture of a crop.

    Attributes:
        name: of the map or of the regions in the model.
        picture: data URI.
        boxes: regions as (left, top, width, height) in fractions, clipped to the image; none on a map.
        note: range of a map's values.
    """

    name: str
    picture: str
    boxes: tuple[Box, ...] = ()
    note: str = ""


def attention_views(model: Network, pixels: Pixels) -> list[list[View]]:
    """Return for each crop its views: the regions and the map of each level, level by level.

    Empty lists for a model without attention.

    Args:
        model: in evaluation mode.
        pixels: uint8 [N, H, W, 3] at the model's input size.
    """
    device = next(model.parameters()).device
    with torch.inference_mode():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
        found = model(model.normalise(images))
    maps = {
        name: (value.mean(1) if value.ndim == 4 else value).float().cpu().numpy()
        for name, value in found.attention.items()
    }
    regions = {name: value.float().cpu().tolist() for name, value in found.regions.items()}
    views: list[list[View]] = []
    for index, crop in enumerate(pixels):
        plain = data_uri(crop)
        hard = [View(_spaced(name), plain, cut_boxes(boxes[index])) for name, boxes in regions.items()]
        soft = [
            View(
                _spaced(name),
                data_uri(heat_overlay(crop, heat[index])),
                note=f"{heat[index].min():.2f}–{heat[index].max():.2f}",
            )
            for name, heat in maps.items()
        ]
        views.append(_interleaved(hard, soft))
    return views


def cut_boxes(boxes: Sequence[Sequence[float]]) -> tuple[Box, ...]:
    """Convert (left, top, right, bottom) to (left, top, width, height), clipped to the image."""
    cut = np.clip(np.asarray(boxes, dtype=np.float64), 0, 1)
    return tuple((left, top, right - left, bottom - top) for left, top, right, bottom in cut.tolist())


def _spaced(name: str) -> str:
    """Return ``level 1`` for ``level1``."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", name)


def _interleaved(hard: list[View], soft: list[View]) -> list[View]:
    """Return regions and map of each level side by side, as in the paper's Fig. 7."""
    if len(hard) != len(soft):
        return [*hard, *soft]
    return [view for pair in zip(hard, soft, strict=True) for view in pair]

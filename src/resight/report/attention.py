"""A model's attention: its hard regions and soft maps over some crops."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resight.imaging import Pixels
from resight.models.network import Network
from resight.models.representation import Representation
from resight.report.pictures import data_uri, heat_overlay, range_note

Box = tuple[float, float, float, float]
Point = tuple[float, float]
"""(x, y) in fractions of the image, from its upper left corner."""


@dataclass(frozen=True, slots=True)
class View:
    """One picture of a crop.

    Attributes:
        name: of the map or of the regions in the model.
        pixels: uint8 [H, W, 3].
        boxes: regions as (left, top, width, height) in fractions, clipped to the image; none on a map.
        note: range of a map's values.
        points: a reference point, then the points that it attends to most.
        frame: of a crop in a ranked list.
    """

    name: str
    pixels: Pixels
    boxes: tuple[Box, ...] = ()
    note: str = ""
    points: tuple[Point, ...] = ()
    frame: Literal["", "query", "right", "wrong"] = ""

    @property
    def picture(self) -> str:
        """Its pixels as data URI."""
        return data_uri(self.pixels)


def represent(model: Network, pixels: Pixels) -> Representation:
    """Return the output of a model in evaluation mode for crops uint8 [N, H, W, 3] at its input size."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
        found: Representation = model(model.normalise(images))
    return found


def inputs_of(
    model: Network, kinds: tuple[type[torch.nn.Module], ...], pixels: Pixels
) -> dict[str, tuple[torch.nn.Module, Tensor]]:
    """Return the modules of some kinds and their inputs for crops, by place, such as ``layer2``."""
    found: dict[str, tuple[torch.nn.Module, Tensor]] = {}

    def hook(place: str) -> torch.utils.hooks.RemovableHandle:
        def keep(module: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
            found[place] = module, given[0]

        return modules[place].register_forward_pre_hook(keep)

    modules = {_place(path): module for path, module in model.named_modules() if isinstance(module, kinds)}
    handles = [hook(place) for place in modules]
    try:
        represent(model, pixels)
    finally:
        for handle in handles:
            handle.remove()
    return found


def attention_views(model: Network, pixels: Pixels, drawn: Pixels | None = None) -> list[list[View]]:
    """Return for each crop its views: the regions and the map of each level, level by level.

    Empty lists for a model without attention.

    Args:
        model: in evaluation mode.
        pixels: uint8 [N, H, W, 3] at the model's input size.
        drawn: the same crops at the size of the views; by default at the input size.
    """
    found = represent(model, pixels)
    maps = {
        name: (value.mean(1) if value.ndim == 4 else value).float().cpu().numpy()
        for name, value in found.attention.items()
    }
    regions = {name: value.float().cpu().tolist() for name, value in found.regions.items()}
    views: list[list[View]] = []
    for index, crop in enumerate(pixels if drawn is None else drawn):
        hard = [View(_spaced(name), crop, cut_boxes(boxes[index])) for name, boxes in regions.items()]
        soft = [heat_view(_spaced(name), crop, heat[index]) for name, heat in maps.items()]
        views.append(_interleaved(hard, soft))
    return views


def heat_view(name: str, crop: Pixels, heat: NDArray[np.float32]) -> View:
    """Return a map [h, w] over a crop, with the range of its values."""
    return View(name, heat_overlay(crop, heat), note=range_note(float(heat.min()), float(heat.max())))


def cut_boxes(boxes: Sequence[Sequence[float]]) -> tuple[Box, ...]:
    """Convert (left, top, right, bottom) to (left, top, width, height), clipped to the image."""
    cut = np.clip(np.asarray(boxes, dtype=np.float64), 0, 1)
    return tuple((left, top, right - left, bottom - top) for left, top, right, bottom in cut.tolist())


def _place(path: str) -> str:
    """Return ``layer2`` for ``attentions.layer2.0``, and ``layer2.2`` for ``attentions.layer2.1``."""
    *_, layer, number = path.split(".")
    return layer.rstrip("_") + (f".{int(number) + 1}" if int(number) else "")


def _spaced(name: str) -> str:
    """Return ``level 1`` for ``level1``."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", name)


def _interleaved(hard: list[View], soft: list[View]) -> list[View]:
    """Return regions and map of each level side by side, as in the paper's Fig. 7."""
    if len(hard) != len(soft):
        return [*hard, *soft]
    return [view for pair in zip(hard, soft, strict=True) for view in pair]

"""Attention between positions: what a reference point attends to (SONA, Fig. 3)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from resight.imaging import Pixels
from resight.models.attention.second_order import NonLocal, SecondOrder
from resight.models.network import Network
from resight.report.attention import Point, View, heat_view, inputs_of

KINDS = (SecondOrder, NonLocal)

POINTS: tuple[Point, ...] = ((0.5, 0.12), (0.5, 0.35), (0.45, 0.7), (0.1, 0.95))
"""In an upright crop: about the head, the chest, a knee, and the ground."""

Weights = NDArray[np.float32]


def position_weights(model: Network, pixels: Pixels) -> dict[str, Weights]:
    """Return how much each position attends to each, as multiples of uniform attention, by module.

    Args:
        model: in evaluation mode.
        pixels: uint8 [N, H, W, 3] at the model's input size.

    Returns:
        place of the module, such as ``layer2`` -> [N, h, w, h, w]; empty without such a module.
    """
    weights = {}
    for place, (module, given) in inputs_of(model, KINDS, pixels).items():
        assert isinstance(module, KINDS)
        count, _, height, width = given.shape
        with torch.inference_mode():
            found = module.pairwise(given).float() * height * width
        weights[place] = found.view(count, height, width, height, width).cpu().numpy()
    return weights


def point_views(
    place: str, weights: Weights, crops: Pixels, points: Sequence[Point], related: int
) -> list[list[View]]:
    """Return for each crop a view of each reference point.

    Args:
        place: of the module.
        weights: of the module, from ``position_weights``.
        crops: uint8 [N, H, W, 3].
        points: reference points, in fractions.
        related: number of the most related positions to mark, without the reference position itself.
    """
    height, width = weights.shape[1:3]
    views = []
    for crop, own in zip(crops, weights, strict=True):
        row_views = []
        for x, y in points:
            row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
            heat = own[row, column]
            order = [int(at) for at in np.argsort(-heat, axis=None) if at != row * width + column][:related]
            places = [(row, column), *(divmod(at, width) for at in order)]
            marked = tuple(((right + 0.5) / width, (down + 0.5) / height) for down, right in places)
            row_views.append(replace(heat_view(f"{place} from\n{x:g}, {y:g}", crop, heat), points=marked))
        views.append(row_views)
    return views

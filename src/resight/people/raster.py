"""A z-buffer rasteriser in numpy: triangles to rows, rows to fragments, the nearest fragment of each sample wins."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Fragments:
    """What each covered sample shows.

    Attributes:
        sample: [n] index ``row * width + column``, ascending, each once.
        face: [n] index of the triangle that is seen there.
        weights: [n, 3] barycentric weights of the triangle's corners.
        nearness: [n] the interpolated nearness.
        seen_alone: [g] how many samples each group would cover if there were no other group.
    """

    sample: Integers
    face: Integers
    weights: Floats
    nearness: Floats
    seen_alone: Integers


def rasterise(
    points: Floats,
    nearness: Floats,
    faces: Integers,
    size: tuple[int, int],
    *,
    two_sided: npt.NDArray[np.bool_] | None = None,
    cut: Floats | None = None,
    groups: Integers | None = None,
) -> Fragments:
    """Find the nearest triangle at the centre of every sample.

    Args:
        points: [v, 2] x to the right and y downwards, in samples.
        nearness: [v] a quantity that is linear over the picture and larger where nearer (the inverse of the depth).
        faces: [f, 3] corners, anticlockwise on the picture where the front is seen.
        size: rows and columns.
        two_sided: [f] triangles whose back is drawn too; without it, none.
        cut: [v] a triangle is left out where the interpolated value is negative (a clean hem through coarse triangles).
        groups: [f] number of the thing that a triangle belongs to; counted in ``seen_alone``.
    """
    height, width = size
    corners = points.astype(np.float64)[faces]
    (ax, ay), (bx, by), (cx, cy) = (corners[:, k].T for k in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    drawn = area < -1e-9
    if two_sided is not None:
        drawn |= two_sided & (area > 1e-9)
    low, high = corners.min(1), corners.max(1)
    first = np.maximum(np.ceil(low - 0.5), 0)
    last = np.minimum(np.floor(high - 0.5), (width - 1, height - 1))
    kept = np.flatnonzero(drawn & (first <= last).all(1))

    # weight_k(x, y) = slope_k * x + lift_k * y + base_k, one row of each for a triangle
    inverse = 1 / area[kept]
    ax, ay, bx, by, cx, cy = (value[kept] for value in (ax, ay, bx, by, cx, cy))
    slope = np.stack([by - cy, cy - ay, ay - by]) * inverse
    lift = np.stack([cx - bx, ax - cx, bx - ax]) * inverse
    base = np.stack([bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx]) * inverse

    top = first[kept, 1].astype(np.int64)
    triangle, row = _expand(top, last[kept, 1].astype(np.int64) - top + 1)
    at_row = lift[:, triangle] * (row + 0.5) + base[:, triangle]
    slopes = slope[:, triangle]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -at_row / slopes
    begin = np.where(slopes > 0, crossing, np.where((slopes == 0) & (at_row < 0), np.inf, -np.inf)).max(0)
    end = np.where(slopes < 0, crossing, np.inf).min(0)
    left = np.ceil(np.clip(begin - 0.5, 0, width)).astype(np.int64)
    right = np.floor(np.clip(end - 0.5, -1, width - 1)).astype(np.int64)
    span, column = _expand(left, np.maximum(right - left + 1, 0))

    centre = (column + 0.5).astype(np.float32)
    index = row[span] * width + column
    at_corners = nearness[faces[kept]].astype(np.float64).T
    near = _along(at_corners, slope, at_row, triangle, span, centre)
    if cut is not None:
        values = cut[faces[kept]].astype(np.float64).T
        crosses = values.min(0) < 0
        inside = np.flatnonzero(
            ~crosses[triangle][span] | (_along(values, slope, at_row, triangle, span, centre) >= 0)
        )
        span, column, centre, index, near = (value[inside] for value in (span, column, centre, index, near))

    seen_alone = np.zeros(0, np.int64)
    if groups is not None:
        number = int(groups.max()) + 1 if len(groups) else 0
        covered = np.zeros(number * height * width, bool)
        covered[groups[kept][triangle[span]].astype(np.int64) * (height * width) + index] = True
        seen_alone = covered.reshape(number, height * width).sum(1)

    lowest = near.min(initial=np.inf)
    scale = (2**30) / max(float(near.max(initial=-np.inf) - lowest), 1e-30) if len(near) else 1.0
    key = ((near - lowest) * scale).astype(np.int64) << 32 | np.arange(len(near))
    best = np.full(height * width, -1, np.int64)
    np.maximum.at(best, index, key)
    sample = np.flatnonzero(best >= 0)
    winner = best[sample] & 0xFFFFFFFF

    span, centre = span[winner], centre[winner]
    weights = (at_row[:, span] + slopes[:, span] * centre).T.astype(np.float32)
    return Fragments(sample, kept[triangle[span]], weights, near[winner].astype(np.float32), seen_alone)


def _expand(start: Integers, count: Integers) -> tuple[Integers, Integers]:
    """Return, for runs ``start .. start + count - 1`` laid end to end, the run of each element and its value."""
    run = np.repeat(np.arange(len(count)), count)
    offset = np.cumsum(count) - count
    return run, np.arange(len(run)) + (start - offset)[run]


def _along(
    corners: Floats, slope: Floats, at_row: Floats, triangle: Integers, span: Integers, centre: Floats
) -> Floats:
    """Interpolate a quantity, [3, triangles] at the corners, at every fragment."""
    constant = np.einsum("kr,kr->r", corners[:, triangle], at_row)
    rate = (corners * slope).sum(0)[triangle]
    return constant[span] + rate[span] * centre

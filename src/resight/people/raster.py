"""A z-buffer rasteriser in NumPy: triangles to rows, rows to fragments; the nearest are kept."""

from dataclasses import dataclass

import numpy as np

from resight.people.arrays import Flags, Floats, Integers


@dataclass(frozen=True, slots=True)
class Fragments:
    """The visible surface at each covered sample.

    Attributes:
        sample: [n] index ``row * width + column``, ascending, each once.
        face: [n] index of the visible triangle.
        weights: [n, 3] barycentric weights of the triangle's corners.
        nearness: [n] the interpolated nearness.
        seen_alone: [g] samples that each group would cover without the others.
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
    two_sided: Flags | None = None,
    cut: Floats | None = None,
    groups: Integers | None = None,
) -> Fragments:
    """Find the nearest triangle at the centre of every sample.

    Args:
        points: [v, 2] x to the right and y downwards, in samples.
        nearness: [v] a quantity linear over the picture and larger for nearer points (the inverse of the
            depth).
        faces: [f, 3] corners, anticlockwise in the picture when seen from the front.
        size: rows and columns.
        two_sided: [f] triangles with a visible back; none by default.
        cut: [v] a triangle ends where the interpolated value is negative (a clean hem).
        groups: [f] number of the object of each triangle; counted in ``seen_alone``.
    """
    height, width = size
    across, down = np.ascontiguousarray(points.T, np.float64)
    facing, (ax, bx, cx), (ay, by, cy), area = _facing(across, down, faces, two_sided)
    left, right = np.minimum(np.minimum(ax, bx), cx), np.maximum(np.maximum(ax, bx), cx)
    top, bottom = np.minimum(np.minimum(ay, by), cy), np.maximum(np.maximum(ay, by), cy)
    first, last = np.ceil(np.maximum(top, 0) - 0.5), np.floor(np.minimum(bottom, height) - 0.5)
    begin, end = np.ceil(np.maximum(left, 0) - 0.5), np.floor(np.minimum(right, width) - 0.5)
    kept = np.flatnonzero((first <= last) & (begin <= end))
    ax, bx, cx, ay, by, cy, area = (values.take(kept) for values in (ax, bx, cx, ay, by, cy, area))
    origin = facing[kept]

    # weight_k(x, y) = slope_k * x + lift_k * y + base_k, one row per corner
    inverse = 1 / area
    slope = np.stack([by - cy, cy - ay, ay - by]) * inverse
    lift = np.stack([cx - bx, ax - cx, bx - ax]) * inverse
    base = np.stack([bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx]) * inverse

    start = first[kept].astype(np.int64)
    triangle, row = _expand(start, last[kept].astype(np.int64) - start + 1)
    slopes = slope.take(triangle, 1)
    at_row = lift.take(triangle, 1)
    at_row *= row + 0.5
    at_row += base.take(triangle, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -at_row / slopes
    # each edge bounds the row on one side; a horizontal one includes or excludes it whole
    lower = np.where(slopes > 0, crossing, np.where((slopes == 0) & (at_row < 0), np.inf, -np.inf))
    upper = np.where(slopes < 0, crossing, np.inf)
    begin = np.maximum(np.maximum(lower[0], lower[1]), lower[2])
    end = np.minimum(np.minimum(upper[0], upper[1]), upper[2])
    start = np.ceil(np.clip(begin - 0.5, 0, width)).astype(np.int64)
    stop = np.floor(np.clip(end - 0.5, -1, width - 1)).astype(np.int64)
    span, column = _expand(start, np.maximum(stop - start + 1, 0))

    centre = (column + 0.5).astype(np.float32)
    index = (row * width).take(span)
    index += column
    corners = np.ascontiguousarray(faces.take(origin, 0).T)
    near = _along(nearness[corners].astype(np.float64), slope, at_row, triangle, span, centre)
    if cut is not None:
        values = cut[corners].astype(np.float64)
        crosses = np.minimum(np.minimum(values[0], values[1]), values[2]) < 0
        if crosses.any():
            doubtful = np.flatnonzero(crosses.take(triangle).take(span))
            outside = _along(values, slope, at_row, triangle, span[doubtful], centre[doubtful]) < 0
            inside = np.ones(len(span), bool)
            inside[doubtful[outside]] = False
            span, centre, index, near = (value[inside] for value in (span, centre, index, near))

    seen_alone = np.zeros(0, np.int64)
    if groups is not None:
        number = int(groups.max()) + 1 if len(groups) else 0
        covered = np.zeros(number * height * width, bool)
        covered[(groups[origin] * (height * width)).take(triangle).take(span) + index] = True
        seen_alone = covered.reshape(number, height * width).sum(1)

    lowest = near.min(initial=np.inf)
    scale = (2**30) / max(float(near.max(initial=-np.inf) - lowest), 1e-30) if len(near) else 1.0
    key = ((near - lowest) * scale).astype(np.int64) << 32 | np.arange(len(near))
    best = np.full(height * width, -1, np.int64)
    np.maximum.at(best, index, key)
    sample = np.flatnonzero(best >= 0)
    winner = best[sample] & 0xFFFFFFFF

    span, centre = span[winner], centre[winner]
    weights = slopes.take(span, 1)
    weights *= centre
    weights += at_row.take(span, 1)
    face, nearest = origin[triangle[span]], near[winner].astype(np.float32)
    return Fragments(sample, face, weights.T.astype(np.float32), nearest, seen_alone)


def _facing(
    x: Floats, y: Floats, faces: Integers, two_sided: Flags | None
) -> tuple[Integers, tuple[Floats, ...], tuple[Floats, ...], Floats]:
    """Return the triangles to be drawn, their corners' x and y, and their signed areas (twice)."""
    corners = faces.T
    xs, ys = [x.take(corner) for corner in corners], [y.take(corner) for corner in corners]
    area = (xs[1] - xs[0]) * (ys[2] - ys[0]) - (ys[1] - ys[0]) * (xs[2] - xs[0])
    drawn = area < -1e-9
    if two_sided is not None:
        drawn |= two_sided & (area > 1e-9)
    facing = np.flatnonzero(drawn)
    return facing, tuple(v.take(facing) for v in xs), tuple(v.take(facing) for v in ys), area[facing]


def _expand(start: Integers, count: Integers) -> tuple[Integers, Integers]:
    """Return the run and the value of each entry of joined runs of ``count`` numbers from ``start``."""
    run = np.repeat(np.arange(len(count)), count)
    offset = np.cumsum(count) - count
    return run, np.arange(len(run)) + (start - offset).take(run)


def _along(
    corners: Floats, slope: Floats, at_row: Floats, triangle: Integers, span: Integers, centre: Floats
) -> Floats:
    """Interpolate a quantity, [3, triangles] at the corners, at every fragment."""
    there = corners.take(triangle, 1)
    constant = there[0] * at_row[0] + there[1] * at_row[1] + there[2] * at_row[2]
    rate = (corners[0] * slope[0] + corners[1] * slope[1] + corners[2] * slope[2]).take(triangle)
    value: Floats = rate.take(span)
    value *= centre
    value += constant.take(span)
    return value

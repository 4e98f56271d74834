"""Objects with flat faces (boxes, poles, railings, cars, bushes), behind and in front of people."""

from typing import Literal

import numpy as np

from resight.people.arrays import Floats, Integers
from resight.people.colours import Colour, linear
from resight.people.pose import about_z

Kind = Literal["pole", "bush", "box", "rail", "car"]


class Solid:
    """A mesh with one colour per face; see ``render.Actor``."""

    def __init__(self, vertices: Floats, faces: Integers, colours: Floats, base: tuple[float, float]) -> None:
        corners = vertices[faces]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-12
        self.vertices = corners.reshape(-1, 3).astype(np.float32)
        self.normals = np.repeat(across, 3, 0).astype(np.float32)
        self.faces = np.arange(len(self.vertices)).reshape(-1, 3)
        self.two_sided = np.zeros(len(faces), bool)
        self.cut = np.ones(len(self.vertices), np.float32)
        self.base = base
        self._colours = colours.astype(np.float32)

    def surface(self, faces: Integers, weights: Floats) -> tuple[Floats, Floats]:
        """See ``render.Actor``."""
        return self._colours[faces], np.zeros(len(faces), np.float32)


def paint_colour(random: np.random.Generator) -> Colour:
    """Draw the colour of an object in a street: mostly greyish."""
    colour = random.integers(25, 215, 3).astype(float)
    return linear(0.8 * colour.mean() + (colour - colour.mean()) * random.uniform(0, 0.4))


def solid(kind: Kind, x: float, y: float, size: float, colour: Colour, random: np.random.Generator) -> Solid:
    """Return an object of this kind that stands on the ground at (x, y)."""
    if kind == "bush":
        return _bush(x, y, size, random)
    yaw = random.uniform(-0.4, 0.4)
    boxes: list[tuple[tuple[float, float, float], tuple[float, float, float], Colour]]
    if kind == "pole":
        boxes = [((0, 0, 0), (0.11 * size, 0.11 * size, 4.0), colour)]
    elif kind == "box":
        high = 0.9 * size
        boxes = [
            ((0, 0, 0), (0.7 * size, 0.5, high), colour),
            ((0, 0, high), (0.74 * size, 0.54, 0.05), 0.6 * colour),
        ]
    elif kind == "car":
        glass = linear((50, 58, 66))
        boxes = [
            ((0, 0, 0.22), (3.8 * size, 1.6, 0.55), colour),
            ((0.1, 0, 0.77), (2.0 * size, 1.4, 0.42), glass),
            ((0.1, 0, 1.19), (1.9 * size, 1.35, 0.06), colour),
            ((-1.1 * size, 0, 0), (0.6, 1.62, 0.5), linear((25, 25, 25))),
            ((1.1 * size, 0, 0), (0.6, 1.62, 0.5), linear((25, 25, 25))),
        ]
    else:
        boxes = [((0.2 * k, 0, 0), (0.03, 0.03, 1.0), colour) for k in range(-6, 7)]
        boxes += [((0, 0, 0.98), (2.6, 0.05, 0.05), colour), ((0, 0, 0.12), (2.6, 0.04, 0.04), colour)]
    return cuboids([(place, extent, shade) for place, extent, shade in boxes], x, y, yaw)


def cuboids(
    boxes: list[tuple[tuple[float, float, float], tuple[float, float, float], Colour]],
    x: float,
    y: float,
    yaw: float,
) -> Solid:
    """Return upright boxes, each (centre of its base, extents, colour), rotated by ``yaw`` about (x, y)."""
    corner = np.array([(i, j, k) for k in (0, 1) for j in (-0.5, 0.5) for i in (-0.5, 0.5)])
    quads = np.array([(0, 1, 5, 4), (1, 3, 7, 5), (3, 2, 6, 7), (2, 0, 4, 6), (4, 5, 7, 6)])
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    vertices = np.concatenate([corner * extent + place for place, extent, _ in boxes])
    turned = vertices @ about_z(yaw).T + (x, y, 0)
    every = np.concatenate([faces + 8 * number for number in range(len(boxes))])
    colours = np.repeat([colour for _, _, colour in boxes], len(faces), 0)
    return Solid(turned, every, colours, (x, y))


def _bush(x: float, y: float, size: float, random: np.random.Generator) -> Solid:
    leaves = 420
    middle = random.normal(size=(leaves, 3))
    middle *= random.uniform(0.3, 1, (leaves, 1)) ** 0.5 / np.linalg.norm(middle, axis=1, keepdims=True)
    middle = middle * (0.5 * size, 0.4 * size, 0.5 * size) + (x, y, 0.5 * size)
    reach = random.normal(0, 0.075 * size**0.5, (leaves, 3, 3))
    reach -= reach.mean(1, keepdims=True)
    vertices = (middle[:, None] + reach).reshape(-1, 3)
    faces = np.arange(3 * leaves).reshape(-1, 3)
    inner = np.linalg.norm((middle - (x, y, 0.5 * size)) / size, axis=1)
    tone = np.exp(random.normal(0, 0.3, leaves)) * (0.35 + 1.3 * inner)
    colours = linear(random.uniform((50, 70, 30), (85, 100, 55)))[None] * tone[:, None]
    result = Solid(vertices, faces, colours, (x, y))
    result.two_sided[:] = True
    return result

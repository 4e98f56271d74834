"""Rendering posed surfaces: one rasterisation, paint and light at each sample, samples to pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from resight.people.arrays import Flags, Floats, Integers
from resight.people.body import Body
from resight.people.camera import Camera
from resight.people.figure import Figure
from resight.people.paint import paint
from resight.people.person import Person
from resight.people.pose import Gait, about_z, skeleton, skin, transforms
from resight.people.raster import rasterise

TEXEL = 0.014
"""Size of a shadow map's texel in metres."""


class Actor(Protocol):
    """Something in front of a camera: a mesh in the world, with the colour of its surface.

    Attributes:
        vertices, normals: [v, 3]. faces: [f, 3]. two_sided: [f]. cut: [v], see ``rasterise``.
        base: x, y on the ground.
    """

    vertices: Floats
    normals: Floats
    faces: Integers
    two_sided: Flags
    cut: Floats
    base: tuple[float, float]

    def surface(self, faces: Integers, weights: Floats) -> tuple[Floats, Floats]:
        """Return albedo [n, 3] and gloss [n] at these faces and barycentric weights."""


class Posed:
    """A person at a place."""

    def __init__(
        self, person: Person, figure: Figure, body: Body, gait: Gait, place: tuple[float, float], yaw: float
    ) -> None:
        rotations, places = skeleton(body, figure.joints, gait)
        turn = about_z(yaw)
        moves = transforms(figure.joints, turn @ rotations, places @ turn.T)
        self.vertices, self.normals = skin(
            figure.vertices, figure.normals, figure.bones, figure.weights, moves
        )
        self.vertices += np.array([*place, -self.vertices[:, 2].min()], np.float32)
        self.faces, self.two_sided, self.cut = figure.faces, figure.two_sided, figure.cut
        self.base = place
        self._person, self._figure = person, figure

    def surface(self, faces: Integers, weights: Floats) -> tuple[Floats, Floats]:
        """See ``Actor``."""
        chart = blend(self._figure.chart, self.faces.take(faces, 0), weights)
        return paint(self._person, self._figure.part[faces], chart)


@dataclass(frozen=True)
class Picture:
    """A window of a camera's view of the actors.

    Attributes:
        colour: [h, w, 3] linear light, already times the cover. cover: [h, w], 0 to 1.
        shadow: [h, w] share of the sun's light that the actors block on the ground.
        visible: [a] share of each actor's samples in the window that are not hidden by other actors.
    """

    colour: Floats
    cover: Floats
    shadow: Floats
    visible: Floats


def blend(values: Floats, corners: Integers, weights: Floats) -> Floats:
    """Interpolate rows [v, c] at corners [n, 3] by weights [n, 3]."""
    result = values.take(corners[:, 0], 0) * weights[:, :1]
    result += values.take(corners[:, 1], 0) * weights[:, 1:2]
    result += values.take(corners[:, 2], 0) * weights[:, 2:]
    return result


def render(
    actors: Sequence[Actor],
    camera: Camera,
    window: tuple[int, int, int, int],
    supersample: float,
    *,
    shadows: bool = True,
) -> Picture:
    """Draw the actors.

    Args:
        window: left, top, width, height in pixels of the camera's picture.
        supersample: samples along each side of a pixel: a whole number or 1.5.
        shadows: whether the actors shade themselves, each other and the ground.
    """
    left, top, width, height = window
    starts = np.cumsum([0] + [len(actor.vertices) for actor in actors])
    vertices = np.concatenate([actor.vertices for actor in actors])
    normals = np.concatenate([actor.normals for actor in actors])
    faces = np.concatenate([actor.faces + start for actor, start in zip(actors, starts, strict=False)])
    groups = np.repeat(np.arange(len(actors)), [len(actor.faces) for actor in actors])
    two_sided = np.concatenate([actor.two_sided for actor in actors])
    cut = np.concatenate([actor.cut for actor in actors])

    points, depth = camera.project(vertices)
    points = (points - (left, top)) * supersample
    columns, rows = _samples(width, supersample), _samples(height, supersample)
    seen = rasterise(points, 1 / depth, faces, (rows, columns), two_sided=two_sided, cut=cut, groups=groups)
    corners, weights = faces.take(seen.face, 0), seen.weights
    normal = blend(normals, corners, weights)
    normal /= np.sqrt(np.einsum("nc,nc->n", normal, normal))[:, None] + 1e-6
    ray_x = (seen.sample % columns + 0.5) / supersample + left - camera.frame[1] / 2
    ray_y = camera.frame[0] / 2 - top - (seen.sample // columns + 0.5) / supersample
    position = _unproject(camera, ray_x, ray_y, 1 / seen.nearness)
    if two_sided.any():
        away = two_sided[seen.face] & (np.einsum("nc,nc->n", normal, position - (0, 0, camera.height)) > 0)
        normal[away] *= -1

    light = camera.light
    group = groups[seen.face]
    albedo, gloss = np.empty((len(group), 3), np.float32), np.empty(len(group), np.float32)
    first = np.cumsum([0] + [len(actor.faces) for actor in actors])
    for number, actor in enumerate(actors):
        here = np.flatnonzero(group == number)
        albedo[here], gloss[here] = actor.surface(seen.face.take(here) - first[number], weights.take(here, 0))
    facing = np.clip(normal @ light.direction.astype(np.float32), 0, 1)
    shadow = np.zeros((height, width), np.float32)
    if shadows:
        cast = ShadowMap(vertices, faces, light.direction)
        facing *= 1 - light.hard * cast.blocked(position, 0.03)
        shadow = _on_ground(cast, actors, camera, window)
    sunlit = np.array([camera.sunlit(*actor.base) for actor in actors], np.float32)
    tint = np.stack(
        [np.exp(camera.glow * actor.base[0] / max(4.0, actor.base[1])) for actor in actors]
    ).astype(np.float32)
    up = (0.5 + 0.5 * normal[:, 2])[:, None]
    sun = light.sun.astype(np.float32)
    received = light.sky.astype(np.float32) * up + light.ground.astype(np.float32) * (1 - up)
    received += sun * (facing * sunlit[group])[:, None]
    colour = albedo * received + sun * (gloss * facing**8)[:, None]
    colour *= tint.take(group, 0)

    samples = np.zeros((rows * columns, 4), np.float32)
    samples[seen.sample, :3] = colour
    samples[seen.sample, 3] = 1
    pixels = _average(samples.reshape(rows, columns, 4), supersample)[:height, :width]
    visible = np.bincount(group, minlength=len(actors)) / np.maximum(seen.seen_alone, 1)
    return Picture(pixels[..., :3], pixels[..., 3], shadow, visible)


def _samples(pixels: int, side: float) -> int:
    """Return the samples of so many pixels; of 1.5 a pixel, three make two pixels."""
    return 3 * -(-pixels // 2) if side == 1.5 else int(pixels * side)


def _average(samples: Floats, side: float) -> Floats:
    """Return means over squares of this side, by slices: NumPy reduces short axes slowly."""
    if side == 1.5:  # the middle of three samples belongs half to either pixel
        for axis in (0, 1):
            first, middle, last = (np.moveaxis(samples, axis, 0)[k::3] for k in range(3))
            pair = np.stack([first + 0.5 * middle, 0.5 * middle + last], 1) / np.float32(side)
            samples = np.moveaxis(pair.reshape(-1, *pair.shape[2:]), 0, axis)
        return samples
    whole = int(side)
    lines: Floats = np.zeros((len(samples) // whole, *samples.shape[1:]), np.float32)
    for k in range(whole):
        lines += samples[k::whole]
    pixels: Floats = np.zeros((len(lines), lines.shape[1] // whole, lines.shape[2]), np.float32)
    for k in range(whole):
        pixels += lines[:, k::whole]
    pixels /= whole**2
    return pixels


def _unproject(camera: Camera, across: Floats, up: Floats, depth: Floats) -> Floats:
    sin, cos = np.sin(camera.pitch), np.cos(camera.pitch)
    scale = depth / camera.focal
    rise = up * scale
    points = np.stack([across * scale, cos * depth + sin * rise, camera.height - sin * depth + cos * rise], 1)
    return points.astype(np.float32)


class ShadowMap:
    """Shadow map: for each texel across the sun's direction, the nearness of the first surface."""

    def __init__(self, vertices: Floats, faces: Integers, direction: Floats) -> None:
        right: Floats = np.cross(direction, (0, 0, 1))
        right = right / np.linalg.norm(right)
        self.axes = np.stack([right, np.cross(-direction, right), direction]).astype(np.float32)
        seen = vertices @ self.axes.T
        self.origin = seen[:, :2].min(0) - 2 * TEXEL
        self.columns, self.rows = np.minimum(
            np.ceil((seen[:, :2].max(0) - self.origin) / TEXEL) + 2, 600
        ).astype(int)
        found = rasterise((seen[:, :2] - self.origin) / TEXEL, seen[:, 2], faces, (self.rows, self.columns))
        self.height = np.full(self.rows * self.columns, -np.inf, np.float32)
        self.height[found.sample] = found.nearness

    def blocked(self, points: Floats, slack: float) -> Floats:
        """Return 1 for points [n, 3] behind a surface more than ``slack`` metres nearer the sun, else 0."""
        place = points @ self.axes.T
        column = ((place[:, 0] - self.origin[0]) / TEXEL).astype(np.int64)
        row = ((place[:, 1] - self.origin[1]) / TEXEL).astype(np.int64)
        inside = (column >= 0) & (column < self.columns) & (row >= 0) & (row < self.rows)
        texel = np.where(inside, row * self.columns + column, 0)
        hidden: Floats = (inside & (self.height.take(texel) > place[:, 2] + slack)).astype(np.float32)
        return hidden


def _on_ground(
    cast: ShadowMap, actors: Sequence[Actor], camera: Camera, window: tuple[int, int, int, int]
) -> Floats:
    """Return the actors' darkening of the ground: the sun's shadow, and slightly under their feet."""
    rays = camera.rays(*window)
    distance = camera.height / np.maximum(-rays[..., 2], 1e-3)
    ground = rays * distance[..., None]
    ground[..., 2] = 0
    hard = camera.light.hard
    dark = cast.blocked(ground.reshape(-1, 3), 0.0).reshape(ground.shape[:2])
    for _ in range(1 if hard > 0.6 else 3):
        padded = np.pad(dark, 1, mode="edge")
        dark = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] + 2 * dark) / 6
    dark *= 0.6 * hard + 0.05
    for actor in actors:
        away = (ground[..., 0] - actor.base[0]) ** 2 + (ground[..., 1] - actor.base[1]) ** 2
        dark = 1 - (1 - dark) * (1 - 0.3 * np.exp(-away / 0.07))
    return dark

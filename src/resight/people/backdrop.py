"""The scene of a camera: paved ground, a wall with shops or windows, street furniture."""

from itertools import repeat

import numpy as np

from resight.people.arrays import Floats
from resight.people.camera import Camera
from resight.people.colours import linear
from resight.people.factors import PLAIN, Factors
from resight.people.render import render
from resight.people.scenes import dapple, varied_ground, varied_wall
from resight.people.solids import Kind, Solid, paint_colour, solid
from resight.people.textures import GROUND, PER_METRE, WALL, plain_ground, plain_wall
from resight.seeds import derive_seed


def paint_backdrop(seed: int, number: int, camera: Camera, factors: Factors = PLAIN) -> Floats:
    """Return the empty picture of a camera, linear light, float16 [rows, columns, 3]."""
    random = np.random.default_rng(derive_seed(seed, "backdrop", number))
    rows, columns = camera.frame
    light = camera.light
    rays = camera.rays(0, 0, columns, rows)
    reach = camera.height / np.maximum(-rays[..., 2], 1e-4)
    x, y = rays[..., 0] * reach, rays[..., 1] * reach
    turn = random.uniform(0, np.pi / 2)
    u, v = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    blur = np.log2(
        np.maximum(PER_METRE * reach / camera.focal * np.sqrt(np.maximum(reach / camera.height, 1)), 1)
    )
    own = np.random.default_rng(derive_seed(seed, "scene factors", number))
    varied = own.random() < factors.scenes
    plain = plain_ground(random)
    picture = _sample(varied_ground(own) if varied else plain, u, v, blur)
    sun = light.sun * light.direction[2]
    glow = np.exp(camera.glow * np.clip(rays[..., :1], -1, 1))
    bright = camera.sunlit(x, y) * dapple(own, u, v) if varied else camera.sunlit(x, y)
    picture *= (light.sky + sun * bright[..., None]) * glow

    slant, away = random.normal(0, 0.4), camera.far + random.uniform(0.5, 6)
    if varied:
        slant, away = own.normal(0, 0.8), camera.near + own.uniform(0.3, 1.2) * (camera.far - camera.near) + 1
    across, ahead = np.sin(slant), np.cos(slant)
    towards = rays[..., 0] * across + rays[..., 1] * ahead
    to_wall = away / np.maximum(towards, 1e-3)
    high = camera.height + rays[..., 2] * to_wall
    wall = (towards > 0) & ((to_wall < reach) | (rays[..., 2] >= 0)) & (high >= 0)
    along = (rays[..., 0] * ahead - rays[..., 1] * across) * to_wall
    row = np.clip(WALL[0] - 1 - high * PER_METRE, 0, WALL[0] - 1).astype(int)
    column = (np.clip(along * PER_METRE, -1e6, 1e6)).astype(int) % WALL[1]
    lit = light.sky * 0.6 + light.sun * random.uniform(0.1, 0.7)
    plain = plain_wall(random)
    if varied:
        plain, lit = varied_wall(own), lit * own.uniform(0.3, 2)
    picture[wall] = (plain[row, column] * lit * glow)[wall]
    if light.kind != "indoor":
        sky = wall & (high > random.uniform(3.5, 8))
        picture[sky] = linear((205, 215, 225)) * 1.1

    things = _furniture(random, camera)
    if varied:
        things += _furniture(own, camera, "rail")
    if things:
        seen = render(things, camera, (0, 0, columns, rows), 2, shadows=False)
        picture = picture * (1 - seen.cover[..., None]) + seen.colour
    return np.clip(picture, 0, 2).astype(np.float16)


def _furniture(random: np.random.Generator, camera: Camera, more: Kind | None = None) -> list[Solid]:
    kinds: list[Kind] = [] if more is None else [more] * int(random.integers(0, 5))
    kinds += repeat("box", int(random.integers(1, 5)))
    kinds += repeat("pole", int(random.integers(0, 4)))
    if camera.light.kind != "indoor":
        kinds += repeat("bush", int(random.integers(0, 5)))
        kinds += repeat("car", int(random.integers(0, 3)))
    things = []
    for kind in kinds:
        y = random.uniform(camera.near + 2, camera.far + 4)
        x = random.uniform(-1, 1) * (3 + camera.half_width(y))
        if kind != "pole" and abs(x) < 2.2 and y < camera.far:
            y = camera.far + random.uniform(0, 3)
        size = random.uniform(0.8, 2.6) if kind == "bush" else random.uniform(0.7, 1.3)
        things.append(solid(kind, x, y, size, paint_colour(random), random))
    return things


def _sample(texture: Floats, u: Floats, v: Floats, level: Floats) -> Floats:
    """Look up a repeating square texture at positions in metres, each at its own level (log2 of texels)."""
    result = np.empty((*u.shape, 3), np.float32)
    chosen = np.clip(np.round(level), 0, 5).astype(int)
    for step in range(6):
        here = chosen == step
        size = len(texture)
        scale = size / GROUND * PER_METRE
        rows, columns = (np.floor(np.clip(w[here], -1e4, 1e4) * scale).astype(int) % size for w in (v, u))
        result[here] = texture[rows, columns]
        texture = texture.reshape(size // 2, 2, size // 2, 2, 3).mean((1, 3))
    return result

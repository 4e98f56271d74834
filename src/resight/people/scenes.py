"""Textures of grounds and walls of many kinds: stronger grain, patterns and contrasts than the plain ones."""

from collections.abc import Callable

import numpy as np

from resight.people.arrays import Floats
from resight.people.colours import linear
from resight.people.textures import GROUND, PER_METRE, WALL, noise


def varied_ground(random: np.random.Generator) -> Floats:
    """Return a tile of 16 m: slabs, planks, gratings, checks or bare, each with grain and stains."""
    tile = _base(random, (GROUND, GROUND))
    rows, columns = np.mgrid[:GROUND, :GROUND]
    kind = random.choice(["bare", "slabs", "planks", "grating", "checks"], p=[0.3, 0.3, 0.18, 0.08, 0.14])
    if kind == "slabs":
        _slabs(random, tile, int(random.integers(16, 130)), int(random.integers(16, 130)))
    elif kind == "planks":
        _slabs(random, tile, int(random.integers(5, 22)), GROUND)
    elif kind == "grating":
        period = int(random.integers(4, 14))
        tile *= np.where(rows % period < period / 2, 1, random.uniform(0.3, 0.8))[..., None]
    elif kind == "checks":
        side = int(random.integers(16, 70))
        odd = (rows // side + columns // side) % 2 == 1
        tile[odd] *= linear(random.uniform(60, 255, 3) * 0.3 + random.uniform(60, 255) * 0.7) + 0.1
    for _ in range(int(random.integers(0, 4))):  # painted lines and tactile paving
        start, wide = int(random.integers(GROUND)), int(random.integers(4, 40))
        colour = linear(((220, 220, 212), (205, 175, 70), (60, 60, 62))[random.integers(3)])
        (tile if random.random() < 0.5 else tile.transpose(1, 0, 2))[start : start + wide] = colour
    tile *= _grain(random, (GROUND, GROUND), random.uniform(0.03, 0.22))
    return tile.clip(0.003, 1)


def varied_wall(random: np.random.Generator) -> Floats:
    """Return a wall, 8 m high and 32 m long, of sections of different kinds."""
    wall = _base(random, WALL)
    kinds: tuple[Callable[[np.random.Generator, Floats], None], ...] = (
        _panels, _bricks, _fence, _windows, _posters, _shutter, _hedge, _plain,
    )  # fmt: skip
    column = 0
    while column < WALL[1]:
        width = int(random.uniform(90, 700))
        section = wall[:, column : column + width]
        section *= random.uniform(0.4, 1.5)
        edge = WALL[0] - int(random.uniform(50, 240))
        for part in (section[edge:], section[:edge]):
            kinds[random.integers(len(kinds))](random, part)
        section[:, : int(random.integers(1, 10))] *= random.uniform(0.2, 1.5)
        column += width
    wall *= _grain(random, WALL, random.uniform(0.02, 0.15))
    return wall.clip(0.003, 1)


def dapple(random: np.random.Generator, u: Floats, v: Floats) -> Floats:
    """Return the share of the sun's light at places in metres under leaves or lattices; often all of it."""
    if random.random() < 0.6:
        return np.ones(u.shape, np.float32)
    size = int(random.integers(12, 60))
    pattern = np.clip(0.5 + 2 * noise(random, 512, 512, ((size, 1.0), (size // 3 + 1, 0.5))), 0.1, 1)
    rows, columns = ((np.clip(w, -1e4, 1e4) * PER_METRE / 2).astype(int) % 512 for w in (v, u))
    share: Floats = pattern[rows, columns]
    return share


def _base(random: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Return a greyish surface of any brightness."""
    colour = random.uniform(0, 1, 3)
    muted = colour.mean() + (colour - colour.mean()) * random.uniform(0, 0.35) ** 1.5
    level = np.exp(random.uniform(np.log(0.05), np.log(0.6)))
    surface: Floats = np.ones((*size, 3), np.float32) * (level * muted / muted.mean()).astype(np.float32)
    return surface


def _grain(random: np.random.Generator, size: tuple[int, int], strength: float) -> Floats:
    broad, broadest = 0.4 + random.random(), random.uniform(0, 2)
    field = strength * noise(random, *size, ((2, 1.0), (5, 0.6), (40, broad), (220, broadest)))
    grain: Floats = np.exp(np.clip(field, -1.5, 1.0))[..., None]
    return grain


def _slabs(random: np.random.Generator, tile: Floats, high: int, wide: int) -> None:
    rows, columns = tile.shape[0] // high + 1, tile.shape[1] // wide + 1
    tones = np.exp(random.normal(0, random.uniform(0, 0.25), (rows, columns))).astype(np.float32)
    tile *= tones.repeat(high, 0).repeat(wide, 1)[: tile.shape[0], : tile.shape[1], None]
    joint, dark = int(random.integers(1, 3)), random.uniform(0.35, 1.4)
    for offset in range(joint):
        tile[offset::high] *= dark
        tile[:, offset::wide] *= dark


def _plain(random: np.random.Generator, part: Floats) -> None:
    part *= linear(random.uniform(120, 255, 3)).astype(np.float32)


def _panels(random: np.random.Generator, part: Floats) -> None:
    _slabs(random, part, part.shape[0] + 1, int(random.integers(6, 70)))


def _bricks(random: np.random.Generator, part: Floats) -> None:
    part *= np.array((1.25, 0.85, 0.7), np.float32)
    high = int(random.integers(5, 14))
    _slabs(random, part, high, 3 * high)


def _fence(random: np.random.Generator, part: Floats) -> None:
    bar = random.uniform(0.1, 3)
    part *= random.uniform(0.3, 1.2)
    part[:, :: int(random.integers(5, 16))] *= bar
    part[:: int(random.integers(5, 80))] *= bar


def _windows(random: np.random.Generator, part: Floats) -> None:
    """Glass, often much brighter than what is before it."""
    high, wide = int(random.integers(40, 200)), int(random.integers(25, 110))
    for row in range(0, part.shape[0], high):
        for column in range(0, part.shape[1], wide):
            glass = part[row + 4 : row + high, column + 4 : column + wide]
            level = random.uniform(0.02, 0.12) if random.random() < 0.6 else random.uniform(0.3, 1.0)
            slope = np.linspace(random.uniform(0.5, 1), random.uniform(0.5, 1), max(1, glass.shape[0]))
            glass[:] = (level * slope[: glass.shape[0], None, None]) * random.uniform(0.85, 1.1, 3)


def _posters(random: np.random.Generator, part: Floats) -> None:
    for _ in range(int(part.shape[0] * part.shape[1] / 6000) + 2):
        row, column = int(random.integers(part.shape[0])), int(random.integers(part.shape[1]))
        high, wide = int(random.integers(8, 120)), int(random.integers(8, 120))
        poster = part[row : row + high, column : column + wide]
        grey = random.uniform(20, 250)
        poster[:] = linear(grey + (random.uniform(0, 255, 3) - grey) * random.uniform(0, 0.8))
        if random.random() < 0.5:
            poster[3 : -3 : int(random.integers(4, 12)), 3:-3] *= random.uniform(0.2, 1.5)


def _shutter(random: np.random.Generator, part: Floats) -> None:
    period = int(random.integers(3, 10))
    for offset in range(period // 2):
        part[offset::period] *= random.uniform(0.5, 0.9)


def _hedge(random: np.random.Generator, part: Floats) -> None:
    rows, columns = part.shape[:2]
    leaves = np.exp(0.7 * noise(random, rows, columns, ((3, 1.0), (9, 0.7), (40, 0.5))))
    part[:] = linear(random.uniform((40, 60, 25), (90, 110, 60))).astype(np.float32) * leaves[..., None]

"""Textures of the plain drawing's ground and wall."""

import numpy as np
from PIL import Image

from resight.people.arrays import Floats
from resight.people.colours import linear

PER_METRE = 64
"""Texels per metre in the textures of ground and wall."""

GROUND = 1024
WALL = (512, 2048)


def noise(
    random: np.random.Generator, rows: int, columns: int, waves: tuple[tuple[int, float], ...]
) -> Floats:
    """Return smooth noise: for each (texels, strength), a random grid of this spacing, enlarged."""
    total = np.zeros((rows, columns), np.float32)
    for texels, strength in waves:
        grid = random.standard_normal((rows // texels + 2, columns // texels + 2), np.float32)
        enlarged = Image.fromarray(grid).resize((columns, rows), Image.Resampling.BICUBIC)
        total += strength * np.asarray(enlarged)
    return total


def plain_ground(random: np.random.Generator) -> Floats:
    """Return a tile of 16 m: two pavings in bands."""
    tile, other = _paving(random), _paving(random)
    period = int(random.uniform(60, 190))
    band = (np.arange(GROUND) + random.integers(period)) % period < random.uniform(30, 0.6 * period)
    if random.random() < 0.5:
        tile[:, band] = other[:, band]
    elif random.random() < 0.5:
        tile[band] = other[band]
    return tile


def _paving(random: np.random.Generator) -> Floats:
    kind = str(
        random.choice(["asphalt", "tiles", "bricks", "concrete", "grass"], p=[0.28, 0.3, 0.16, 0.2, 0.06])
    )
    middle = {
        "asphalt": (88, 88, 90),
        "tiles": (150, 144, 136),
        "bricks": (125, 92, 78),
        "concrete": (140, 138, 132),
        "grass": (78, 92, 56),
    }[kind]
    base = linear(middle) * random.uniform(0.75, 1.2)
    base = 0.5 * base + 0.5 * base.mean()
    base *= 0.5 + 0.5 * linear(118) / base.mean()  # with more variation in brightness, people are hard to see
    tile: Floats = np.ones((GROUND, GROUND, 3), np.float32) * base.astype(np.float32)
    tile *= np.clip(1 + 0.06 * noise(random, GROUND, GROUND, ((2, 1.0), (32, 0.8), (200, 1.2))), 0.3, 2)[
        ..., None
    ]
    if kind in ("tiles", "bricks"):
        side = int(random.choice([19, 32, 51] if kind == "tiles" else [13, 16]))
        stones = random.normal(1, 0.08, (GROUND // side + 2, GROUND // side + 2)).astype(np.float32)
        tile *= stones.repeat(side, 0).repeat(side, 1)[:GROUND, :GROUND, None]
        tile[::side] *= 0.7
        tile[:, ::side] *= 0.7
    elif kind == "concrete":
        tile[::160] *= 0.6
        tile[:, ::160] *= 0.6
    elif kind == "grass":
        tile *= np.clip(1 + 0.25 * random.standard_normal((GROUND, GROUND, 1), np.float32), 0.2, 2)
    elif random.random() < 0.7:
        start = int(random.uniform(0, GROUND - 9))
        tile[:, start : start + 9] = linear((205, 205, 195))
    rows, columns = np.mgrid[:GROUND, :GROUND]
    for _ in range(10):
        row, column = random.integers(GROUND, size=2)
        radius = random.uniform(2, 16)
        low, high = max(0, row - 17), row + 18
        left, right = max(0, column - 17), column + 18
        spot = np.hypot(rows[low:high, left:right] - row, columns[low:high, left:right] - column) < radius
        tile[low:high, left:right][spot] *= random.uniform(0.55, 0.9)
    tile.clip(0.003, 1, out=tile)
    return tile


def plain_wall(random: np.random.Generator) -> Floats:
    """Return a facade, 8 m high and 32 m long: plaster or brick, shop windows, signs, windows above."""
    rows, columns = WALL
    plasters = [
        (150, 140, 128),
        (105, 98, 92),
        (170, 165, 158),
        (120, 85, 70),
        (90, 95, 100),
        (185, 175, 150),
        (66, 67, 70),
    ]
    wall: Floats = np.ones((rows, columns, 3), np.float32) * linear(plasters[random.integers(len(plasters))])
    wall *= (1 + 0.05 * noise(random, rows, columns, ((4, 1.0), (16, 0.6), (64, 0.4))))[..., None]
    if random.random() < 0.6:
        high = int(random.choice([8, 16, 40, 64]))
        wide = high * int(random.choice([2, 3]))
        for course, row in enumerate(range(0, rows, high)):
            wall[row : row + max(1, high // 14)] *= 0.75
            wall[row : row + high, (course % 2) * wide // 2 :: wide] *= 0.75
    wall[: rows - 250] *= random.uniform(0.7, 1.1)
    for row in range(0, rows - 270, 110):
        for column in range(20, columns - 60, int(random.uniform(90, 160))):
            wall[row + 20 : row + 80, column : column + 50] = linear(random.integers(25, 90, 3))
    column = 0
    while column < columns:
        width = int(random.uniform(50, 220))
        choice = random.random()
        if choice < 0.45:
            _shop(random, wall, column, width)
        elif choice < 0.62:
            _signs(random, wall, column, width)
        elif choice < 0.75:
            wall[rows - 260 :, column : column + 12] *= 0.5
        column += width + int(random.uniform(5, 90))
    wall[rows - 14 :] *= 0.6
    return wall.clip(0.003, 1)


def _shop(random: np.random.Generator, wall: Floats, column: int, width: int) -> None:
    rows = len(wall)
    top, bottom = rows - int(random.uniform(170, 230)), rows - int(random.uniform(0, 70))
    wall[top:bottom, column + 5 : column + width] = linear(random.integers(15, 110, 3))
    for _ in range(int(random.integers(2, 7))):
        left, high = column + int(random.uniform(0, width)), int(random.uniform(top, bottom))
        area = wall[high : high + int(random.uniform(10, 60)), left : left + int(random.uniform(8, 60))]
        area[:] = linear(_muted(random, 20, 225))
    wall[top:bottom, column + 5 : column + 9] *= 0.5
    wall[top - 5 : top, column : column + width] = linear(_muted(random, 40, 220))


def _signs(random: np.random.Generator, wall: Floats, column: int, width: int) -> None:
    rows = len(wall)
    for _ in range(3):
        row, left = rows - int(random.uniform(60, 190)), column + int(random.uniform(0, width))
        high, wide = int(random.uniform(30, 80)), int(random.uniform(20, 60))
        wall[row : row + high, left : left + wide] = linear(_muted(random, 40, 235))
        wall[row + 5 : row + high - 5 : 6, left + 3 : left + wide - 3] *= random.uniform(0.3, 1)


def _muted(random: np.random.Generator, low: int, high: int) -> Floats:
    colour = random.integers(low, high, 3).astype(float)
    muted: Floats = 0.5 * colour + 0.5 * colour.mean()
    return muted

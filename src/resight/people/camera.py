"""A camera: its position, projection, light and the area where people walk."""

from dataclasses import dataclass

import numpy as np

from resight.people.arrays import Floats
from resight.people.factors import PLAIN, Factors
from resight.seeds import derive_seed

FRAME = (600, 960)
"""Rows and columns of a camera's picture for crops of height 256; scaled in proportion for others."""

STATURES = (75, 300)
"""Range of heights, in rows of that picture, of a person of 1.75 m."""


@dataclass(frozen=True)
class Light:
    """Sun (or the strongest lamp), sky, light from the ground, linear; ``hard``: darkness of shadows."""

    kind: str
    sun: Floats
    sky: Floats
    ground: Floats
    hard: float
    direction: Floats

    def mean(self) -> float:
        """Return the approximate light on an upright surface."""
        luma = np.array([0.3, 0.59, 0.11])
        return float((0.6 * self.sky + 0.4 * self.ground + 0.45 * self.sun) @ luma)

    def mixed(self, strength: float, random: np.random.Generator) -> "Light":
        """Return this light with that of lamps or of the sky behind the persons, to this share."""
        low, warmth = random.uniform(0.1, 0.6), random.normal(0, 0.12)
        around, up = random.uniform(0, 2 * np.pi), np.deg2rad(random.uniform(15, 75))
        towards = np.array([np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)])
        tint = np.exp(warmth * np.array([1.0, 0.0, -1.0]))
        direction = (1 - strength) * self.direction + strength * towards
        return Light(
            kind=self.kind,
            sun=self.sun * ((1 - strength) + strength * random.uniform(0.2, 1.4) * tint),
            sky=self.sky * ((1 - strength) + strength * random.uniform(0.5, 1.1) * tint),
            ground=self.ground * ((1 - strength) + strength * low),
            hard=(1 - strength) * self.hard + strength * random.uniform(0.2, 0.9),
            direction=direction / np.linalg.norm(direction),
        )


@dataclass(frozen=True)
class Camera:
    """A camera above the plane z = 0, looking along +y and down.

    Attributes:
        height: metres above the ground. pitch: radians downwards. focal: in pixels.
        frame: rows and columns. light: see ``Light``.
        shade: (angle, distance, half width) of a band of ground without sun; 0 for none.
        near, far: y between which people walk, so that they are completely in view.
        heading: of the path, radians; people walk both ways. share: of people who walk in the first
            direction.
        glow: change of the light's colour from the left edge to the right one, as a log factor.
    """

    height: float
    pitch: float
    focal: float
    frame: tuple[int, int]
    light: Light
    shade: tuple[float, float, float]
    near: float
    far: float
    heading: float
    share: float
    glow: Floats

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Return position in the picture [v, 2] (x, y in pixels) and depth [v] of points [v, 3]."""
        x, y, z = points.T
        sin, cos = np.sin(self.pitch), np.cos(self.pitch)
        depth = y * cos - (z - self.height) * sin
        scale = self.focal / depth
        across = self.frame[1] / 2 + x * scale
        down = self.frame[0] / 2 - (y * sin + (z - self.height) * cos) * scale
        return np.stack([across, down], 1), depth

    def rays(self, left: int, top: int, width: int, height: int) -> Floats:
        """Return directions [height, width, 3] through the pixel centres of a window."""
        dx = (left + np.arange(width) + 0.5 - self.frame[1] / 2) / self.focal
        dy = -(top + np.arange(height) + 0.5 - self.frame[0] / 2) / self.focal
        sin, cos = np.sin(self.pitch), np.cos(self.pitch)
        rays = np.empty((height, width, 3), np.float32)
        rays[..., 0] = dx
        rays[..., 1] = (cos + dy * sin)[:, None]
        rays[..., 2] = (dy * cos - sin)[:, None]
        return rays

    def half_width(self, y: float) -> float:
        """Return how far from the middle a person at this distance may walk."""
        return 0.36 * self.frame[1] / self.focal * y

    def sunlit(self, x: Floats | float, y: Floats | float) -> Floats:
        """Return the share of the sun's light, 0.12 to 1, at these places."""
        angle, distance, half = self.shade
        if not half:
            return np.ones(np.shape(x))
        beyond = np.abs(np.cos(angle) * x + np.sin(angle) * y - distance) - half
        share: Floats = 0.12 + 0.88 * np.clip(0.5 + 3 * beyond, 0, 1)
        return share


def sample_camera(seed: int, camera: int, rows: int, factors: Factors = PLAIN) -> Camera:
    """Return the n-th camera of a seed's world, for crops of this many rows."""
    random = np.random.default_rng(derive_seed(seed, "camera", camera))
    scale = rows / 256
    frame = (round(FRAME[0] * scale), round(FRAME[1] * scale))
    height = random.uniform(2.3, 5.5)
    pitch = np.deg2rad(random.uniform(4, 10) + (height - 2.3) * 5.5)
    focal = random.uniform(620, 1050) * scale
    light = _light(random)
    own = np.random.default_rng(derive_seed(seed, "camera factors", camera))
    nearer, darker = factors.closeness, factors.light
    height += nearer * own.uniform(-0.6, 0.4)
    pitch += nearer * np.deg2rad(own.uniform(0, 14))
    focal *= (1 - nearer) + nearer * own.uniform(0.9, 1.5)
    if darker:
        light = light.mixed(darker, own)
    shade = (0.0, 0.0, 0.0)
    if light.kind == "sun" or random.random() < 0.3:
        shade = (random.uniform(0, np.pi), random.uniform(3, 12), random.uniform(1, 3.5))
    heading = float(random.choice([0.0, np.pi / 2, np.pi / 4, random.uniform(0, np.pi)]))
    share = random.beta(2, 2)
    glow = random.normal(0, 0.1, 3) + random.normal(0, 0.2) + darker * own.normal(0, 0.3)
    camera_ = Camera(height, pitch, focal, frame, light, shade, 0, 0, heading, share, glow)
    smallest = (1 - nearer) * STATURES[0] + nearer * 150
    near, far = _walkable(camera_, scale, smallest)
    return Camera(height, pitch, focal, frame, light, shade, near, far, heading, share, glow)


def _walkable(camera: Camera, scale: float, smallest: float) -> tuple[float, float]:
    y = np.linspace(2.5, 26, 189)
    zero = np.zeros_like(y)
    head, _ = camera.project(np.stack([zero, y, zero + 2.05], 1))
    foot, _ = camera.project(np.stack([zero, y, zero], 1))
    stature = foot[:, 1] - head[:, 1]
    whole = (head[:, 1] > 4 * scale) & (foot[:, 1] < camera.frame[0] - 8 * scale)
    fits = y[whole & (stature > smallest * scale) & (stature < STATURES[1] * scale)]
    if not len(fits):  # a long lens that looks steeply down: the places where most of a person is seen
        fits = y[np.argsort(np.abs(0.5 * (head[:, 1] + foot[:, 1]) - 0.5 * camera.frame[0]))[:8]]
    return float(fits.min()), float(min(fits.max(), fits.min() + 11))


def _light(random: np.random.Generator) -> Light:
    around, up = random.uniform(0, 2 * np.pi), np.deg2rad(random.uniform(32, 65))
    direction = np.array([np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)])
    kind = str(random.choice(["sun", "cloud", "shade", "indoor"], p=[0.35, 0.25, 0.13, 0.27]))
    if kind == "sun":
        sun = np.array([1.05, 0.97, 0.86]) * random.uniform(0.75, 1.05)
        sky = np.array([0.34, 0.4, 0.5]) * random.uniform(0.8, 1.2)
        ground, hard = np.array([0.22, 0.2, 0.17]), 0.85
    elif kind == "cloud":
        sun, sky, ground, hard = (
            np.full(3, 0.28),
            np.array([0.62, 0.66, 0.7]),
            np.array([0.25, 0.24, 0.22]),
            0.35,
        )
        direction *= (0.5, 0.5, 1)
    elif kind == "shade":
        sun, sky, ground, hard = np.full(3, 0.13), np.array([0.36, 0.42, 0.5]), np.full(3, 0.16), 0.25
        direction = np.array([0, -0.4, 0.9])
    else:
        sun = np.array([0.4, 0.36, 0.29]) * random.uniform(0.7, 1.2)
        sky, ground, hard = np.array([0.42, 0.38, 0.31]), np.array([0.22, 0.19, 0.15]), 0.4
        direction = np.array([random.uniform(-0.4, 0.4), random.uniform(-0.5, 0.3), 0.85])
    return Light(kind, sun, sky, ground, hard, direction / np.linalg.norm(direction))

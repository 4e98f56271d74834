"""From persons and cameras to crops: who walks where, what stands in the way, and which box a detector draws."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image

from resight.people.backdrop import paint_backdrop
from resight.people.body import Floats, load_body
from resight.people.camera import Camera, sample_camera
from resight.people.figure import Figure
from resight.people.garments import dress
from resight.people.identity import Person, sample_person
from resight.people.pose import Gait, sample_gait
from resight.people.render import Picture, Posed, render
from resight.people.sensor import Sensor, sample_sensor
from resight.people.solids import Kind, Solid, paint_colour, solid
from resight.seeds import derive_seed

STRANGERS = 64
"""Passers-by who walk beside the labelled persons and are never labelled."""

VISIBLE = 0.45
"""Least share of a person that others and things leave visible."""

ASPECT = (0.38, 0.5)
"""Width to height of every box before it is resized."""


@dataclass(frozen=True)
class Box:
    """A detector's box on a camera's picture, in pixels: centre, width, height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return (
            self.x - self.width / 2,
            self.y - self.height / 2,
            self.x + self.width / 2,
            self.y + self.height / 2,
        )

    def overlap(self, other: "Box") -> float:
        """Return the intersection over the union."""
        a, b = self.edges, other.edges
        wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(0.0, wide) * max(0.0, high)
        return shared / (self.width * self.height + other.width * other.height - shared)


@dataclass(frozen=True)
class Drawn:
    """A crop: the picture at its stored size, the box that was cut, and how much of the person nothing hides."""

    image: Image.Image
    box: Box
    visible: float


@dataclass(frozen=True)
class Place:
    """A camera with what never changes in front of it."""

    camera: Camera
    sensor: Sensor
    backdrop: Floats


@dataclass(frozen=True)
class Walk:
    """How a figure passes: start, direction and gait."""

    start: tuple[float, float]
    heading: float
    walking: bool
    gait: Gait

    def at(
        self, seconds: float, camera: Camera, jitter: float = 0.0
    ) -> tuple[tuple[float, float], float, Gait]:
        """Return place, direction and gait after some seconds; the edges of the view hold the figure back."""
        gone = 1.2 * seconds * self.walking
        y = float(np.clip(self.start[1] - gone * np.cos(self.heading), camera.near, camera.far))
        side = camera.half_width(y)
        x = float(np.clip(self.start[0] + gone * np.sin(self.heading), -side, side))
        return (x, y), self.heading + jitter, replace(self.gait, phase=self.gait.phase + 6.0 * seconds)


@dataclass(frozen=True)
class Tracklet:
    """One passage of a person in front of a camera: what its crops share."""

    walk: Walk
    companion: tuple[int, Walk] | None
    obstacle: tuple[Kind, float, float, float, int] | None
    drift: Floats
    pace: float


class World:
    """Everything that a seed means: persons, cameras, and every crop of them.

    Args:
        seed: names the world. rows: height of a stored crop; its width is half of that, rounded up.
    """

    def __init__(self, seed: int, rows: int) -> None:
        self.seed, self.size = seed, ((rows + 1) // 2, rows)
        self.body = load_body()
        self.figure: Callable[[int], tuple[Person, Figure]] = lru_cache(STRANGERS + 8)(self._figure)
        self.place: Callable[[int], Place] = lru_cache(None)(self._place)

    def _figure(self, person: int) -> tuple[Person, Figure]:
        who = sample_person(self.seed, person, self.body)
        return who, dress(who, self.body)

    def _place(self, number: int) -> Place:
        camera = sample_camera(self.seed, number, self.size[1])
        return Place(
            camera, sample_sensor(self.seed, number, camera), paint_backdrop(self.seed, number, camera)
        )

    def _stream(self, *what: int | str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, *what))

    def tracklet(self, person: int, camera: int, tracklet: int) -> Tracklet:
        """Return the passage of that number of a person in front of a camera."""
        random = self._stream("tracklet", person, camera, tracklet)
        return _sample_tracklet(random, self.place(camera).camera)

    def crop(self, person: int, camera: int, tracklet: int, crop: int) -> Drawn:
        """Draw one crop: a function of the seed and these four numbers alone."""
        random = self._stream("crop", person, camera, tracklet, crop)
        return self._draw(person, camera, self.tracklet(person, camera, tracklet), crop, random, _detect)

    def junk(self, person: int, camera: int, number: int) -> Drawn:
        """Draw a box that misses most of a person: to be ignored, as neither right nor wrong."""
        random = self._stream("junk", person, camera, number)
        tracklet = _sample_tracklet(random, self.place(camera).camera)
        return self._draw(person, camera, tracklet, 0, random, _miss)

    def distractor(self, camera: int, number: int) -> Drawn:
        """Draw a detector's false alarm: a piece of the place, or a part of a passer-by."""
        random = self._stream("distractor", camera, number)
        place = self.place(camera)
        if random.random() < 0.35:
            tracklet = _sample_tracklet(random, place.camera)
            return self._draw(-int(random.integers(STRANGERS)), camera, tracklet, 0, random, _miss)
        rows, columns = place.camera.frame
        height = rows * random.uniform(0.15, 0.4)
        width = height * random.uniform(*ASPECT)
        box = Box(
            random.uniform(width, columns - width), random.uniform(height, rows - height), width, height
        )
        window = _window(box, place.camera)
        return Drawn(self._develop(place, window, box, None, np.ones(3), random), box, 0.0)

    def _draw(
        self,
        person: int,
        camera: int,
        tracklet: Tracklet,
        step: int,
        random: np.random.Generator,
        boxer: Callable[[Box, np.random.Generator], Box],
    ) -> Drawn:
        place = self.place(camera)
        view = place.camera
        seconds = step * tracklet.pace
        spot, heading, gait = tracklet.walk.at(seconds, view, random.normal(0, 0.12))
        gait = replace(gait, turn=gait.turn + random.normal(0, 0.12), nod=gait.nod + random.normal(0, 0.05))
        main = Posed(*self.figure(person), self.body, gait, spot, heading)
        points, _ = view.project(main.vertices)
        low, high = points.min(0), points.max(0)
        tight = Box(*((low + high) / 2), *(high - low))
        box = _inside(boxer(tight, random), view)
        window = _window(box, view)
        others = self._others(tracklet, view, seconds, window)
        supersample = 3 if tight.height < 100 else 2
        picture = render([main, *others], view, window, supersample)
        if picture.visible[0] < VISIBLE and others:
            picture = render([main], view, window, supersample)
        drift = tracklet.drift * np.exp(random.normal(0, 0.06) + random.normal(0, 0.015, 3))
        image = self._develop(place, window, box, picture, drift, random)
        return Drawn(image, box, float(picture.visible[0]))

    def _others(
        self, tracklet: Tracklet, camera: Camera, seconds: float, window: tuple[int, int, int, int]
    ) -> list[Posed | Solid]:
        """Return the companion and the obstacle, where they reach into the window."""
        others: list[Posed | Solid] = []
        if tracklet.companion is not None:
            stranger, walk = tracklet.companion
            spot, heading, gait = walk.at(seconds, camera)
            others.append(Posed(*self.figure(stranger), self.body, gait, spot, heading))
        if tracklet.obstacle is not None:
            kind, x, y, size, key = tracklet.obstacle
            random = np.random.default_rng(key)
            others.append(solid(kind, x, y, size, paint_colour(random), random))
        left, top, width, height = window
        reaching = []
        for other in others:
            points, depth = camera.project(other.vertices)
            (x0, y0), (x1, y1) = points.min(0), points.max(0)
            if depth.min() > 1 and x1 > left and x0 < left + width and y1 > top and y0 < top + height:
                reaching.append(other)
        return reaching

    def _develop(
        self,
        place: Place,
        window: tuple[int, int, int, int],
        box: Box,
        picture: Picture | None,
        drift: Floats,
        random: np.random.Generator,
    ) -> Image.Image:
        left, top, width, height = window
        light = place.backdrop[top : top + height, left : left + width].astype(np.float32)
        if picture is not None:
            light *= ((1 - picture.shadow) * (1 - picture.cover))[..., None]
            light += picture.colour
        taken = place.sensor.compress(place.sensor.develop(light, drift, random), random)
        x0, y0, x1, y1 = box.edges
        region = (max(0.0, x0 - left), max(0.0, y0 - top), min(width, x1 - left), min(height, y1 - top))
        return taken.resize(self.size, Image.Resampling.BILINEAR, region)


def _sample_tracklet(random: np.random.Generator, camera: Camera) -> Tracklet:
    y = random.uniform(camera.near, camera.far)
    x = random.uniform(-1, 1) * camera.half_width(y)
    heading = camera.heading + np.pi * (random.random() > camera.share) + random.normal(0, 0.22)
    walking = bool(random.random() < 0.85)
    walk = Walk((x, y), heading, walking, sample_gait(random, walking))
    companion = obstacle = None
    if random.random() < 0.3:
        companion = (-int(random.integers(STRANGERS)), _beside(random, camera, walk))
    if random.random() < 0.13:
        kinds: list[Kind] = ["pole", "bush", "box", "rail", "car"]
        kind = kinds[random.choice(5, p=[0.25, 0.2, 0.25, 0.2, 0.1])]
        ahead = random.uniform(0.9, 1.6) + (0.6 if kind == "car" else 0)
        size = random.uniform(0.8, 1.2)
        obstacle = (kind, x + random.normal(0, 0.4), max(2.0, y - ahead), size, int(random.integers(2**31)))
    drift = np.exp(random.normal(0, 0.12) + random.normal(0, 0.03, 3))
    return Tracklet(walk, companion, obstacle, drift, random.uniform(0.5, 1.2))


def _beside(random: np.random.Generator, camera: Camera, walk: Walk) -> Walk:
    """Return the walk of a companion at someone's side, or of one who passes."""
    x, y = walk.start
    if random.random() < 0.5:
        heading, side = walk.heading, random.choice([-1, 1]) * random.uniform(0.55, 0.75)
        start = (x + side * np.cos(heading), y + side * np.sin(heading))
        return Walk(start, heading, walk.walking, sample_gait(random, walk.walking))
    heading = camera.heading + np.pi * (random.random() > camera.share) + random.normal(0, 0.2)
    start = (
        x + random.choice([-1, 1]) * random.uniform(0.4, 1.1),
        y + random.choice([-1, 1]) * random.uniform(0.5, 2.2),
    )
    return Walk(start, heading, True, sample_gait(random, True))


def _detect(tight: Box, random: np.random.Generator) -> Box:
    """Return the box of a detector that is right, nearly: off by a little, sometimes cut at the feet or the head."""
    height = tight.height * np.exp(random.normal(0.05, 0.05))
    x = tight.x + random.normal(0, 0.05) * 0.45 * height
    y = tight.y + random.normal(0, 0.025) * height
    if random.random() < 0.08:
        lost = random.uniform(0.1, 0.28) * height
        y += 0.5 * lost * (-1 if random.random() < 0.8 else 1)
        height -= lost
    width = tight.width * np.exp(random.normal(0.05, 0.07))
    low, high = height * random.uniform(ASPECT[0], 0.44), height * ASPECT[1]
    return Box(x, y, float(np.clip(width, low, high)), height)


def _miss(tight: Box, random: np.random.Generator) -> Box:
    """Return a box that overlaps the person's by less than half."""
    while True:
        height = tight.height * random.uniform(0.5, 1.5)
        width = height * random.uniform(*ASPECT)
        x = tight.x + random.uniform(-0.7, 0.7) * width
        y = tight.y + random.uniform(-0.55, 0.55) * height
        box = Box(x, y, width, height)
        if 0.1 < box.overlap(tight) < 0.42:
            return box


def _inside(box: Box, camera: Camera) -> Box:
    """Return the box moved into the camera's picture."""
    rows, columns = camera.frame
    scale = min(1.0, (rows - 2) / box.height, (columns - 2) / box.width)
    width, height = scale * box.width, scale * box.height
    x = float(np.clip(box.x, width / 2 + 1, columns - width / 2 - 1))
    y = float(np.clip(box.y, height / 2 + 1, rows - height / 2 - 1))
    return Box(x, y, width, height)


def _window(box: Box, camera: Camera) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the pixels that hold the box and what blurs into it."""
    rows, columns = camera.frame
    x0, y0, x1, y1 = box.edges
    left, top = max(0, int(x0) - 3), max(0, int(y0) - 3)
    return left, top, min(columns, int(x1) + 4) - left, min(rows, int(y1) + 4) - top

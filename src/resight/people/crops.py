"""Making crops from persons and cameras: walks, obstacles and a detector's boxes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image

from resight.people.arrays import Floats
from resight.people.backdrop import paint_backdrop
from resight.people.body import load_body
from resight.people.boxes import ASPECT, Box, detect, detect_tightly, inside, miss, pixels_of
from resight.people.camera import Camera, sample_camera
from resight.people.carrying import pram
from resight.people.factors import PLAIN, Factors
from resight.people.figure import Figure
from resight.people.garments import dress
from resight.people.identity import sample_person
from resight.people.person import Person
from resight.people.pose import Gait, occupied, sample_gait, vary_gait
from resight.people.render import Picture, Posed, render
from resight.people.sensor import Sensor, sample_sensor
from resight.people.solids import Kind, Solid, paint_colour, solid
from resight.seeds import derive_seed

STRANGERS = 64
"""Passers-by next to the labelled persons, who are never labelled."""

VISIBLE = 0.6
"""Minimum visible share of a person; less with clutter."""


@dataclass(frozen=True)
class Drawn:
    """A crop: the picture at its stored size, its box, the visible share of the person."""

    image: Image.Image
    box: Box
    visible: float


@dataclass(frozen=True)
class Place:
    """A camera with its unchanging scene."""

    camera: Camera
    sensor: Sensor
    backdrop: Floats


@dataclass(frozen=True)
class Walk:
    """A figure's walk: start, direction and gait."""

    start: tuple[float, float]
    heading: float
    walking: bool
    gait: Gait

    def at(
        self, seconds: float, camera: Camera, jitter: float = 0.0
    ) -> tuple[tuple[float, float], float, Gait]:
        """Return position, direction and gait after some seconds; the figure stays inside the view."""
        gone = 1.2 * seconds * self.walking
        y = float(np.clip(self.start[1] - gone * np.cos(self.heading), camera.near, camera.far))
        side = camera.half_width(y)
        x = float(np.clip(self.start[0] + gone * np.sin(self.heading), -side, side))
        return (x, y), self.heading + jitter, replace(self.gait, phase=self.gait.phase + 6.0 * seconds)


@dataclass(frozen=True)
class Tracklet:
    """One passage of a person in front of a camera, common to its crops."""

    walk: Walk
    companions: tuple[tuple[int, Walk], ...]
    obstacles: tuple[tuple[Kind, float, float, float, int], ...]
    drift: Floats
    pace: float


class World:
    """The world of a seed: persons, cameras, and all their crops.

    Args:
        seed: names the world. rows: height of a stored crop; its width is half of that, rounded up.
        factors: what is drawn nearer to surveillance cameras' crops; the plain drawing by default.
    """

    def __init__(self, seed: int, rows: int, factors: Factors = PLAIN) -> None:
        self.seed, self.size, self.factors = seed, ((rows + 1) // 2, rows), factors
        self.body = load_body()
        self.figure: Callable[[int], tuple[Person, Figure]] = lru_cache(STRANGERS + 8)(self._figure)
        self.place: Callable[[int], Place] = lru_cache(None)(self._place)

    def _figure(self, person: int) -> tuple[Person, Figure]:
        who = sample_person(self.seed, person, self.body, self.factors)
        return who, dress(who, self.body)

    def _place(self, number: int) -> Place:
        camera = sample_camera(self.seed, number, self.size[1], self.factors)
        sensor = sample_sensor(self.seed, number, camera, self.factors)
        return Place(camera, sensor, paint_backdrop(self.seed, number, camera, self.factors))

    def _stream(self, *what: int | str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, *what))

    def tracklet(self, person: int, camera: int, tracklet: int) -> Tracklet:
        """Return the n-th passage of a person in front of a camera."""
        return self._tracklet(self._stream("tracklet", person, camera, tracklet), camera)

    def _tracklet(self, random: np.random.Generator, camera: int) -> Tracklet:
        tracklet = _sample_tracklet(random, self.place(camera).camera)
        if self.factors.poses and random.random() < self.factors.poses:
            tracklet = replace(
                tracklet, walk=replace(tracklet.walk, gait=vary_gait(tracklet.walk.gait, random))
            )
        if self.factors.clutter:
            tracklet = _cluttered(tracklet, random, self.place(camera).camera, self.factors.clutter)
        return tracklet

    def crop(self, person: int, camera: int, tracklet: int, crop: int) -> Drawn:
        """Draw one crop, as a function of the seed and these four numbers alone."""
        random = self._stream("crop", person, camera, tracklet, crop)
        return self._draw(person, camera, self.tracklet(person, camera, tracklet), crop, random, self._detect)

    def junk(self, person: int, camera: int, number: int) -> Drawn:
        """Draw a box that misses most of a person: junk, neither right nor wrong."""
        random = self._stream("junk", person, camera, number)
        return self._draw(person, camera, self._tracklet(random, camera), 0, random, miss)

    def _detect(self, tight: Box, random: np.random.Generator) -> Box:
        tightly = self.factors.boxes and random.random() < self.factors.boxes
        return detect_tightly(tight, random) if tightly else detect(tight, random)

    def distractor(self, camera: int, number: int) -> Drawn:
        """Draw a detector's false alarm: a piece of the scene, or a part of a passer-by."""
        random = self._stream("distractor", camera, number)
        place = self.place(camera)
        if random.random() < 0.35:
            tracklet = self._tracklet(random, camera)
            return self._draw(-int(random.integers(STRANGERS)), camera, tracklet, 0, random, miss)
        rows, columns = place.camera.frame
        height = rows * random.uniform(0.15, 0.4)
        width = height * random.uniform(*ASPECT)
        box = Box(
            random.uniform(width, columns - width), random.uniform(height, rows - height), width, height
        )
        window = _window(place, box)
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
        who, figure = self.figure(person)
        main = Posed(who, figure, self.body, occupied(gait, who), spot, heading)
        points, _ = view.project(main.vertices)
        low, high = points.min(0), points.max(0)
        tight = Box(*((low + high) / 2), *(high - low))
        box = inside(boxer(tight, random), view)
        window = _window(place, box)
        others = self._others(tracklet, view, seconds, window)
        if who.pram is not None:
            others.append(pram(who.pram, spot, heading))
        supersample: float = 3 if tight.height < 100 else 2
        if self.factors.closeness and tight.height > 0.75 * self.size[1]:
            supersample = 1.5  # more samples than the crop has rows
        picture = render([main, *others], view, window, supersample)
        if picture.visible[0] < VISIBLE - 0.1 * self.factors.clutter and others:
            picture = render([main], view, window, supersample)
        drift = tracklet.drift * np.exp(random.normal(0, 0.06) + random.normal(0, 0.015, 3))
        image = self._develop(place, window, box, picture, drift, random)
        return Drawn(image, box, float(picture.visible[0]))

    def _others(
        self, tracklet: Tracklet, camera: Camera, seconds: float, window: tuple[int, int, int, int]
    ) -> list[Posed | Solid]:
        """Return the companion and the obstacle, if they are in the window."""
        others: list[Posed | Solid] = []
        for stranger, walk in tracklet.companions:
            spot, heading, gait = walk.at(seconds, camera)
            others.append(Posed(*self.figure(stranger), self.body, gait, spot, heading))
        for kind, x, y, size, key in tracklet.obstacles:
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
        sensor = place.sensor
        light = place.backdrop[top : top + height, left : left + width].astype(np.float32)
        if picture is not None:
            if sensor.interlaced:  # the second field is taken a moment later
                moved = int(random.choice((-1, 1)) * np.ceil(0.012 * random.random() * box.height))
                for plane in (picture.colour, picture.cover):
                    plane[1::2] = np.roll(plane[1::2], moved, 1)
            light *= ((1 - picture.shadow) * (1 - picture.cover))[..., None]
            light += picture.colour
        taken = sensor.compress(sensor.develop(light, drift, random), random)
        x0, y0, x1, y1 = box.edges
        edges = np.array(
            [(max(0.0, x0 - left), max(0.0, y0 - top)), (min(width, x1 - left), min(height, y1 - top))]
        )
        edges *= np.array(taken.size) / (width, height)
        if any(sensor.lean):
            away = 2 * box.x / place.camera.frame[1] - 1
            taken, edges = _lean(taken, edges, *(away * share for share in sensor.lean))
        return taken.resize(self.size, Image.Resampling.BILINEAR, tuple(edges.ravel()))


def _window(place: Place, box: Box) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the pixels that the crop of a box shows, with a margin."""
    rotation, stretch = (abs(2 * box.x / place.camera.frame[1] - 1) * abs(lean) for lean in place.sensor.lean)
    beside = 3 + math.ceil(0.5 * (rotation * box.height + stretch * box.width))
    above = 3 + math.ceil(0.5 * (1 + stretch) * rotation * box.width)
    return pixels_of(box, place.camera, beside, above)


def _lean(image: Image.Image, edges: Floats, rotation: float, stretch: float) -> tuple[Image.Image, Floats]:
    """Rotate and stretch a region, (left, top), (right, bottom), as a wide lens does away from the middle."""
    middle, half = edges.mean(0), (edges[1] - edges[0]) / 2
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * half * (1 + stretch, 1)
    corners = middle + corners + np.stack([-rotation * corners[:, 1], rotation * corners[:, 0]], 1)
    size = tuple(np.ceil(2 * half).astype(int).tolist())
    quad = np.clip(corners, 0, image.size).ravel().tolist()
    return (
        image.transform(size, Image.Transform.QUAD, quad, Image.Resampling.BILINEAR),
        np.array([(0, 0), size], float),
    )


def _sample_tracklet(random: np.random.Generator, camera: Camera) -> Tracklet:
    y = random.uniform(camera.near, camera.far)
    x = random.uniform(-1, 1) * camera.half_width(y)
    heading = camera.heading + np.pi * (random.random() > camera.share) + random.normal(0, 0.22)
    walking = bool(random.random() < 0.85)
    walk = Walk((x, y), heading, walking, sample_gait(random, walking))
    companions: tuple[tuple[int, Walk], ...] = ()
    obstacles: tuple[tuple[Kind, float, float, float, int], ...] = ()
    if random.random() < 0.3:
        companions = ((-int(random.integers(STRANGERS)), _beside(random, camera, walk)),)
    if random.random() < 0.13:
        obstacles = (_obstacle(random, x, y),)
    drift = np.exp(random.normal(0, 0.12) + random.normal(0, 0.03, 3))
    return Tracklet(walk, companions, obstacles, drift, random.uniform(0.5, 1.2))


def _obstacle(random: np.random.Generator, x: float, y: float) -> tuple[Kind, float, float, float, int]:
    """Return kind, place, size and key of something in front of a person at (x, y)."""
    kinds: list[Kind] = ["pole", "bush", "box", "rail", "car"]
    kind = kinds[random.choice(5, p=[0.25, 0.2, 0.25, 0.2, 0.1])]
    ahead = random.uniform(0.9, 1.6) + (0.6 if kind == "car" else 0)
    size = random.uniform(0.8, 1.2)
    return kind, x + random.normal(0, 0.4), max(2.0, y - ahead), size, int(random.integers(2**31))


def _cluttered(tracklet: Tracklet, random: np.random.Generator, camera: Camera, strength: float) -> Tracklet:
    """Add passers-by and obstacles."""
    (x, y), companions, obstacles = tracklet.walk.start, tracklet.companions, tracklet.obstacles
    if random.random() < 0.4 * strength:
        companions += ((-int(random.integers(STRANGERS)), _beside(random, camera, tracklet.walk)),)
    if random.random() < 0.2 * strength:
        obstacles += (_obstacle(random, x, y),)
    return replace(tracklet, companions=companions, obstacles=obstacles)


def _beside(random: np.random.Generator, camera: Camera, walk: Walk) -> Walk:
    """Return the walk of a companion, or of a passer-by."""
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

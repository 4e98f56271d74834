"""The plan of a set: its checked settings, and the files that follow from them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from resight.errors import UserError
from resight.people.factors import PLAIN, Factors
from resight.people.person import FAMILY
from resight.seeds import derive_seed

DRAWING, DRAWING_FACTORS = 1, 2
"""Of sets without and with factors; increased when the same settings give other pictures, so that no set is
continued with such."""

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
PASSAGE = 2
"""Crops of one passage in front of a camera; further crops come from further passages."""

EXTRA = 0.15
"""Junk boxes, and distractors, per gallery crop of a person."""


@dataclass(frozen=True)
class PlanSettings:
    """The settings that determine a set, in the order of the arguments of ``synthesize``."""

    persons: int
    cameras: int
    crops: int
    test_persons: int
    seed: int
    height: int
    drawing: int
    factors: Mapping[str, float] = field(default_factory=dict)
    cameras_per_person: int | None = None

    def cameras_of(self, person: int) -> list[int]:
        """Return the cameras that a person passes, in order: all of them, or a random choice."""
        if self.cameras_per_person is None:
            return list(range(self.cameras))
        random = np.random.default_rng(derive_seed(self.seed, "cameras", person))
        return sorted(random.choice(self.cameras, self.cameras_per_person, replace=False).tolist())


@dataclass(frozen=True)
class Task:
    """One file: its folder and name, the kind of crop, and the numbers that determine it.

    Tasks of one ``group`` have the same person and are drawn by one process.
    """

    folder: str
    name: str
    kind: str
    numbers: tuple[int, ...]
    group: int


def check(
    persons: int,
    cameras: int,
    crops: int,
    test_persons: int | None,
    seed: int,
    height: int,
    factors: Factors = PLAIN,
    cameras_per_person: int | None = None,
) -> PlanSettings:
    """Return the settings of a set, with the number of test persons filled in.

    Raises:
        UserError: a number is out of range, or the split would divide a family.
    """
    for name, value, low, high in (
        ("persons", persons, 2, 9999),
        ("cameras", cameras, 2, 999),
        ("crops", crops, 1, 100),
        ("height", height, 32, 512),
        ("seed", seed, 0, 2**63 - 1),
        ("cameras per person", cameras if cameras_per_person is None else cameras_per_person, 2, cameras),
    ):
        if not low <= value <= high:
            raise UserError(f"The number for {name} must be from {low} to {high}; got {value}.")
    if test_persons is None:
        if persons <= FAMILY:
            raise UserError(
                f"A family of {FAMILY} look-alikes cannot be split into training and test: at least "
                f"{FAMILY + 1} persons are needed; got {persons}. Ask for 0 test persons or for more."
            )
        test_persons = persons - max(FAMILY, persons * 2 // 3 // FAMILY * FAMILY)
    training = persons - test_persons
    if not 0 <= test_persons <= persons:
        raise UserError(
            f"The number of test persons must be from 0 to {persons}, all of them; got {test_persons}."
        )
    if training % FAMILY and test_persons:
        fewer, more = test_persons - (FAMILY - training % FAMILY), test_persons + training % FAMILY
        advice = " or ".join(str(number) for number in (fewer, more) if 0 <= number <= persons)
        raise UserError(
            f"People come in families of {FAMILY} look-alikes, which must not be split between training and "
            f"test: the number of training persons must be a multiple of {FAMILY}. Got {persons} - "
            f"{test_persons} = {training}. Ask for {advice} test persons."
        )
    if test_persons and crops < 2:
        raise UserError(
            "A set with test persons needs at least 2 crops a camera, one for query, one for gallery; got 1."
        )
    active = factors.active()
    drawing = DRAWING_FACTORS if active else DRAWING
    return PlanSettings(
        persons, cameras, crops, test_persons, seed, height, drawing, active, cameras_per_person
    )


def plan(settings: PlanSettings) -> Iterator[Task]:
    """Yield every file of the set, person by person."""
    boundary = settings.persons - settings.test_persons
    passed = settings.cameras_per_person or settings.cameras
    extra = round(EXTRA * settings.test_persons * passed * (settings.crops - 1))
    for person in range(1, settings.persons + 1):
        for camera in settings.cameras_of(person):
            for number in range(settings.crops):
                tracklet, crop = divmod(number, PASSAGE)
                folder = TRAIN if person <= boundary else QUERY if number == 0 else GALLERY
                name = f"{person:04d}_c{camera + 1}s{tracklet + 1}_{1 + 25 * crop:06d}_01.jpg"
                yield Task(folder, name, "crop", (person, camera, tracklet, crop), person)
        if person > boundary:
            yield from _boxes_beside(settings, person, person - boundary - 1, extra)


def _boxes_beside(settings: PlanSettings, person: int, place: int, extra: int) -> Iterator[Task]:
    """Yield the junk and the distractors drawn with a test person, of ``extra`` of each in the set."""
    for first in range(place * settings.cameras, extra, settings.test_persons * settings.cameras):
        for number in range(first, min(first + settings.cameras, extra)):
            camera = number - first
            name = f"-1_c{camera + 1}s1_{number:06d}_00.jpg"
            yield Task(GALLERY, name, "junk", (person, camera, number), person)
            name = f"0000_c{camera + 1}s1_{number:06d}_00.jpg"
            yield Task(GALLERY, name, "distractor", (camera, number), person)

"""Draw docs/images/factors.png: the same four persons in two cameras, with one factor of drawing at a time.

python docs/images/draw_people.py
"""

import numpy as np
from sheets import Tile, sheet

from resight.people.crops import World
from resight.people.factors import Factors, factor_meanings, read_factors

ROWS, PERSONS, CAMERAS = 112, (6, 7, 8, 9), (0, 3)
SAME_CAMERAS = {
    "boxes",
    "clutter",
    "tones",
    "bodies",
    "hair",
    "clothes",
    "cloth",
    "carried",
    "poses",
    "look_alikes",
}


def main() -> None:
    """Draw a row for each factor at full strength, between the plain drawing and all of them."""
    plain = World(0, ROWS)
    rows = {"plain": tiles(plain)}
    for name in factor_meanings():
        world = World(0, ROWS, Factors(**{name: 1.0}))
        if name in SAME_CAMERAS:
            world.place = plain.place  # the same pictures in half of the time
        rows[name] = tiles(world)
    rows["all at 0.5"] = tiles(World(0, ROWS, read_factors(["all=0.5"])))
    sheet(rows, "factors.png", size=(ROWS, ROWS // 2))


def tiles(world: World) -> list[Tile]:
    """Return the crops of the persons in each camera."""
    return [
        Tile(np.asarray(world.crop(person, camera, 0, 0).image)) for camera in CAMERAS for person in PERSONS
    ]


if __name__ == "__main__":
    main()

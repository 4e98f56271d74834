"""The description of a person: body, hair, clothes, colours, and what is carried."""

from dataclasses import dataclass
from typing import Literal

from resight.people.arrays import Floats
from resight.people.colours import Colour

FAMILY = 5
"""Persons in a family of look-alikes."""

TopKind = Literal["t-shirt", "jumper", "shirt", "hoodie", "jacket", "coat", "tank", "polo"]
Pattern = Literal[
    "plain",
    "stripes",
    "pinstripes",
    "check",
    "logo",
    "block",
    "sleeves",
    "camouflage",
    "dots",
    "band",
    "print",
    "flowers",
    "plaid",
    "text",
]
BottomKind = Literal["trousers", "jeans", "shorts", "skirt", "leggings", "dress"]
HairStyle = Literal["short", "crop", "bald", "medium", "long", "pony", "bun", "afro"]
HatKind = Literal["none", "cap", "beanie", "hood", "sun hat", "headscarf"]
BagKind = Literal["none", "backpack", "cross", "hand", "tote", "front", "shopping", "waist"]
Held = Literal["none", "phone", "call", "umbrella", "book", "cup"]


@dataclass(frozen=True)
class Top:
    """The upper garment; ``sleeve`` and ``hem`` in the chart's units, the rest in metres."""

    kind: TopKind
    colours: tuple[Colour, Colour, Colour]
    pattern: Pattern
    period: float
    share: float
    sleeve: float
    hem: float
    loose: float
    opening: float
    neckline: Literal["crew", "v", "scoop"]
    logo: tuple[float, float, float, float, int]
    back_print: bool
    skirt_length: float


@dataclass(frozen=True)
class Bottom:
    """The lower garment; ``length`` along the leg, or of the skirt from the waist in metres."""

    kind: BottomKind
    colour: Colour
    second: Colour
    length: float
    loose: float
    striped: bool


@dataclass(frozen=True)
class Bag:
    """A bag, on the left (1) or the right (-1)."""

    kind: BagKind
    colour: Colour
    second: Colour
    side: int
    size: float
    pattern: int


@dataclass(frozen=True)
class Person:
    """Everything about a person that is the same for every camera.

    ``more``: a second bag. ``stoop``: of the back, radians. ``wrinkles``: depth of the cloth's folds, 1 in
    the plain drawing.
    """

    male: bool
    shape: Floats
    height: float
    skin: Colour
    hair: HairStyle
    hair_colour: Colour
    hair_length: float
    beard: bool
    glasses: Literal["none", "clear", "dark"]
    hat: HatKind
    hat_colour: Colour
    top: Top
    bottom: Bottom
    shoe: Colour
    sole: Colour
    boot: float
    sock: Colour
    scarf: Colour | None
    bag: Bag
    folds: int
    more: Bag | None = None
    held: Held = "none"
    held_colour: Colour | None = None
    pram: Colour | None = None
    stoop: float = 0.0
    wrinkles: float = 1.0

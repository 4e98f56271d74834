"""Colours in linear light, and their frequency in clothes: mostly black, grey, white and navy."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from resight.people.arrays import Floats

Colour = Floats

NAMED: Mapping[str, tuple[int, int, int]] = {
    "black": (22, 22, 25),
    "dark grey": (60, 60, 64),
    "grey": (122, 122, 125),
    "light grey": (178, 178, 180),
    "white": (230, 230, 228),
    "navy": (28, 35, 68),
    "blue": (42, 80, 156),
    "light blue": (132, 168, 206),
    "red": (166, 32, 36),
    "maroon": (95, 24, 36),
    "green": (42, 102, 60),
    "olive": (85, 88, 52),
    "khaki": (164, 146, 108),
    "brown": (88, 61, 43),
    "yellow": (214, 186, 66),
    "orange": (208, 108, 44),
    "pink": (216, 142, 160),
    "purple": (94, 62, 124),
    "teal": (38, 118, 122),
    "denim": (60, 79, 112),
    "light denim": (114, 138, 172),
    "cream": (220, 208, 180),
}
"""The central value of each colour, sRGB."""

TOPS: Mapping[str, float] = {
    "black": 24, "dark grey": 12, "grey": 10, "light grey": 5, "white": 15, "navy": 12, "blue": 6,
    "light blue": 5, "red": 5, "maroon": 3, "green": 4, "olive": 3, "khaki": 4, "brown": 3, "yellow": 2,
    "orange": 1.5, "pink": 3, "purple": 2, "teal": 2, "cream": 3,
}  # fmt: skip
BOTTOMS: Mapping[str, float] = {
    "black": 27, "dark grey": 10, "grey": 7, "light grey": 2, "white": 3, "navy": 11, "denim": 22,
    "light denim": 8, "khaki": 6, "brown": 3, "olive": 2, "maroon": 1, "cream": 2, "blue": 2,
}  # fmt: skip
SHOES: Mapping[str, float] = {
    "black": 38, "white": 25, "dark grey": 10, "brown": 12, "navy": 5, "red": 4, "blue": 3, "khaki": 3,
}  # fmt: skip
SOLES: Mapping[str, float] = {"white": 50, "black": 35, "brown": 15}
SOCKS: Mapping[str, float] = {"white": 50, "black": 40, "grey": 10}
BAGS: Mapping[str, float] = {
    "black": 36, "navy": 11, "dark grey": 11, "brown": 12, "red": 6, "khaki": 6, "pink": 4, "blue": 6,
    "green": 4, "white": 4,
}  # fmt: skip


def linear(srgb: npt.ArrayLike) -> Colour:
    """Return sRGB of 0 to 255 as linear light of 0 to 1 (a plain power of 2.2)."""
    colour: Colour = (np.clip(np.asarray(srgb, np.float64), 0, 255) / 255) ** 2.2
    return colour


def choose(random: np.random.Generator, shares: Mapping[str, float]) -> str:
    """Draw one of the names, with its probability."""
    total = sum(shares.values())
    return list(shares)[random.choice(len(shares), p=[value / total for value in shares.values()])]


def dye(random: np.random.Generator, name: str) -> Colour:
    """Draw a colour of this name, linear: paler than its central value, with random shifts."""
    middle = np.array(NAMED[name], float)
    grey = middle.mean()
    colour = grey + (middle - grey) * random.uniform(0.6, 0.95)
    return linear(np.clip(colour * np.exp(random.normal(0, 0.13)) + random.normal(0, 5, 3), 8, 245))


def any_dye(random: np.random.Generator, shares: Mapping[str, float]) -> Colour:
    """Draw a colour of one of the names."""
    return dye(random, choose(random, shares))

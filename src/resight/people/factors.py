"""What can be drawn nearer to the crops of surveillance cameras, each by a strength of its own.

At 0 a factor is off, and the pictures are those of the plain drawing. Every factor has random streams of its
own, so that switching one on leaves everything else as it was: a screening design compares the same people.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from resight.errors import UserError, did_you_mean

ALL = "all"


def _factor(meaning: str) -> float:
    value: float = field(default=0.0, metadata={"meaning": meaning})
    return value


@dataclass(frozen=True)
class Factors:
    """The strength of each factor, from 0 (off) to 1; ``meaning`` says what 1 does."""

    boxes: float = _factor("boxes as tight and as wrong as a detector's, feet or head cut in one of five")
    closeness: float = _factor("persons nearer to the camera, seen more from above, with more pixels")
    tone: float = _factor("steeper contrast and crushed blacks instead of haze")
    focus: float = _factor("a sharp lens, and a sharpening filter with its halos")
    colours: float = _factor("colour casts and saturations that differ from camera to camera")
    light: float = _factor("light from any side, under- and over-exposure, light that falls off")
    codec: float = _factor("few pixels enlarged, strong compression, interlaced lines")
    noise: float = _factor("a noisy sensor, more so in the dark")
    lens: float = _factor("persons that lean and stretch as at the sides of a wide lens")
    scenes: float = _factor("grounds and walls of many kinds, with grain, panels, grids and dappled light")
    clutter: float = _factor("more passers-by and obstacles, which hide up to half of a person")
    tones: float = _factor("skin from light to dark in balance")
    bodies: float = _factor("more different bodies, children, old persons who stoop")
    hair: float = _factor("more styles and colours of hair, hats and headscarves")
    clothes: float = _factor("open jackets, prints, plaid, long coats, rolled trousers, sandals")
    cloth: float = _factor("deeper folds")
    carried: float = _factor("bags in every way, phones, umbrellas, books, cups, prams")
    poses: float = _factor("arms and heads in more poses, longer strides")
    look_alikes: float = _factor("families in the same clothes but for one garment's colour, or the bag")

    def active(self) -> dict[str, float]:
        """Return the factors that are on."""
        return {name: value for name, value in asdict(self).items() if value}


PLAIN = Factors()
"""The plain drawing."""


def factor_meanings() -> Mapping[str, str]:
    """Return what each factor does at full strength, by name."""
    return {each.name: each.metadata["meaning"] for each in fields(Factors)}


def read_factors(words: Iterable[str]) -> Factors:
    """Return the factors of words such as ``tone``, ``tone=0.5``, ``all`` or ``all=0.5``; later words win.

    Raises:
        UserError: there is no such factor, or its strength is not a number from 0 to 1.
    """
    names, factors = tuple(factor_meanings()), Factors()
    for word in words:
        name, equals, value = word.partition("=")
        if name not in (*names, ALL):
            raise UserError(f"There is no factor '{name}' of drawing.{did_you_mean(name, (*names, ALL))}")
        try:
            strength = float(value) if equals else 1.0
        except ValueError:
            strength = -1.0
        if not 0 <= strength <= 1:
            raise UserError(f"The strength of a factor is a number from 0 to 1; got '{word}'.")
        chosen = names if name == ALL else (name,)
        factors = replace(factors, **dict.fromkeys(chosen, strength))
    return factors

"""What the factors change about persons; see ``Factors``. Each has a random stream of its own per person."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import numpy as np

from resight.people.body import Body
from resight.people.colours import BAGS, TOPS, Colour, any_dye, choose, linear
from resight.people.factors import Factors
from resight.people.person import Bag, BagKind, Bottom, HairStyle, HatKind, Held, Pattern, Person, Top
from resight.seeds import derive_seed

Random = np.random.Generator

TONES = ((236, 200, 178), (216, 174, 146), (190, 142, 110), (136, 96, 70), (80, 56, 44))
"""Skin from light to dark, sRGB; every place between them is equally frequent with ``tones``."""

PATTERNS: Mapping[str, float] = {
    "plain": 38, "stripes": 8, "check": 5, "logo": 8, "block": 4, "sleeves": 4, "band": 3, "print": 12,
    "text": 9, "flowers": 4, "plaid": 5,
}  # fmt: skip
HATS: Mapping[str, float] = {"none": 72, "cap": 9, "beanie": 6, "hood": 3, "sun hat": 4, "headscarf": 6}
CARRIED: Mapping[str, float] = {
    "none": 24, "backpack": 24, "cross": 14, "hand": 11, "tote": 10, "shopping": 10, "front": 4, "waist": 3,
}  # fmt: skip
HELD: Mapping[str, float] = {"none": 62, "phone": 13, "call": 6, "umbrella": 5, "book": 8, "cup": 6}


def vary(person: Person, seed: int, number: int, body: Body, factors: Factors) -> Person:
    """Return the person with what each factor changes, for a share of the persons equal to its strength."""
    for name, change in CHANGES.items():
        strength = getattr(factors, name)
        random = np.random.default_rng(derive_seed(seed, "factor", name, number))
        if strength and random.random() < strength:
            person = change(person, random)
    return person


def _cloth(person: Person, random: Random) -> Person:
    return replace(person, wrinkles=random.uniform(1.5, 4))


def _clothes(person: Person, random: Random) -> Person:
    top, bottom = person.top, person.bottom
    bright, others = _bright(random), (any_dye(random, TOPS), any_dye(random, TOPS))
    first = bright if random.random() < 0.15 else top.colours[0]
    pattern = choose(random, PATTERNS) if top.kind != "coat" else top.pattern
    opening = random.uniform(0.03, 0.13) if random.random() < 0.6 else top.opening
    layered = top.kind in ("jacket", "coat", "shirt", "hoodie")
    sleeve = random.uniform(0.5, 0.9) if top.sleeve > 0.9 and random.random() < 0.2 else top.sleeve
    low, high = (-0.14, 0.12) if bottom.kind != "dress" else (0.0, 0.05)
    top = Top(
        kind=top.kind,
        colours=(first, *others),
        pattern=cast(Pattern, pattern),
        period=random.uniform(0.03, 0.15),
        share=random.uniform(0.25, 0.7),
        sleeve=sleeve,
        hem=random.uniform(low, high),
        loose=top.loose * random.uniform(0.7, 1.8),
        opening=opening if layered else 0.0,
        neckline=top.neckline,
        logo=(
            random.uniform(-0.06, 0.06), random.uniform(0.45, 0.75), random.uniform(0.05, 0.15),
            random.uniform(0.05, 0.2), int(random.integers(3)),
        ),
        back_print=bool(random.random() < 0.4),
        skirt_length=random.uniform(0.25, 0.9) if top.kind == "coat" else top.skirt_length,
    )  # fmt: skip
    length = random.uniform(0.6, 0.95) if bottom.length >= 0.88 and random.random() < 0.25 else bottom.length
    bottom = replace(
        bottom,
        length=length,
        loose=bottom.loose * random.uniform(0.6, 1.9),
        striped=bottom.striped or bool(random.random() < 0.08),
        colour=_bright(random) if random.random() < 0.06 else bottom.colour,
    )
    bottom = _matching(bottom, first)
    sandals, boots = random.random() < 0.1, random.uniform(0.6, 0.92)
    return replace(
        person,
        top=top,
        bottom=bottom,
        shoe=person.skin if sandals else _bright(random) if random.random() < 0.12 else person.shoe,
        boot=boots if random.random() < 0.12 and not sandals else person.boot,
        scarf=any_dye(random, TOPS) if random.random() < 0.08 else person.scarf,
    )


def _hair(person: Person, random: Random) -> Person:
    styles = {"short": 55, "crop": 18, "bald": 8, "medium": 12, "long": 4, "afro": 3} if person.male else {
        "long": 36, "pony": 22, "short": 10, "bun": 12, "medium": 16, "afro": 4
    }  # fmt: skip
    hat = choose(random, HATS)
    if hat == "headscarf" and person.male:
        hat = "none"
    tone = person.hair_colour * np.exp(random.normal(0, 0.35, 3) * (0.3, 0.5, 0.8) + random.normal(0, 0.3))
    return replace(
        person,
        hair=cast(HairStyle, choose(random, styles)),
        hair_colour=np.clip(tone, 0.004, 0.6),
        hair_length=random.uniform(0.1, 0.45),
        hat=cast(HatKind, hat),
        hat_colour=any_dye(random, TOPS),
    )


def _carried(person: Person, random: Random) -> Person:
    def bag(kind: str) -> Bag:
        plastic = kind == "shopping" and random.random() < 0.6
        return Bag(
            kind=cast(BagKind, kind),
            colour=linear(random.uniform(190, 240, 3)) if plastic else any_dye(random, BAGS),
            second=_bright(random),
            side=int(random.choice((-1, 1))),
            size=random.uniform(0.7, 1.5),
            pattern=int(random.integers(3)),
        )

    first = bag(choose(random, CARRIED))
    second = bag(choose(random, {"hand": 1, "shopping": 2, "tote": 1}))
    held = choose(random, HELD)
    hands = {"hand", "shopping"}
    two = random.random() < 0.2 and first.kind not in ("none", *hands)
    return replace(
        person,
        bag=first,
        more=replace(second, side=1) if two else None,  # the left hand; what is held is in the right one
        held=cast(Held, held if first.kind not in hands else "none"),
        held_colour=_bright(random)
        if held == "umbrella" and random.random() < 0.5
        else any_dye(random, BAGS),
        pram=any_dye(random, BAGS) if random.random() < 0.02 else None,
    )


def _bodies(person: Person, random: Random) -> Person:
    age = random.random()
    person = replace(person, shape=person.shape * random.uniform(0.8, 1.4))
    if age < 0.06:  # a child
        return replace(person, height=random.uniform(1.15, 1.5), beard=False)
    if age < 0.2:  # an old person
        grey = linear(random.uniform(120, 210) + random.normal(0, 4, 3))
        return replace(
            person, stoop=random.uniform(0.08, 0.35), hair_colour=grey, height=0.98 * person.height
        )
    return replace(person, stoop=random.uniform(-0.03, 0.06))


def _tones(person: Person, random: Random) -> Person:
    place = random.uniform(0, len(TONES) - 1)
    colours = np.array(TONES, float).T
    skin = np.array([np.interp(place, range(len(TONES)), channel) for channel in colours])
    dark = linear(random.uniform((14, 12, 11), (40, 30, 24)))
    return replace(
        person,
        skin=linear(skin * np.exp(random.normal(0, 0.05))),
        hair_colour=dark if place > 2 else person.hair_colour,
    )


CHANGES: Mapping[str, Callable[[Person, Random], Person]] = {
    "tones": _tones, "bodies": _bodies, "hair": _hair, "clothes": _clothes, "cloth": _cloth,
    "carried": _carried,
}  # fmt: skip


def resemble(person: Person, model: Person, random: Random) -> Person:
    """Return the person in another one's clothes, with one thing changed: a hard negative.

    What is changed is the colour of the upper or the lower garment, the bag, the pattern or the shoes. Body,
    skin and hair stay. A man does not put on a woman's skirt.
    """
    top, bottom = model.top, model.bottom
    if person.male and not model.male and bottom.kind in ("skirt", "dress", "leggings"):
        return person
    dressed = replace(
        person, top=top, bottom=bottom, shoe=model.shoe, sole=model.sole, boot=model.boot, sock=model.sock,
        scarf=model.scarf, bag=model.bag, more=model.more, wrinkles=model.wrinkles,
    )  # fmt: skip
    other, change = any_dye(random, TOPS), random.integers(5)
    if change == 0 or (change == 1 and bottom.kind == "dress"):
        top = replace(top, colours=(other, *top.colours[1:]))
        return replace(dressed, top=top, bottom=_matching(bottom, other))
    if change == 1:
        return replace(dressed, bottom=replace(bottom, colour=other))
    if change == 2:
        return replace(dressed, bag=person.bag, more=None)
    if change == 3:
        return replace(dressed, top=replace(top, pattern=person.top.pattern, logo=person.top.logo))
    return replace(dressed, shoe=person.shoe, sole=person.sole, boot=person.boot, hat=model.hat)


def _matching(bottom: Bottom, colour: Colour) -> Bottom:
    return replace(bottom, colour=colour) if bottom.kind == "dress" else bottom


def _bright(random: Random) -> Colour:
    """Draw a colour of any hue, from muted to strong."""
    colour = random.uniform(10, 240, 3)
    return linear(colour.mean() + (colour - colour.mean()) * random.uniform(0.2, 0.9))

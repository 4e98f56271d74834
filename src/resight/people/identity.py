"""Persons: body, hair, clothes, colours and bags, as a function of (seed, person).

Five consecutive persons (1 to 5, 6 to 10, ...) are a family: most of its members wear similar colours, many
the same garments, so that colour alone does not distinguish them. Sets are split between families, never
within one.
"""

from dataclasses import replace

import numpy as np

from resight.people.body import Body
from resight.people.colours import (
    BAGS,
    BOTTOMS,
    SHOES,
    SOCKS,
    SOLES,
    TOPS,
    any_dye,
    choose,
    dye,
    linear,
)
from resight.people.factors import PLAIN, Factors
from resight.people.person import FAMILY, Bag, Bottom, Person, Top
from resight.people.wardrobe import resemble, vary
from resight.seeds import derive_seed


def sample_person(seed: int, person: int, body: Body, factors: Factors = PLAIN) -> Person:
    """Return a person of a seed's world; numbers below 1 are passers-by, who are never labelled."""
    random = np.random.default_rng(derive_seed(seed, "identity", person))
    male = bool(random.random() < 0.5)
    first, second = random.choice(np.flatnonzero(body.male == male), 2)
    mix = random.uniform()
    tone = random.choice(5, p=[0.3, 0.25, 0.2, 0.13, 0.12])
    skin = np.array(
        [(232, 194, 172), (216, 174, 146), (190, 142, 110), (136, 96, 70), (86, 60, 46)][tone], float
    )
    hair_tones = np.array(
        [(22, 18, 16), (52, 36, 26), (95, 66, 40), (170, 138, 88), (150, 148, 145), (122, 60, 34)], float
    )
    dark = [0.8, 0.1, 0, 0, 0.1, 0]
    hair_tone = random.choice(6, p=[0.38, 0.27, 0.13, 0.1, 0.08, 0.04] if tone < 3 else dark)
    styles = {"short": 60, "crop": 22, "bald": 8, "medium": 10} if male else {
        "long": 38, "pony": 20, "short": 10, "bun": 11, "medium": 21
    }  # fmt: skip
    top, bottom = _top(random, male), _bottom(random, male)
    result = Person(
        male=male,
        shape=mix * body.population[first] + (1 - mix) * body.population[second],
        height=float(np.clip(random.normal(*((1.76, 0.07) if male else (1.64, 0.065))), 1.48, 1.96)),
        skin=linear(np.clip(skin * np.exp(random.normal(0, 0.06)), 10, 250)),
        hair=choose(random, styles),  # type: ignore[arg-type]
        hair_colour=linear(np.clip(hair_tones[hair_tone] * np.exp(random.normal(0, 0.1)), 5, 250)),
        hair_length=random.uniform(0.12, 0.36),
        beard=bool(male and random.random() < 0.25),
        glasses=choose(random, {"none": 80, "clear": 14, "dark": 6}),  # type: ignore[arg-type]
        hat=choose(random, {"none": 84, "cap": 8, "beanie": 5, "hood": 3}),  # type: ignore[arg-type]
        hat_colour=any_dye(random, TOPS),
        top=top,
        bottom=bottom,
        shoe=any_dye(random, SHOES),
        sole=any_dye(random, SOLES),
        boot=random.uniform(0.78, 0.92) if random.random() < 0.15 else 2.0,
        sock=any_dye(random, SOCKS),
        scarf=any_dye(random, TOPS) if top.kind in ("coat", "jacket") and random.random() < 0.3 else None,
        bag=Bag(
            kind=choose(random, {"none": 47, "backpack": 22, "cross": 14, "hand": 9, "tote": 8}),  # type: ignore[arg-type]
            colour=any_dye(random, BAGS),
            second=any_dye(random, TOPS),
            side=int(random.choice([-1, 1])),
            size=random.uniform(0.8, 1.2),
            pattern=int(random.integers(0, 3)),
        ),
        folds=int(random.integers(2**31)),
    )
    result = _as_family(result, seed, person, random)
    if result.bottom.kind == "dress":
        result = _with_dress(result, random)
    elif result.hat == "hood" and result.top.kind != "hoodie":
        result = replace(result, hat="beanie")
    result = vary(result, seed, person, body, factors)
    own = np.random.default_rng(derive_seed(seed, "look-alike", person))
    if (place := (person - 1) % FAMILY) and own.random() < factors.look_alikes:
        return resemble(result, sample_person(seed, person - place, body, factors), own)
    return result


def _top(random: np.random.Generator, male: bool) -> Top:
    kinds = {
        "t-shirt": 26,
        "jumper": 14,
        "shirt": 12,
        "hoodie": 14,
        "jacket": 18,
        "coat": 8,
        "tank": 4,
        "polo": 4,
    }
    if not male:
        kinds = {
            "t-shirt": 24,
            "jumper": 16,
            "shirt": 12,
            "hoodie": 10,
            "jacket": 16,
            "coat": 12,
            "tank": 6,
            "polo": 4,
        }
    kind = choose(random, kinds)
    patterns = {
        "plain": 36, "stripes": 11, "pinstripes": 5, "check": 10, "logo": 14, "block": 7, "sleeves": 7,
        "camouflage": 3, "dots": 3, "band": 4,
    }  # fmt: skip
    if kind == "coat":
        patterns = {"plain": 85, "check": 15}
    sleeve = {"t-shirt": random.uniform(0.3, 0.46), "polo": 0.38, "tank": 0.0}.get(kind, 0.985)
    if kind == "shirt" and random.random() < 0.3:
        sleeve = random.uniform(0.4, 0.6)
    loose = {
        "t-shirt": 9,
        "jumper": 9,
        "shirt": 12,
        "hoodie": 20,
        "jacket": 22,
        "coat": 24,
        "tank": 6,
        "polo": 10,
    }
    opens = kind in ("jacket", "coat", "shirt") and random.random() < 0.5
    return Top(
        kind=kind,  # type: ignore[arg-type]
        colours=(any_dye(random, TOPS), any_dye(random, TOPS), any_dye(random, TOPS)),
        pattern=choose(random, patterns),  # type: ignore[arg-type]
        period=random.uniform(0.045, 0.12),
        share=random.uniform(0.3, 0.6),
        sleeve=sleeve,
        hem=random.uniform(0.0, 0.16) if kind == "jacket" else random.uniform(-0.03, 0.1),
        loose=loose[kind] / 1000 * random.uniform(0.7, 1.4),
        opening=random.uniform(0.03, 0.08) if opens else 0.0,
        neckline=choose(random, {"crew": 60, "v": 25, "scoop": 15}),  # type: ignore[arg-type]
        logo=(
            random.uniform(-0.04, 0.04),
            random.uniform(0.55, 0.75),
            random.uniform(0.05, 0.11),
            random.uniform(0.04, 0.12),
            int(random.integers(0, 3)),
        ),
        back_print=bool(random.random() < 0.35),
        skirt_length=random.uniform(0.3, 0.62) if kind == "coat" else 0.0,
    )


def _bottom(random: np.random.Generator, male: bool) -> Bottom:
    kinds = {"trousers": 42, "jeans": 38, "shorts": 18, "leggings": 2} if male else {
        "trousers": 24, "jeans": 30, "shorts": 10, "skirt": 13, "leggings": 13, "dress": 10
    }  # fmt: skip
    kind = choose(random, kinds)
    length = {
        "shorts": random.uniform(0.3, 0.55),
        "skirt": random.uniform(0.38, 0.85),
        "dress": random.uniform(0.45, 0.9),
    }.get(kind, 1.0 if random.random() < 0.8 else 0.88)
    loose = {"trousers": 18, "jeans": 12, "shorts": 18, "leggings": 4}.get(kind, 10)
    return Bottom(
        kind=kind,  # type: ignore[arg-type]
        colour=dye(random, "denim")
        if kind == "jeans" and random.random() < 0.5
        else any_dye(random, BOTTOMS),
        second=any_dye(random, TOPS),
        length=length,
        loose=loose / 1000 * random.uniform(0.6, 1.6),
        striped=bool(kind in ("trousers", "leggings", "shorts") and random.random() < 0.14),
    )


def _as_family(person: Person, seed: int, number: int, random: np.random.Generator) -> Person:
    """Give most members the family's colours in other shades, and half of these also its garments."""
    shared = np.random.default_rng(derive_seed(seed, "family", (number - 1) // FAMILY))
    upper, second, lower = any_dye(shared, TOPS), any_dye(shared, TOPS), any_dye(shared, BOTTOMS)
    top, bottom = _top(shared, person.male), _bottom(shared, person.male)
    resembles, dressed_alike = random.random() < 0.7, random.random() < 0.4
    if not resembles:
        return person
    if dressed_alike:
        own = person.top
        person = replace(
            person,
            top=replace(top, colours=own.colours, pattern=own.pattern, logo=own.logo, period=own.period),
            bottom=replace(bottom, striped=person.bottom.striped),
        )
    shades = np.exp(random.normal(0, 0.06, (3, 3)))
    colours = (
        np.clip(upper * shades[0], 0.003, 0.9),
        np.clip(0.5 * (person.top.colours[1] + second) * shades[1], 0.003, 0.9),
        person.top.colours[2],
    )
    return replace(
        person,
        top=replace(person.top, colours=colours),
        bottom=replace(person.bottom, colour=np.clip(lower * shades[2], 0.003, 0.9)),
    )


def _with_dress(person: Person, random: np.random.Generator) -> Person:
    """Make top and skirt one garment."""
    top = replace(
        person.top,
        kind="t-shirt",
        sleeve=random.uniform(0.02, 0.5),
        opening=0.0,
        loose=0.008,
        hem=0.0,
        skirt_length=person.bottom.length,
    )
    return replace(
        person, top=top, bottom=replace(person.bottom, colour=top.colours[0]), hat="none", scarf=None
    )

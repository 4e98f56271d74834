"""Colours of a figure's points: skin, hair and cloth, painted in the chart's coordinates."""

import numpy as np

from resight.people.arrays import Flags, Floats, Integers
from resight.people.body import BONE, load_body
from resight.people.figure import BodyPart
from resight.people.person import Bag, Person


def paint(person: Person, part: Integers, chart: Floats) -> tuple[Floats, Floats]:
    """Return albedo [n, 3], linear, and gloss [n] of points with part [n] and chart [n, 6]."""
    albedo = np.empty((len(part), 3), np.float32)
    gloss = np.zeros(len(part), np.float32)
    plain = {
        BodyPart.BOTTOM: None,
        BodyPart.SHOE: person.shoe,
        BodyPart.SOCK: person.sock,
        BodyPart.HAIR: person.hair_colour,
        BodyPart.EYE: np.full(3, 0.25),
        BodyPart.HAT: person.hat_colour,
        BodyPart.SCARF: person.scarf,
        BodyPart.HOOD: person.top.colours[0],
        BodyPart.HELD: person.held_colour,
    }
    for number in BodyPart:
        here = np.flatnonzero(part == number)
        if not len(here):
            continue
        x, y, z, limb, arm, leg = np.ascontiguousarray(chart.take(here, 0).T)
        if number == BodyPart.SKIN:
            albedo[here] = _skin(person, x, y, z)
        elif number == BodyPart.TOP:
            albedo[here] = _top(person, x, y, z, limb, arm > 0.5)
        elif number == BodyPart.BOTTOM:
            albedo[here] = _bottom(person, x, y, z, limb, leg > 0.5)
        elif number == BodyPart.BAG:
            albedo[here] = _bag(person.bag, x, z)
        elif number == BodyPart.MORE and person.more is not None:
            albedo[here] = _bag(person.more, x, z)
        else:
            albedo[here] = plain[number]
        if number == BodyPart.SHOE:
            albedo[here[z < 0.024]] = person.sole
        if number == BodyPart.HAIR:
            strands = 1 + 0.16 * np.sin(x * 310 + 2 * np.sin(z * 40)) + 0.1 * np.sin(y * 250 + z * 30)
            albedo[here] *= strands[:, None]
        gloss[here] = {
            BodyPart.SHOE: 0.05,
            BodyPart.BAG: 0.05,
            BodyPart.HAIR: 0.03,
            BodyPart.SKIN: 0.015,
        }.get(BodyPart(number), 0.0)
    return albedo, gloss


def _skin(person: Person, x: Floats, y: Floats, z: Floats) -> Floats:
    colour = np.repeat(person.skin[None].astype(np.float32), len(x), 0)
    place = _head()
    face = np.flatnonzero((z > place[2] - 0.12) & (y < place[1] - 0.045))
    x, y, z = x[face], y[face] - place[1], z[face] - place[2]
    beside = np.abs(x)
    tone = np.ones((len(face), 3), np.float32)
    tone[(np.abs(z - 0.036) < 0.012) & (np.abs(beside - 0.033) < 0.019)] *= 0.62
    tone[(np.abs(z - 0.036) < 0.006) & (np.abs(beside - 0.033) < 0.013)] *= 0.35
    tone[(np.abs(z + 0.037) < 0.007) & (beside < 0.024)] *= (0.78, 0.5, 0.5)
    tone[(np.abs(z + 0.002) < 0.005) & (beside < 0.014)] *= 0.7
    painted = colour[face] * tone
    brow = (np.abs(z - 0.055) < 0.005) & (np.abs(beside - 0.035) < 0.02)
    painted[brow] = 0.5 * painted[brow] + 0.5 * person.hair_colour
    if person.beard:
        lips = (np.abs(z + 0.037) < 0.007) & (beside < 0.02)
        beard = (z < -0.02 + 0.25 * np.maximum(beside - 0.03, 0)) & (z > -0.1) & ~lips
        painted[beard] = 0.4 * painted[beard] + 0.6 * person.hair_colour
    if person.glasses != "none":
        # two rounded lenses with a rim, a bridge between them and temples to the ears
        lens = (((beside - 0.033) / 0.027) ** 4 + ((z - 0.033) / 0.02) ** 4) ** 0.25
        rim = (np.abs(lens - 0.9) < 0.12) | ((beside < 0.009) & (np.abs(z - 0.038) < 0.003))
        rim |= (beside > 0.055) & (np.abs(z - 0.038) < 0.003)
        inside = lens < 0.9
        painted[inside] *= 0.12 if person.glasses == "dark" else 0.9
        painted[rim] *= 0.25
    colour[face] = painted
    return colour


def _head() -> Floats:
    body = load_body()
    place: Floats = body.joints[BONE["head"]] - (0, 0, body.vertices[:, 2].min())
    return place


def _torso(z: Floats) -> Floats:
    """Return the chart's torso coordinate of a height on the mean body."""
    body = load_body()
    ground, hip, neck = (
        body.vertices[:, 2].min(),
        body.joints[BONE["thigh.L"], 2],
        body.joints[BONE["neck"], 2],
    )
    torso: Floats = (z + ground - hip) / (neck - hip)
    return torso


def _top(person: Person, x: Floats, y: Floats, z: Floats, limb: Floats, arm: Flags) -> Floats:
    top = person.top
    first, second, third = (colour.astype(np.float32) for colour in top.colours)
    colour = np.repeat(first[None], len(x), 0)
    torso = _torso(z)
    trunk = ~arm
    front = y < -0.02
    along = np.where(arm, limb * 0.55, z)
    around = np.where(arm, y, np.arctan2(x, -y) * 0.16)
    match top.pattern:
        case "stripes":
            colour[(along / top.period) % 1 < top.share] = second
        case "pinstripes":
            colour[(around / (0.7 * top.period)) % 1 < top.share] = second
        case "check":
            rows, columns = (along / top.period) % 1 < 0.4, (around / top.period) % 1 < 0.4
            colour[rows ^ columns] = 0.5 * (first + second)
            colour[rows & columns] = second
        case "block":
            colour[np.where(arm, limb < 0.28, torso > 0.52)] = second
        case "sleeves":
            colour[arm] = second
        case "band":
            colour[np.where(arm, np.abs(limb - 0.5) < 0.06, np.abs(torso - 0.45) < 0.07)] = second
        case "camouflage":
            blots = _blots(x, y, z, 45.0, person.folds)
            colour[blots > 0.5] = second
            colour[blots < -0.8] = third
        case "dots":
            grid = 0.6 * top.period
            down, aside = (along / grid) % 1 - 0.5, (around / grid) % 1 - 0.5
            colour[down**2 + aside**2 < 0.07] = second
        case "logo":
            middle, height, width, depth, kind = top.logo
            across, up = (x - middle) / width, (torso - height) / depth
            shape = across**2 + up**2 < 1 if kind == 0 else (np.abs(across) < 1.1) & (np.abs(up) < 1)
            if kind == 2:
                shape &= (up * 2.5) % 1 < 0.55
            colour[trunk & front & shape] = second
        case "print" | "text":
            middle, height, width, depth, _ = top.logo
            patch = trunk & (y < -0.02) & (np.abs(x - middle) < width) & (np.abs(torso - height) < depth)
            if top.pattern == "print":
                blots = _blots(x, y, z, 60.0, person.folds)
                colour[patch & (blots > 0.3)] = second
                colour[patch & (blots < -0.4)] = third
            else:
                line = (torso - height) / 0.07
                letters = np.sin(x * 150 + person.folds % 17) + np.sin(x * 83 + np.floor(line)) > -0.3
                colour[patch & letters & (line % 1 < 0.55)] = second
        case "flowers":
            blots = _blots(x, y, z, 90.0, person.folds)
            colour[blots > 0.55] = second
            colour[blots > 1.0] = third
        case "plaid":
            down, aside = (along / top.period) % 1, (around / top.period) % 1
            colour[(down < 0.5) ^ (aside < 0.5)] = 0.5 * (first + second)
            colour[(down < 0.5) & (aside < 0.5)] = second
            colour[(np.abs(down - 0.75) < 0.06) | (np.abs(aside - 0.75) < 0.06)] = third
    if top.back_print and top.pattern in ("logo", "plain", "sleeves") and top.kind not in ("coat", "shirt"):
        colour[
            trunk & (y > 0) & (np.abs(x) < 0.1) & (np.abs(torso - 0.66) < 0.1) & ((torso / 0.05) % 1 < 0.6)
        ] = third
    if top.opening:
        under = trunk & front & (np.abs(x) < top.opening * np.clip(1.35 - 0.6 * torso, 0.5, 1.4))
        colour[under] = np.where((torso > 0.0)[under, None], third, person.bottom.colour)
    elif top.kind in ("jacket", "coat", "hoodie"):
        colour[trunk & front & (np.abs(x) < 0.007)] *= 0.4
    elif top.kind == "shirt":
        buttons = trunk & front & (np.abs(x) < 0.007) & ((torso / 0.1) % 1 < 0.3)
        colour[buttons] = 0.5 * colour[buttons] + 0.15
    if top.kind in ("jumper", "hoodie", "jacket"):
        colour[np.where(arm, limb > top.sleeve - 0.06, torso < top.hem + 0.06)] *= 0.82
    _straps(person, colour, x, y, z, torso, trunk)
    return colour


def _straps(
    person: Person, colour: Floats, x: Floats, y: Floats, z: Floats, torso: Floats, trunk: Flags
) -> None:
    bag = person.bag
    if bag.kind == "backpack":
        strap = (np.abs(np.abs(x) - 0.108) < 0.02) & (torso > 0.42) & (y < 0.02)
        strap |= (np.abs(np.abs(x) - 0.12) < 0.025) & (torso > 0.88)
    elif bag.kind == "cross":
        strap = np.abs(z - 1.2 + 1.35 * bag.side * x) < 0.035
    elif bag.kind == "tote":
        strap = (np.abs(x - bag.side * 0.14) < 0.02) & (torso > 0.5)
    else:
        return
    colour[strap & trunk] = 0.8 * bag.colour


def _bottom(person: Person, x: Floats, y: Floats, z: Floats, limb: Floats, leg: Flags) -> Floats:
    bottom, top = person.bottom, person.top
    colour = np.repeat(bottom.colour[None].astype(np.float32), len(x), 0)
    if bottom.striped:
        colour[leg & (np.abs(y + 0.02) < 0.018) & (np.abs(x) > 0.15)] = bottom.second
    if bottom.kind == "jeans":
        worn = np.where(leg & (y < 0), np.exp(-(((np.abs(x) - 0.14) / 0.05) ** 2)) * (limb < 0.8), 0)
        colour *= (1 + 0.35 * worn)[:, None]
        colour[leg & (np.abs(x) > 0.19) & (np.abs(y) < 0.006)] *= 0.7
    if bottom.kind == "skirt" and top.pattern in ("check", "dots"):
        tiles = ((z / top.period) % 1 < 0.4) ^ ((np.arctan2(x, -y) * 0.16 / top.period) % 1 < 0.4)
        colour[tiles] = bottom.second
    elif bottom.kind != "skirt":
        colour[_torso(z) > 0.2] *= 0.5
    return colour


def _bag(bag: Bag, x: Floats, z: Floats) -> Floats:
    colour = np.repeat(bag.colour[None].astype(np.float32), len(x), 0)
    if bag.pattern == 1:
        colour[z < -0.1] = bag.second
    elif bag.pattern == 2:
        colour[(np.abs(z - 0.1) < 0.12) & (np.abs(x) < 0.6)] = bag.second
    colour[np.abs(z - 0.55) < 0.06] *= 0.4
    return colour


def _blots(x: Floats, y: Floats, z: Floats, rate: float, key: int) -> Floats:
    """Return a smooth random field, about -1 to 1: a few waves in directions determined by the key."""
    random = np.random.default_rng(key)
    waves, phases = random.normal(size=(5, 3)) * rate, random.uniform(0, 2 * np.pi, 5)
    field: Floats = np.zeros(len(x))
    for (a, b, c), phase in zip(waves, phases, strict=True):
        field = field + np.sin(a * x + b * y + c * z + phase)
    return field / 2

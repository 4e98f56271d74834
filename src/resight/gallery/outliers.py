"""Outlier detection: a picture unlike all crops of a gallery may show no person."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from resight.gallery.crops import Filter
from resight.gallery.stores.store import Store
from resight.inference.embedder import Vectors

SAMPLE = 1000
"""Number of crops to fit on: the first by id, which is a random sample."""

MIN_CROPS = 200
"""Fewest crops to fit on."""

INLIER_SHARE = 0.995
"""Share of the gallery's crops that are inliers."""

SHRINKAGE = 0.1
"""Weight of the isotropic covariance: the sample is too small to estimate most directions."""


class OutlierDetector:
    """The distribution of a gallery's vectors.

    Uses the Mahalanobis distance to the mean of half of the crops, with a covariance shrunk towards equal
    variances (as Lee et al. 2018 do per class). The other half gives the threshold. The distance to the
    nearest crop works less well: vectors of landscapes and drawings lie between those of persons and near
    some of them, but outside of the subspace in which persons differ.

    Args:
        vectors: float32 [N, D] of a gallery's crops, in random order.
    """

    def __init__(self, vectors: Vectors) -> None:
        fitted, others = vectors[::2], vectors[1::2]
        self._mean = fitted.mean(axis=0)
        _, values, directions = np.linalg.svd(fitted - self._mean, full_matrices=False)
        variances = values**2 / len(fitted)
        rest = max(SHRINKAGE * float(variances.sum()) / vectors.shape[1], 1e-12)
        kept = variances > 1e-6 * variances[0]
        self._directions = directions[kept]
        self._weights = 1 / ((1 - SHRINKAGE) * variances[kept] + rest) - 1 / rest
        self._rest = rest
        self._limit = float(np.quantile(self.distances(others), INLIER_SHARE))

    @classmethod
    def of(cls, store: Store) -> "Self | None":
        """Fit to the crops of a store; None if they are too few."""
        records, _ = store.page(Filter(), SAMPLE, None, "vector")
        if len(records) < MIN_CROPS:
            return None
        return cls(np.stack([record.vector for record in records if record.vector is not None]))

    def distances(self, vectors: Vectors) -> NDArray[np.float32]:
        """Return the squared distances [N] of vectors [N, D]."""
        centred = vectors - self._mean
        found: NDArray[np.float32] = (centred**2).sum(axis=1) / self._rest
        found += (centred @ self._directions.T) ** 2 @ self._weights
        return found

    def is_outlier(self, vectors: Vectors) -> bool:
        """Return whether all of these vectors [N, D] are outliers."""
        return bool(self.distances(vectors).min() > self._limit)

"""What pictures of a gallery are like, all together: a picture that is not may show no person."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from resight.gallery.crops import Filter
from resight.gallery.stores.store import Store
from resight.inference.embedder import Vectors

SAMPLE = 1000
"""Crops to look at, the first by their ids, which are random."""

LEAST = 200
"""Crops from which on a gallery can tell what is usual."""

USUAL = 0.995
"""Share of the gallery's own crops that are called usual."""

SHRINKAGE = 0.1
"""Share of the variance that is taken to be equal in all directions, as few crops tell little of most."""


class OutlierDetector:
    """How a gallery's vectors are distributed.

    The distance of a vector is Mahalanobis', to the mean of half of the crops, with a covariance shrunk
    towards equal variances (as Lee et al. 2018 tell strange pictures, there by class). What the other half
    shows is usual. How far the nearest crop lies tells less: vectors of landscapes and drawings fall between
    those of persons, near one or the other, but outside of the directions in which persons differ.

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
        self._limit = float(np.quantile(self.distances(others), USUAL))

    @classmethod
    def of(cls, store: Store) -> "Self | None":
        """Learn from the crops of a store; None where they are too few."""
        records, _ = store.page(Filter(), SAMPLE, None, "vector")
        if len(records) < LEAST:
            return None
        return cls(np.stack([record.vector for record in records if record.vector is not None]))

    def distances(self, vectors: Vectors) -> NDArray[np.float32]:
        """Return the squared distances [N] of vectors [N, D]."""
        centred = vectors - self._mean
        found: NDArray[np.float32] = (centred**2).sum(axis=1) / self._rest
        found += (centred @ self._directions.T) ** 2 @ self._weights
        return found

    def is_unlike(self, vectors: Vectors) -> bool:
        """Tell whether all of these vectors [N, D] lie where hardly any crop does."""
        return bool(self.distances(vectors).min() > self._limit)

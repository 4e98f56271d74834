"""Descriptors in the plane, by t-SNE (SN, Fig. 6)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from resight.data.crop import Crop
from resight.evaluation.features import Metric
from resight.training.testing import EmbeddedBenchmark

LEAST_PERSONS, LEAST_CROPS = 2, 10
PERPLEXITY = 30.0

Plane = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Projection:
    """Descriptors of some crops in the plane.

    Attributes:
        crops: N crops.
        persons: the persons among them, in the order of their colours.
        total: number of persons in the test part.
        places: name of a model -> (x, y) in [0, 1] of each crop, [N, 2].
    """

    crops: tuple[Crop, ...]
    persons: tuple[int, ...]
    total: int
    places: dict[str, Plane]

    @property
    def height(self) -> float:
        """Largest extent of y, whose middle is 0.5."""
        return max(float(np.ptp(places[:, 1])) for places in self.places.values())


def too_few(embedded: EmbeddedBenchmark) -> str:
    """Return why t-SNE does not apply to these crops; empty if it does."""
    crops = {crop for crop in (*embedded.query_crops, *embedded.gallery_crops) if crop.person > 0}
    persons = len({crop.person for crop in crops})
    if persons >= LEAST_PERSONS and len(crops) >= LEAST_CROPS:
        return ""
    return (
        f"t-SNE needs {LEAST_PERSONS} persons and {LEAST_CROPS} crops or more; the test part has "
        f"{persons} {'person' if persons == 1 else 'persons'} and {len(crops)} crops."
    )


def project(
    embedded: dict[str, EmbeddedBenchmark], first: Sequence[int], count: int, metric: Metric
) -> Projection:
    """Project the descriptors of some persons' crops, query and gallery alike.

    Args:
        embedded: by name of the model, all of the same crops.
        first: persons to have in any case.
        count: number of persons; the others are spread evenly over the test part.
        metric: ``cosine`` scales the descriptors to unit length first.
    """
    one = next(iter(embedded.values()))
    crops = (*one.query_crops, *one.gallery_crops)
    known = sorted({crop.person for crop in crops if crop.person > 0})
    others = [person for person in known if person not in first]
    more = max(0, min(count - len(set(first)), len(others)))
    spread = [others[place * len(others) // more] for place in range(more)]
    persons = tuple(sorted({*first, *spread}))
    rows = {crop: row for row, crop in reversed(list(enumerate(crops))) if crop.person in persons}
    order = sorted(rows.values())
    places = {}
    for name, part in embedded.items():
        queries = len(part.query_crops)
        query, gallery = (
            part.query.features[[row for row in order if row < queries]],
            part.gallery.features[[row - queries for row in order if row >= queries]],
        )
        places[name] = _tsne([query, gallery], metric)
    return Projection(tuple(crops[row] for row in order), persons, len(known), places)


def _tsne(parts: Sequence[Tensor], metric: Metric) -> Plane:
    """Return Barnes-Hut t-SNE of features, scaled to [0, 1] with equal units on both axes."""
    from sklearn.manifold import TSNE

    features = np.concatenate(
        [(functional.normalize(part) if metric == "cosine" else part).float().numpy() for part in parts]
    )
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    found = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(features).astype(np.float64)
    low, high = found.min(0), found.max(0)
    return np.asarray((found - (low + high) / 2) / max(float((high - low).max()), 1e-9) + 0.5)

"""Searching by one or several pictures of a person, and the results."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resight.evaluation.cameras import unit_or_zero
from resight.gallery.crops import Filter, StoredCrop
from resight.gallery.stores.store import Part, Record, Store
from resight.inference.embedder import Vectors

WINDOW = 200
"""Best matches that are re-ranked: 2.7 times the time of a search; 400 rank a little better, in 4.7 times."""

K1, K2, ORIGINAL = 12, 3, 0.3
"""k1, k2 and lambda of re-ranking a search: chosen on real crops (docs/methods/cameras.md)."""

Combine = Literal["average", "max"]
"""A crop's score for several queries: its similarity to their mean vector, or the highest of all."""


@dataclass(frozen=True, slots=True)
class Match:
    """A crop in a search result.

    Attributes:
        crop: the crop.
        score: cosine similarity of its vector and the query's, without their cameras' means if these are
            removed; 1 is nearest.
        likely: whether it is within the calibrated threshold; None if the gallery is not calibrated.
        query: index of the nearest query; 0 if they were averaged.
        reranked: distance after re-ranking, by which matches are sorted; None if not re-ranked.
    """

    crop: StoredCrop
    score: float
    likely: bool | None
    query: int = 0
    reranked: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return self.crop.as_dict() | {
            "score": self.score,
            "likely": self.likely,
            "query": self.query,
            "reranked": self.reranked,
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of matches.

    Attributes:
        matches: nearest first.
        offset: number of matches on previous pages.
        searched: number of crops that the filter selects.
        false_match_rate: expected share of other persons' crops within the threshold; None if the gallery is
            not calibrated.
        threshold: largest distance (1 - score) of likely matches.
        expected_false: expected number of crops of other persons within the threshold.
        outlier: whether the picture is an outlier, which may show no person; None if not known.
        exact: whether every crop was compared in full precision.
        camera_normalise: whether vectors were compared without their cameras' means.
    """

    matches: tuple[Match, ...]
    offset: int
    searched: int
    false_match_rate: float | None
    threshold: float | None
    expected_false: float | None
    outlier: bool | None
    exact: bool
    camera_normalise: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self) | {"matches": [match.as_dict() for match in self.matches]}


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that a search found."""

    record: Record
    query: int
    reranked: float | None = None


def nearest(
    store: Store,
    vectors: Vectors,
    where: Filter,
    limit: int,
    *,
    combine: Combine,
    rerank: bool,
    exact: bool,
) -> list[Hit]:
    """Return the records nearest to one or several vectors [Q, D] of a person, nearest first.

    Args:
        store: to search.
        vectors: of unit length.
        where: selects records.
        limit: number to return.
        combine: see ``Combine``.
        rerank: number of best records to re-rank by k-reciprocal neighbours.
        exact: see ``Store.search``.
    """
    if combine == "average" and len(vectors) > 1:
        vectors = unit_or_zero(vectors.mean(0, keepdims=True))
    parts: tuple[Part, ...] = ("vector",) if rerank else ()
    depth = max(limit, WINDOW) if rerank else limit
    best: dict[str, Hit] = {}
    for query, records in enumerate(store.search(vectors, where, depth, *parts, exact=exact)):
        for record in records:
            if record.id not in best or record.score > best[record.id].record.score:
                best[record.id] = Hit(record, query)
    hits = sorted(best.values(), key=lambda hit: (-hit.record.score, hit.record.id))
    if rerank and len(hits) > 2:
        hits = _reranked(vectors, hits[:WINDOW]) + hits[WINDOW:]
    return hits[:limit]


def _reranked(vectors: Vectors, hits: Sequence[Hit]) -> list[Hit]:
    """Sort hits by their k-reciprocal distance to the nearest query."""
    found = reranked_distances(vectors, np.stack([hit.record.vector for hit in hits]))  # type: ignore[misc]
    values = found.min(0).tolist()
    order = sorted(range(len(hits)), key=lambda place: (values[place], place))
    return [replace(hits[place], reranked=values[place]) for place in order]


def reranked_distances(queries: Vectors, crops: Vectors) -> Vectors:
    """Return the distances of ``evaluation.reranking`` (Zhong et al. 2017) among a few hundred vectors.

    The same to rounding, by dense matrices, in a third of the time and without loading PyTorch.

    Args:
        queries, crops: unit vectors [Q, D] and [G, D].

    Returns:
        [Q, G], from 0 to 1.
    """
    items = np.concatenate([queries, crops])
    k1, rows = min(K1, len(crops)), np.arange(len(items))[:, None]
    distances = np.maximum(2 - 2 * (items @ items.T), 0)
    np.fill_diagonal(distances, -1)  # an item is its own nearest
    nearest = np.argpartition(distances, k1, axis=1)[:, : k1 + 1]
    nearest = nearest[rows, np.argsort(distances[rows, nearest], axis=1, kind="stable")]
    np.fill_diagonal(distances, 0)
    distances /= np.maximum(distances.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)

    def reciprocal(k: int) -> NDArray[np.bool_]:
        near = np.zeros(distances.shape, bool)
        near[rows, nearest[:, : k + 1]] = True
        return near & near.T

    mutual, few = reciprocal(k1), reciprocal(round(k1 / 2)).astype(np.float32)
    # a neighbour's own neighbours are taken if more than two thirds of them are known (Eq. 4)
    taken = mutual & (3 * (mutual.astype(np.float32) @ few.T) > 2 * few.sum(axis=1))
    weights = np.where(mutual | (taken.astype(np.float32) @ few > 0), np.exp(-distances), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    weights = weights[nearest[:, :K2]].mean(axis=1)
    own, theirs = np.split(weights, [len(queries)])
    shared = np.stack([np.minimum(one, theirs).sum(axis=1) for one in own])
    original = distances[: len(queries), len(queries) :]
    found: Vectors = ((1 - ORIGINAL) * (1 - shared / (2 - shared)) + ORIGINAL * original).astype(np.float32)
    return found

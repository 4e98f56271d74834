"""Searching by one or several pictures of a person, and the results."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from resight.gallery.crops import Filter, StoredCrop
from resight.gallery.stores.store import Part, Record, Store
from resight.inference.embedder import Vectors, unit

Combine = Literal["average", "max"]
"""A crop's score for several queries: its similarity to their mean vector, or the highest of all."""


@dataclass(frozen=True, slots=True)
class Match:
    """A crop in a search result.

    Attributes:
        crop: the crop.
        score: cosine similarity of its vector and the query's; 1 is nearest.
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
        unlike_anything: whether the picture is an outlier, which may show no person; None if not known.
        exact: whether every crop was compared in full precision.
    """

    matches: tuple[Match, ...]
    offset: int
    searched: int
    false_match_rate: float | None
    threshold: float | None
    expected_false: float | None
    unlike_anything: bool | None
    exact: bool

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
    rerank: int,
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
        vectors = unit(vectors.mean(0, keepdims=True))
    parts: tuple[Part, ...] = ("vector",) if rerank else ()
    best: dict[str, Hit] = {}
    for query, records in enumerate(store.search(vectors, where, max(limit, rerank), *parts, exact=exact)):
        for record in records:
            if record.id not in best or record.score > best[record.id].record.score:
                best[record.id] = Hit(record, query)
    hits = sorted(best.values(), key=lambda hit: (-hit.record.score, hit.record.id))
    if rerank and len(hits) > 2:
        hits = _reranked(vectors, hits[:rerank]) + hits[rerank:]
    return hits[:limit]


def _reranked(vectors: Vectors, hits: Sequence[Hit]) -> list[Hit]:
    """Sort hits by their k-reciprocal distance to the nearest query (Zhong et al. 2017)."""
    import torch

    from resight.evaluation.reranking import Reranking, rerank

    queries = torch.from_numpy(vectors)
    crops = torch.from_numpy(np.stack([hit.record.vector for hit in hits]))  # type: ignore[misc]

    def distances(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (2 - 2 * first @ second.T).clamp_(min=0).sqrt_()

    default = Reranking()
    settings = replace(default, k1=min(default.k1, len(crops)), k2=min(default.k2, len(crops)))
    found = rerank(distances(queries, crops), distances(queries, queries), distances(crops, crops), settings)
    values = found.min(0).values.tolist()
    order = sorted(range(len(hits)), key=lambda place: (values[place], place))
    return [replace(hits[place], reranked=values[place]) for place in order]

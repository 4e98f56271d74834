"""Search results, and the ranking for several pictures of one person."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from resight.gallery.crops import Filter, StoredCrop
from resight.gallery.stores.store import Part, Record, Store
from resight.inference.embedder import Vectors, unit

Combine = Literal["average", "max"]
"""A crop's score for several pictures of one person: to their mean vector, or the highest."""


@dataclass(frozen=True, slots=True)
class Match:
    """A crop in a search result.

    Attributes:
        crop: the crop.
        score: the cosine of the angle between its vector and the query's: 1 is nearest.
        likely: whether it is within the calibrated threshold; None if the gallery is not calibrated.
        query: number of the picture that it is nearest to, from 0; 0 if they were averaged.
        reranked: distance after re-ranking, which sorts the matches; None for those that were not re-ranked.
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
        offset: matches on the pages before.
        searched: number of crops that the filter selects.
        false_match_rate: share of other persons' crops that are expected within the threshold; None if the
            gallery is not calibrated.
        threshold: distance (1 - score) of likely matches, at most.
        expected_false: number of crops of other persons that are expected within the threshold.
        unlike_anything: the picture is so unlike all crops of the gallery that it may show no person; None if
            that is not known.
        exact: every crop was compared in full precision.
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
    """A record that was found, before it becomes a match."""

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
    """Return the nearest records of one or several vectors [Q, D] of one person, nearest first.

    Args:
        store: to search.
        vectors: of unit length.
        where: selects records.
        limit: number to return.
        combine: see ``Combine``.
        rerank: number of the first to re-rank by k-reciprocal neighbours.
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

    usual = Reranking()
    settings = replace(usual, k1=min(usual.k1, len(crops)), k2=min(usual.k2, len(crops)))
    found = rerank(distances(queries, crops), distances(queries, queries), distances(crops, crops), settings)
    values = found.min(0).values.tolist()
    order = sorted(range(len(hits)), key=lambda place: (values[place], place))
    return [replace(hits[place], reranked=values[place]) for place in order]

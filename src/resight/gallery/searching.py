"""What a search finds, and how several pictures of one person search as one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from resight.errors import UserError
from resight.gallery.crops import Filter, StoredCrop
from resight.gallery.stores.store import Part, Record, Store
from resight.inference.embedder import Vectors, unit

Combine = Literal["average", "max"]
"""Several pictures of one person: their mean vector searches, or each does and a crop's best score counts."""


@dataclass(frozen=True, slots=True)
class Match:
    """A crop that was found.

    Attributes:
        crop: it.
        score: the cosine of the angle between its vector and the query's: 1 is nearest.
        likely: it lies within the calibrated threshold; None where the gallery is not calibrated.
        query: which of the pictures it is nearest to, from 0; 0 where they were averaged.
        reranked: distance after re-ranking, which the order is by; None beyond the crops re-ranked.
    """

    crop: StoredCrop
    score: float
    likely: bool | None
    query: int = 0
    reranked: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        told = {"score": self.score, "likely": self.likely, "query": self.query, "reranked": self.reranked}
        return self.crop.as_dict() | told


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search.

    Attributes:
        matches: nearest first.
        offset: matches on the pages before.
        searched: crops that fit the filter.
        false_match_rate: share of the crops of other persons that are expected within the threshold; None
            where the gallery is not calibrated.
        threshold: distance (1 - score) within which a match is likely.
        expected_false: how many of the crops searched are expected within the threshold by chance.
        unlike_anything: the nearest crop of the whole gallery is so far off that the picture may show no
            person; None where it was not measured what is usual.
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
        return {
            "matches": [match.as_dict() for match in self.matches],
            "offset": self.offset,
            "searched": self.searched,
            "false_match_rate": self.false_match_rate,
            "threshold": self.threshold,
            "expected_false": self.expected_false,
            "unlike_anything": self.unlike_anything,
            "exact": self.exact,
        }


@dataclass(frozen=True, slots=True)
class Hit:
    """A record on its way to a match."""

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
        store: where to look.
        vectors: of unit length.
        where: which records to look at.
        limit: how many to return.
        combine: how several vectors search as one.
        rerank: how many of the first to re-rank by k-reciprocal neighbours; 0 for none.
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
    """Sort hits by their k-reciprocal distance to the nearest of the queries (Zhong et al. 2017)."""
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


def refuse_unknown(kind: str, wanted: Sequence[str], known: dict[str, int]) -> None:
    """Refuse names in a filter that no crop has.

    Raises:
        UserError: with the nearest name that there is.
    """
    from resight.errors import did_you_mean

    for name in wanted:
        if name not in known:
            there = did_you_mean(name, known) if known else f" No crop has a {kind}."
            raise UserError(f"No crop in the gallery has the {kind} '{name}'.{there}")

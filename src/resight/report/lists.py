"""Ranked lists of a model's best, median and worst queries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resight.data.benchmark import Protocol
from resight.data.crop import Crop
from resight.evaluation.ranking import nearest
from resight.evaluation.scores import Scores
from resight.training.testing import EmbeddedBenchmark

Kind = Literal["best", "median", "worst", "chosen"]
KINDS: tuple[Kind, ...] = ("best", "median", "worst")
"""The kinds that scores select."""


@dataclass(frozen=True, slots=True)
class RankedCrop:
    """A gallery crop in a ranked list.

    Attributes:
        crop: the gallery crop.
        score: its similarity to the query, or its distance, depending on the metric.
        right: it shows the query's person.
    """

    crop: Crop
    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class RankedList:
    """A query and its nearest gallery crops, without those that the protocol ignores.

    Attributes:
        kind: best, median or worst; or chosen by the user.
        query: the query crop.
        average_precision: of the whole list, in [0, 1].
        first_match: rank of the first right crop in the whole list, from 1.
        hits: the first ones, nearest first.
    """

    kind: Kind
    query: Crop
    average_precision: float
    first_match: int
    hits: tuple[RankedCrop, ...]


def choose_queries(
    average_precision: NDArray[np.float64], valid: NDArray[np.bool_], persons: NDArray[np.int64], count: int
) -> dict[Kind, list[int]]:
    """Return the rows of the best, median and worst queries by average precision, ``count`` of each at most.

    No query is shown twice, and no person twice in a group; ties keep the queries' order.

    Args:
        average_precision, valid, persons: [Q]; queries that are not valid are never chosen.
    """
    order = [int(row) for row in np.argsort(-average_precision, kind="stable") if valid[row]]
    outwards = sorted(range(len(order)), key=lambda place: abs(place - (len(order) - 1) / 2))
    preferences: dict[Kind, Iterable[int]] = {
        "best": order,
        "worst": reversed(order),
        "median": [order[place] for place in outwards],
    }
    taken: set[int] = set()
    chosen: dict[Kind, list[int]] = {}
    for kind, rows in preferences.items():
        seen: dict[int, int] = {}
        for row in rows:
            if len(seen) == count:
                break
            if row not in taken:
                seen.setdefault(int(persons[row]), row)
        chosen[kind] = sorted(seen.values(), key=order.index)
        taken |= set(seen.values())
    return {kind: chosen[kind] for kind in KINDS}


def select_queries(embedded: EmbeddedBenchmark, scores: Scores, count: int) -> dict[Kind, list[int]]:
    """Do what ``choose_queries`` does, for the queries that were scored."""
    per_query = scores.per_query
    return choose_queries(
        per_query.average_precision.double().numpy(),
        per_query.valid.numpy(),
        embedded.query.persons.numpy(),
        count,
    )


def ranked_lists(
    embedded: EmbeddedBenchmark,
    scores: Scores,
    protocol: Protocol,
    queries: Mapping[Kind, Sequence[int]] | None = None,
    *,
    count: int = 3,
    hits: int = 10,
) -> list[RankedList]:
    """Return ranked lists of some queries, kind by kind.

    Args:
        embedded: crops and features of query and gallery.
        scores: of the same features.
        protocol: the evaluation rule; crops that it ignores are left out.
        queries: rows of the queries; by default ``count`` best, median and worst ones.
        count: queries of each kind.
        hits: crops in each list.
    """
    per_query = scores.per_query
    chosen = queries or select_queries(embedded, scores, count)
    rows = [(kind, row) for kind, rows in chosen.items() for row in rows]
    indices, similarities = nearest(
        embedded.query, embedded.gallery, protocol, hits, metric=scores.metric, rows=[row for _, row in rows]
    )
    lists = []
    for (kind, row), places, values in zip(rows, indices.tolist(), similarities.tolist(), strict=True):
        query = embedded.query_crops[row]
        crops = [
            (embedded.gallery_crops[place], value)
            for place, value in zip(places, values, strict=True)
            if place >= 0
        ]
        lists.append(
            RankedList(
                kind,
                query,
                float(per_query.average_precision[row]),
                int(per_query.first_match_rank[row]),
                tuple(RankedCrop(crop, value, crop.person == query.person) for crop, value in crops),
            )
        )
    return lists

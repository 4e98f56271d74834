"""How the engine in this process keeps vectors, and how it is asked: its settings and requests."""

from typing import Any

import qdrant_edge as engine

from resight.gallery.crops import KEY, Filter
from resight.gallery.stores.store import (
    GRAPH_EDGES,
    GRAPH_EFFORT,
    KEYWORDS,
    NUMBERS,
    Layout,
    conditions,
    search_effort,
)
from resight.inference.embedder import Vectors

SCANNED_NUMBERS = 600_000_000
"""Numbers whose quantized forms are compared one by one, in about 30 ms on one core (1,171,875 vectors of
512). Larger galleries have an HNSW graph, which takes minutes to build."""

CANDIDATES, OVERSAMPLING = 100, 2.0
"""Vectors to compare in float32 after all were compared in quantized form: so many at least, and so many for
each one wanted. Of the first ten of 100,000 vectors, 97 % are among the first ten by quantized forms, and all
among the first twenty; where all vectors are nearly parallel (cosines of 0.98), among the first hundred."""

BROAD, DEEPER = 0.25, 1.5
"""Share of the vectors, as the engine estimates it, from which on a filter is applied to what is found
without it, and how many times as many are looked at as should hold enough. Looking at a vector only after the
filter takes up to three times as long, and is left to the cases where too few are found."""


def config_of(layout: Layout) -> Any:
    """Return how the engine is to lay out a store: vectors in float32, and with 4 bits a number in memory."""
    return engine.EdgeConfig(
        vectors=engine.EdgeVectorParams(size=layout.width, distance=engine.Distance.Dot),
        quantization_config=engine.TurboQuantQuantizationConfig(
            bits=engine.TurboQuantBitSize.Bits4, memory=engine.Memory.Pinned
        ),
        hnsw_config=engine.HnswIndexConfig(
            m=GRAPH_EDGES, ef_construct=GRAPH_EFFORT, full_scan_threshold=10_000
        ),
        optimizers=engine.EdgeOptimizersConfig(
            indexing_threshold=layout.graph_size(SCANNED_NUMBERS) * layout.width * 4 // 1024
        ),
    )


def indexes() -> list[tuple[str, Any]]:
    """Return the fields to filter by and their indexes, which must be there before a graph is built.

    Graphs of their own (``enable_hnsw``) double the time to build one, and ACORN finds as many without.
    """
    return [
        *((field, engine.KeywordIndexParams(enable_hnsw=False)) for field in KEYWORDS),
        *((field, engine.FloatIndexParams(enable_hnsw=False)) for field in NUMBERS),
        (KEY, engine.IntegerIndexParams(lookup=True, range=False, enable_hnsw=False)),
    ]


def nearest_to(
    vector: Vectors, where: Filter, limit: int, total: int, exact: bool, with_payload: bool, with_vector: bool
) -> Any:
    """Return the request for the nearest of a vector among ``total``."""
    oversampling = max(OVERSAMPLING, CANDIDATES / limit)
    return engine.QueryRequest(
        query=engine.Query.Nearest(vector.tolist()),
        limit=limit,
        filter=filter_of(where),
        params=engine.SearchParams(
            exact=exact,
            hnsw_ef=max(search_effort(total), limit),
            acorn=engine.AcornSearchParams(enable=True, max_selectivity=1.0),
            quantization=engine.QuantizationSearchParams(rescore=True, oversampling=oversampling),
        ),
        with_payload=with_payload,
        with_vector=with_vector,
    )


def filter_of(where: Filter) -> Any:
    """Return a filter; None if it selects all."""
    parts = conditions(where)
    must, must_not = ([_condition(one) for one in parts[part]] for part in ("must", "must_not"))
    return engine.Filter(must=must, must_not=must_not) if must or must_not else None


def _condition(one: dict[str, Any]) -> Any:
    if "match" in one:
        return engine.FieldCondition(one["key"], match=engine.MatchAny(one["match"]["any"]))
    if "range" in one:
        return engine.FieldCondition(one["key"], range=engine.RangeFloat(**one["range"]))
    if "is_empty" in one:
        return engine.IsEmptyCondition(one["is_empty"]["key"])
    return engine.HasIdCondition(set(one["has_id"]))

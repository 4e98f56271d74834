"""Settings of, and requests to, Qdrant Edge."""

from typing import Any

import qdrant_edge as engine

from resight.gallery.crops import CAMERA_KEY, Filter
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
"""Quantized numbers that a search scans in about 30 ms on one core (1,171,875 vectors of 512). Larger
galleries have an HNSW graph, which takes minutes to build."""

CANDIDATES, OVERSAMPLING = 100, 2.0
"""Candidates of the quantized scan to rescore in float32: the minimum, and the number per requested result.
Of the ten nearest of 100,000 vectors, 97 % are among the first ten of the quantized scan, and all among the
first twenty; if all vectors are nearly parallel (cosines of 0.98), all are among the first hundred."""

POST_FILTER_SHARE, POST_FILTER_MARGIN = 0.25, 1.5
"""A filter that keeps at least this share of the vectors, by the engine's estimate, is applied after the
search. The search then returns this many times the number of vectors expected to yield enough matches.
Filtering during the search takes up to three times as long, and is used only if too few of them match."""


def config_of(layout: Layout) -> Any:
    """Return the engine's settings for a store: float32 vectors, and 4 bits per number in memory."""
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
    """Return the payload indexes by field; they must exist before a graph is built.

    Extra graphs per field value (``enable_hnsw``) double the building time; ACORN finds as many without them.
    """
    return [
        *((field, engine.KeywordIndexParams(enable_hnsw=False)) for field in KEYWORDS),
        *((field, engine.FloatIndexParams(enable_hnsw=False)) for field in NUMBERS),
        (CAMERA_KEY, engine.IntegerIndexParams(lookup=True, range=False, enable_hnsw=False)),
    ]


def nearest_to(
    vector: Vectors, where: Filter, limit: int, total: int, exact: bool, with_payload: bool, with_vector: bool
) -> Any:
    """Return the request for the vectors nearest to one, in a store of ``total`` vectors."""
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
    """Return the engine's filter; None if all records match."""
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

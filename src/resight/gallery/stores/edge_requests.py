"""What is asked of the engine in this process, in its own words."""

from collections.abc import Sequence
from typing import Any

import qdrant_edge as engine

from resight.gallery.crops import KEY, Filter
from resight.gallery.stores.store import (
    GRAPH_EDGES,
    GRAPH_EFFORT,
    KEYWORDS,
    NUMBERS,
    PICTURE,
    Layout,
    Part,
    Storage,
    conditions,
)

TYPES: dict[Storage, Any] = {
    "float32": engine.VectorStorageDatatype.Float32,
    "float16": engine.VectorStorageDatatype.Float16,
    "int8": engine.VectorStorageDatatype.Turbo8,
}


def config_of(layout: Layout) -> Any:
    """Return how the engine is to lay out a store."""
    vectors = engine.EdgeVectorParams(
        size=layout.width, distance=engine.Distance.Dot, datatype=TYPES[layout.storage]
    )
    return engine.EdgeConfig(
        vectors=vectors,
        hnsw_config=engine.HnswIndexConfig(
            m=GRAPH_EDGES, ef_construct=GRAPH_EFFORT, full_scan_threshold=10_000
        ),
        optimizers=engine.EdgeOptimizersConfig(
            indexing_threshold=layout.exact_up_to * layout.width * 4 // 1024
        ),
    )


def indexes() -> list[tuple[str, Any]]:
    """Return fields and their indexes; no graphs of their own, which double the time to build one."""
    return [
        *((field, engine.KeywordIndexParams(enable_hnsw=False)) for field in KEYWORDS),
        *((field, engine.FloatIndexParams(enable_hnsw=False)) for field in NUMBERS),
        (KEY, engine.IntegerIndexParams(lookup=True, range=False, enable_hnsw=False)),
    ]


def wanted_of(parts: Sequence[Part]) -> tuple[Any, bool]:
    """Return which fields to return, and whether to return vectors."""
    return "picture" in parts or engine.PayloadSelector.Exclude([PICTURE]), "vector" in parts


def filter_of(where: Filter) -> Any:
    """Return a filter; None where it keeps all."""
    must, must_not = ([_condition(*one) for one in some] for some in conditions(where))
    return engine.Filter(must=must, must_not=must_not) if must or must_not else None


def _condition(kind: str, *rest: Any) -> Any:
    if kind == "any":
        field, values = rest
        return engine.FieldCondition(field, match=engine.MatchAny(values))
    if kind == "range":
        field, least, below = rest
        return engine.FieldCondition(field, range=engine.RangeFloat(gte=least, lt=below))
    if kind == "empty":
        return engine.IsEmptyCondition(rest[0])
    return engine.HasIdCondition(set(rest[0]))

"""Scoring and re-ranking as one would write them down in NumPy: full matrices, each row sorted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def unit(features: Array) -> Array:
    """Return features of length 1."""
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def score(distances: Array, persons: list[Array], cameras: list[Array]) -> dict[str, float]:
    """Return rank-1 and mAP; persons and cameras are those of the queries and of the gallery."""
    hits, precisions = [], []
    for row, person, camera in zip(distances, persons[0], cameras[0], strict=True):
        order = np.argsort(row)
        right = persons[1][order] == person
        right = right[~(right & (cameras[1][order] == camera))]
        if right.any():
            ranks = np.flatnonzero(right) + 1
            hits.append(ranks[0] == 1)
            precisions.append((np.arange(1, len(ranks) + 1) / ranks).mean())
    return {"rank1": float(np.mean(hits)), "mAP": float(np.mean(precisions))}


def rerank(features: Array, queries: int, k1: int = 20, k2: int = 6, original: float = 0.3) -> Array:
    """Return k-reciprocal re-ranked distances [Q, G] of features of length 1, the queries first."""
    distance = np.maximum(2 - 2 * (features @ features.T), 0)
    np.fill_diagonal(distance, 0)
    distance /= distance.max(1, keepdims=True)
    order = np.argsort(distance, 1)[:, : k1 + 1].astype(np.int32)
    few = round(k1 / 2) + 1
    weights = np.zeros_like(distance)

    def reciprocal(item: int, k: int) -> Array:
        near = order[item, :k]
        return near[(order[near, :k] == item).any(1)]

    for item in range(len(order)):
        own = reciprocal(item, k1 + 1)
        members = [own]
        for other in own:
            theirs = reciprocal(other, few)
            if len(np.intersect1d(theirs, own)) > 2 / 3 * len(theirs):
                members.append(theirs)
        expanded = np.unique(np.concatenate(members))
        weight = np.exp(-distance[item, expanded])
        weights[item, expanded] = weight / weight.sum()
    averaged = np.empty_like(weights)
    for item in range(len(order)):
        averaged[item] = weights[order[item, :k2]].mean(0)
    columns = [np.flatnonzero(column) for column in averaged.T]
    result = np.empty((queries, len(order) - queries), distance.dtype)
    for query in range(queries):
        shared = np.zeros(len(order), distance.dtype)
        for item in np.flatnonzero(averaged[query]):
            rows = columns[item]
            shared[rows] += np.minimum(averaged[query, item], averaged[rows, item])
        shared = shared[queries:]
        jaccard = 1 - shared / (2 - shared)
        result[query] = (1 - original) * jaccard + original * distance[query, queries:]
    return result

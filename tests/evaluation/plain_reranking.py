"""k-reciprocal re-ranking as it is defined: full matrices, one item after the other."""

import numpy as np


def rerank_plainly(
    query_gallery: np.ndarray,
    query_query: np.ndarray,
    gallery_gallery: np.ndarray,
    k1: int,
    k2: int,
    original: float,
) -> np.ndarray:
    """Return new distances [Q, G] from Euclidean distances."""
    squared = np.block([[query_query, query_gallery], [query_gallery.T, gallery_gallery]]) ** 2.0
    items, queries = len(squared), len(query_query)
    indices = np.arange(items)
    order = np.stack([np.lexsort((indices, indices != i, squared[i])) for i in range(items)])
    farthest = squared.max(1, keepdims=True)
    distance = np.divide(squared, farthest, out=np.zeros_like(squared), where=farthest > 0)

    def reciprocal(item: int, k: int) -> set[int]:
        return {int(other) for other in order[item, : k + 1] if item in order[other, : k + 1]}

    weights = np.zeros((items, items))
    for item in range(items):
        own = reciprocal(item, k1)
        expanded = set(own)
        for other in own:
            theirs = reciprocal(other, int(np.around(k1 / 2)))
            if len(theirs & own) > 2 / 3 * len(theirs):
                expanded |= theirs
        members = sorted(expanded)
        weights[item, members] = np.exp(-distance[item, members])
        weights[item] /= weights[item].sum()
    weights = np.stack([weights[order[item, :k2]].mean(0) for item in range(items)])
    shared = np.array([np.minimum(weights[q], weights[queries:]).sum(1) for q in range(queries)])
    jaccard = 1 - shared / (2 - shared)
    return (1 - original) * jaccard + original * distance[:queries, queries:]

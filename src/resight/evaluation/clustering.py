"""Clustering crops: DBSCAN on Jaccard distances of k-reciprocal neighbours, without an N x N matrix."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resight.evaluation.distances import FeatureDistances
from resight.evaluation.embedded import Embedded
from resight.evaluation.features import Side
from resight.evaluation.reranking import BLOCK_ROWS, Reranked, Reranking

NOBODY = -1
"""Label of a crop in no cluster."""


@dataclass(frozen=True, slots=True)
class NearPairs:
    """The pairs of N crops whose distance is small; each pair stands in both orders, each crop beside itself.

    Attributes:
        rows, columns: int64 [P].
        distances: [P].
    """

    rows: Tensor
    columns: Tensor
    distances: Tensor


def near_pairs(features: Tensor, within: float, settings: Reranking) -> NearPairs:
    """Return the pairs whose Jaccard distance is at most ``within``.

    Args:
        features: [N, D], compared by the cosine.
        within: 0 to 1.
        settings: k1 and k2 of the k-reciprocal neighbours; the original distance has no share.

    Raises:
        UserError: there are fewer than k1 crops, or a feature is zero or not finite.
    """
    embedded = Embedded(features, torch.zeros(len(features), dtype=torch.int64), None)
    every = torch.arange(len(features))
    none, crops = (
        Side(embedded, rows, "cosine", torch.float32, features.device, "crops") for rows in (every[:0], every)
    )
    reranked = Reranked(FeatureDistances(none, crops), Reranking(settings.k1, settings.k2, 0.0))
    found = []
    for rows in every.split(BLOCK_ROWS):
        block = torch.empty(len(rows), len(every))
        reranked.write(rows, block)
        row, column = (block >= -within).nonzero(as_tuple=True)
        found.append((rows[row], column, -block[row, column]))
    return NearPairs(*map(torch.cat, zip(*found, strict=True)))


def link(pairs: NearPairs, tracks: Tensor) -> NearPairs:
    """Return the pairs, and those of crops of one track with the distance 0.

    Args:
        pairs: of N crops.
        tracks: int64 [N], the track of each crop; a negative number: none.
    """
    order = tracks.argsort(stable=True)
    order = order[tracks[order] >= 0]
    _, sizes = tracks[order].unique_consecutive(return_counts=True)
    linked = [torch.cartesian_prod(part, part) for part in order.split(sizes.tolist()) if len(part) > 1]
    if not linked:
        return pairs
    rows, columns = torch.cat(linked).T
    far = torch.isin(
        pairs.rows * len(tracks) + pairs.columns, rows * len(tracks) + columns, invert=True
    )  # pairs of one track are replaced
    return NearPairs(
        torch.cat([pairs.rows[far], rows]),
        torch.cat([pairs.columns[far], columns]),
        torch.cat([pairs.distances[far], pairs.distances.new_zeros(len(rows))]),
    )


def dbscan(pairs: NearPairs, crops: int, within: float, least: int) -> Tensor:
    """Return the cluster of each crop, int64 [crops]: 0, 1, ... by the first core crop, or ``NOBODY``.

    DBSCAN (Ester et al., KDD 1996): a crop with ``least`` crops or more within the distance, itself included,
    is a core crop. Core crops within the distance of each other are in one cluster. Another crop joins the
    cluster of its nearest core crop within the distance (the first one found, in the paper).

    Args:
        pairs: of all crops within the distance, or more.
        crops: number of crops.
        within: the distance.
        least: of crops.
    """
    near = pairs.distances <= within
    rows, columns, distances = pairs.rows[near], pairs.columns[near], pairs.distances[near]
    core = rows.bincount(minlength=crops) >= least
    inner = core[rows] & core[columns]
    first = torch.arange(crops)  # the first core crop that each is known to be connected with
    while True:
        nearer = first.scatter_reduce(0, rows[inner], first[columns[inner]], "amin")
        nearer = nearer[nearer]
        if nearer.equal(first):
            break
        first = nearer
    first[~core] = NOBODY
    border = ~core[rows] & core[columns]
    rows, columns, distances = rows[border], columns[border], distances[border]
    order = columns.argsort(stable=True)
    for key in (distances, rows):
        order = order[key[order].argsort(stable=True)]
    rows, columns = rows[order], columns[order]
    nearest = rows.diff(prepend=rows.new_full((1,), NOBODY)) > 0
    first[rows[nearest]] = first[columns[nearest]]
    known, labels = first.unique(return_inverse=True)
    clusters: Tensor = labels - int(len(known) > 0 and int(known[0]) == NOBODY)
    return clusters

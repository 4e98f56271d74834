"""Pseudo-labels: clusters of the vectors of unlabelled crops, without their cameras' means."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resight.data.unlabelled import Unlabelled
from resight.errors import UserError
from resight.evaluation.cameras import CameraStatistics, unit_or_zero
from resight.evaluation.clustering import NOBODY, dbscan, link, near_pairs
from resight.evaluation.reranking import BLOCK_ROWS, Reranking
from resight.memory import available_memory
from resight.training.recipe import Labelling

ENTRIES = 400
"""Estimated bytes for the neighbours and pairs of a crop, for each of its k1 neighbours."""


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Clusters of crops.

    Attributes:
        labels: int64 [N], the cluster of each crop from 0 on; -1: none.
        clusters: their number.
        share: of the crops that are in one.
        measure: of the vectors; the adaptation keeps the weights with the highest.
    """

    labels: Tensor
    clusters: int
    share: float
    measure: float

    def as_dict(self) -> dict[str, float]:
        """Return the figures for the log."""
        return {"clusters": self.clusters, "share": self.share, "measure": self.measure}


def make_labels(vectors: Tensor, crops: Unlabelled, settings: Labelling) -> PseudoLabels:
    """Cluster crops by their vectors.

    Args:
        vectors: float32 [N, D], of any length.
        crops: their cameras and tracks.
        settings: of the recipe.
    """
    units = unit_or_zero(vectors.numpy())
    if crops.cameras is not None:
        cameras = crops.cameras.tolist()
        units = CameraStatistics.fit(units, cameras, share=1.0).apply(units, cameras)
    known = torch.from_numpy(units.any(axis=1))  # a vector that equals its camera's mean is like nobody's
    labels = torch.full((len(units),), NOBODY)
    if int(known.sum()) > settings.neighbours:
        compared = torch.from_numpy(units)[known]
        pairs = near_pairs(compared, settings.within, Reranking(settings.neighbours, settings.averaged, 0.0))
        pairs = link(pairs, torch.from_numpy(crops.tracks)[known])
        labels[known] = dbscan(pairs, len(compared), settings.within, settings.crops)
    share = float((labels >= 0).double().mean())
    return PseudoLabels(
        labels, int(labels.max()) + 1, share, agreement(torch.from_numpy(units), labels, crops)
    )


def agreement(units: Tensor, labels: Tensor, crops: Unlabelled) -> float:
    """Return the share of crops whose nearest crop of another camera is in their own cluster, beyond chance.

    Less the same share for a random crop of another camera in place of the nearest: otherwise clusters that
    merge would count as better. Where cameras are not known, of another track.

    Args:
        units: float32 [N, D], unit vectors.
        labels: int64 [N], the cluster of each crop; -1: none.
        crops: their cameras and tracks.
    """
    every = torch.arange(len(units))
    if crops.cameras is not None:
        places = torch.from_numpy(crops.cameras)
    else:
        tracks = torch.from_numpy(crops.tracks)
        places = torch.where(tracks < 0, len(units) + every, tracks)
    nearest = torch.empty_like(every)
    for rows in every.split(BLOCK_ROWS):
        likeness = (units[rows] @ units.T).masked_fill_(places[rows, None] == places, -torch.inf)
        nearest[rows] = likeness.argmax(1)
    found = (labels >= 0) & (labels[nearest] == labels)
    elsewhere = _sizes(labels) - _sizes(torch.stack([labels, places], dim=1))
    chance = (labels >= 0) * elsewhere / (len(units) - _sizes(places)).clamp(min=1)
    return float(found.double().mean() - chance.double().mean())


def _sizes(values: Tensor) -> Tensor:
    """Return how many of the N values [N, ...] equal each one: int64 [N]."""
    counts: Tensor
    _, place, counts = values.unique(dim=0, return_inverse=True, return_counts=True)
    return counts[place]


def refuse_large(crops: int, width: int, settings: Labelling) -> None:
    """Refuse more crops than memory holds the vectors, pairs and remembered vectors of.

    Args:
        crops: N.
        width: D.
        settings: of the recipe.

    Raises:
        UserError: they need more than is available.
    """
    needed = crops * (5 * 4 * width + ENTRIES * settings.neighbours)
    available = available_memory()
    if available is not None and needed > available:
        raise UserError(
            f"Adapting to {crops:,} crops with vectors of {width:,} numbers needs about {needed / 1e9:.1f} "
            f"GB of memory for pseudo-labels, and {available / 1e9:.1f} GB are available. Adapt to fewer "
            "crops, such as one day's; the adapted model works for all."
        )

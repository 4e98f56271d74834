"""Pseudo-labels: clusters of the vectors of unlabelled crops, without their cameras' means."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from resight.data.unlabelled import Unlabelled
from resight.evaluation.cameras import CameraStatistics, unit_or_zero
from resight.evaluation.clustering import NOBODY, dbscan, link, near_pairs
from resight.evaluation.reranking import BLOCK_ROWS, Reranking
from resight.training.recipe import Labelling


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Clusters of crops, each of one camera, and which of them are taken for one person's.

    Attributes:
        labels: int64 [N], the cluster of each crop from 0 on; -1: none.
        cameras: int64 [clusters], the one of each.
        linked: int64 [clusters], equal for clusters of one person: 0 to persons - 1.
        measure: of the vectors; the adaptation keeps the weights with the highest.
    """

    labels: Tensor
    cameras: Tensor
    linked: Tensor
    measure: float

    @property
    def persons(self) -> int:
        """Return the number of clusters, linked ones counted once."""
        return len(self.linked.unique())

    @property
    def share(self) -> float:
        """Return the share of the crops that are in a cluster."""
        return float((self.labels >= 0).double().mean())

    def as_dict(self) -> dict[str, float]:
        """Return the figures for the log."""
        clusters, links = len(self.linked), len(self.linked) - self.persons
        return {"clusters": clusters, "links": links, "share": self.share, "measure": self.measure}


def make_labels(vectors: Tensor, crops: Unlabelled, settings: Labelling) -> PseudoLabels:
    """Cluster the crops of each camera by their vectors, and link clusters of different cameras.

    Within a camera, crops of one person are alike, and clusters are good from the start. Crops whose cameras
    are not known are clustered together, and nothing is linked.

    Args:
        vectors: float32 [N, D], of any length.
        crops: their cameras and tracks.
        settings: of the recipe.
    """
    units = unit_or_zero(vectors.numpy())
    cameras = torch.zeros(len(units), dtype=torch.int64)
    if crops.cameras is not None:
        cameras, names = torch.from_numpy(crops.cameras), crops.cameras.tolist()
        units = CameraStatistics.fit(units, names, share=1.0).apply(units, names)
    compared, tracks = torch.from_numpy(units), torch.from_numpy(crops.tracks)
    labels, count = torch.full((len(units),), NOBODY), 0
    for camera in cameras.unique():
        # a vector that equals its camera's mean is like nobody's
        rows = ((cameras == camera) & compared.any(1)).nonzero()[:, 0]
        if len(rows) <= settings.neighbours:
            continue
        reranking = Reranking(settings.neighbours, settings.averaged, 0.0)
        pairs = link(near_pairs(compared[rows], settings.within, reranking), tracks[rows])
        found = dbscan(pairs, len(rows), settings.within, settings.crops)
        labels[rows] = torch.where(found >= 0, found + count, NOBODY)
        count += int(found.max()) + 1
    inside = labels >= 0
    places = torch.zeros(count, dtype=torch.int64).scatter_(0, labels[inside], cameras[inside])
    sums = torch.zeros(count, compared.shape[1]).index_add_(0, labels[inside], compared[inside])
    linked = link_clusters(functional.normalize(sums, dim=1), places, settings)
    persons = torch.where(inside, linked[labels.clamp(min=0)] if count else NOBODY, NOBODY)
    return PseudoLabels(labels, places, linked, agreement(compared, persons, crops))


def link_clusters(means: Tensor, cameras: Tensor, settings: Labelling) -> Tensor:
    """Return int64 [clusters], equal for two clusters of different cameras that are taken for one person's.

    They are linked if each is the other's most similar one of all other cameras. The similarity is the cosine
    twice, less how similar each of the two is to its nearest clusters in the camera of the other, because
    some clusters are near many (Conneau et al.: Word Translation Without Parallel Data, ICLR 2018, Sec. 2.3).

    Args:
        means: float32 [clusters, D], unit vectors.
        cameras: int64 [clusters].
        settings: of the recipe.
    """
    each, known = torch.arange(len(means)), cameras.unique()
    if len(known) < 2:
        return each
    near = means.new_zeros(len(means), int(known[-1]) + 1)
    highest, other = means.new_full((len(means),), -torch.inf), each.clone()
    for rows in each.split(BLOCK_ROWS):
        for camera in known:
            there = means[rows] @ means[cameras == camera].T
            near[rows, camera] = there.topk(min(settings.rivals, there.shape[1]), dim=1).values.mean(1)
    for rows in each.split(BLOCK_ROWS):
        similarity = 2 * means[rows] @ means.T - near[rows][:, cameras] - near[:, cameras[rows]].T
        similarity.masked_fill_(cameras[rows, None] == cameras, -torch.inf)
        highest[rows], other[rows] = similarity.max(1)
    mutual = other[other] == each
    linked: Tensor = torch.where(mutual, torch.minimum(each, other), each).unique(return_inverse=True)[1]
    return linked


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

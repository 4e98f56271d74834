"""Averaging features with those of their nearest crops before ranking."""

from dataclasses import replace

import torch
from torch import Tensor

from resight.data.benchmark import EVERY_OTHER_IMAGE
from resight.data.crop import JUNK
from resight.device import resolve_device
from resight.errors import UserError
from resight.evaluation.cameras import remove_camera_means
from resight.evaluation.embedded import Embedded
from resight.evaluation.features import Metric, Side, working_dtype
from resight.evaluation.grouping import even_parts
from resight.evaluation.neighbours import nearest_columns, track_long
from resight.evaluation.ranking import BLOCK_ROWS, Comparison, RankingInputs


@torch.no_grad()
def expand_queries(
    query: Embedded,
    gallery: Embedded,
    neighbours: int,
    *,
    metric: Metric = "cosine",
    device: torch.device | str | None = None,
) -> Embedded:
    """Return the queries, each the mean of its feature and those of its nearest gallery crops.

    Average query expansion (Chum et al. 2007). No label but ``items`` is used: a query that is in the gallery
    is not its own neighbour. Junk is no neighbour.

    Args:
        query, gallery, metric, device: as in ``ranking.RankingInputs``. For the cosine, features are first
            scaled to length 1.
        neighbours: number of gallery crops in the mean.

    Returns:
        Features [Q, D], in the precision in which query and gallery are compared.

    Raises:
        UserError: the gallery has fewer neighbours; or as ``ranking.RankingInputs``.
    """
    sides = RankingInputs(query, gallery, EVERY_OTHER_IMAGE, metric, device)
    return replace(query, features=_means(sides, neighbours))


@torch.no_grad()
def augment_gallery(
    gallery: Embedded,
    neighbours: int,
    *,
    metric: Metric = "cosine",
    device: torch.device | str | None = None,
) -> Embedded:
    """Return the gallery, each crop the mean of its feature and those of its nearest other crops.

    Database-side feature augmentation (Arandjelović & Zisserman 2012). Junk is unchanged. Arguments and
    errors are those of ``expand_queries``; the new features are in memory.
    """
    kept = (gallery.persons != JUNK).nonzero()[:, 0]
    if not len(kept):
        raise UserError(f"The gallery has {len(gallery):,} crops, all junk: there is nothing to augment.")
    device = gallery.features.device if device is None else resolve_device(str(device))
    Side(gallery, kept, metric, working_dtype(gallery, gallery), device, "gallery")  # names rows as they are
    crops = Embedded(
        gallery.features[kept.to(gallery.features.device)],
        gallery.persons[kept],
        items=torch.arange(len(kept), device=gallery.persons.device),
    )
    means = _means(RankingInputs(crops, crops, EVERY_OTHER_IMAGE, metric, device), neighbours)
    features = gallery.features.to(device, means.dtype, copy=True)
    features[kept.to(device)] = means
    return replace(gallery, features=features)


@torch.no_grad()
def centralise_neighbours(
    query: Embedded,
    gallery: Embedded,
    neighbours: int,
    *,
    metric: Metric = "cosine",
    device: torch.device | str | None = None,
) -> tuple[Embedded, Embedded]:
    """Return query and gallery, with the features of its mutual neighbours added to each crop's.

    Neighbour feature centralisation (Yuan et al., "From Poses to Identity", CVPR 2025, with k1 = k2). A
    crop's neighbours are its nearest other crops of query and gallery together; a mutual one has the crop
    among its own. So the result depends on the other queries, too. Junk is unchanged, and no neighbour. No
    label but ``items`` is used: a crop in both parts is one crop. Features are not scaled to length 1 again.

    Args:
        query, gallery, metric, device: as in ``expand_queries``.
        neighbours: of each crop that are looked at; the paper has 2.

    Raises:
        UserError: there are not more crops than neighbours; or as ``expand_queries``.
    """
    count, kept = len(query.persons), (gallery.persons != JUNK).nonzero()[:, 0]
    device = query.features.device if device is None else resolve_device(str(device))
    others = gallery.take(kept)
    features = torch.cat([query.features.to(device), others.features.to(device)])
    persons = torch.cat([query.persons, others.persons]).cpu()
    items = torch.arange(len(persons))
    if query.items is not None and others.items is not None:
        items = torch.cat([query.items, others.items]).cpu()
    distinct, item_of = items.unique(return_inverse=True)
    first = torch.full_like(distinct, len(items))
    first.scatter_reduce_(0, item_of, torch.arange(len(items)), "amin")
    crops = Embedded(features[first.to(device)], persons[first], items=torch.arange(len(first)))
    sides = RankingInputs(crops, crops, EVERY_OTHER_IMAGE, metric, device)
    nearest = _nearest(sides, neighbours, "Centralising neighbours").cpu()
    mutual = (nearest[nearest] == torch.arange(len(nearest))[:, None, None]).any(2)
    found = sides.query_features.clone()
    for places, both in zip(nearest.T, mutual.T, strict=True):
        found[both.to(device)] += sides.query_features[places[both].to(device)]
    found = found[item_of.to(device)]
    centred = gallery.features.to(device, found.dtype, copy=True)
    centred[kept.to(device)] = found[count:]
    return replace(query, features=found[:count]), replace(gallery, features=centred)


def postprocess(
    query: Embedded,
    gallery: Embedded,
    *,
    camera_normalise: bool = False,
    centralise: int = 0,
    augment: int = 0,
    expand: int = 0,
    metric: Metric = "cosine",
    device: torch.device | str | None = None,
) -> tuple[Embedded, Embedded]:
    """Return query and gallery for ranking: each step is applied to the result of the one before.

    ``cameras.remove_camera_means`` (if ``camera_normalise``), ``centralise_neighbours``, ``augment_gallery``
    and ``expand_queries`` (each unless it has 0 neighbours).
    """
    if camera_normalise:
        query, gallery = remove_camera_means(query, gallery)
    if centralise:
        query, gallery = centralise_neighbours(query, gallery, centralise, metric=metric, device=device)
    if augment:
        gallery = augment_gallery(gallery, augment, metric=metric, device=device)
    if expand:
        query = expand_queries(query, gallery, expand, metric=metric, device=device)
    return query, gallery


def _means(sides: RankingInputs, neighbours: int) -> Tensor:
    """Return the mean [Q, D] of each query's feature and those of its nearest gallery crops."""
    means = sides.query_features.clone()
    for places in _nearest(sides, neighbours, "Averaging neighbours").T:
        means += sides.gallery.take(places)
    return means.div_(neighbours + 1)


def _nearest(sides: RankingInputs, neighbours: int, title: str) -> Tensor:
    """Return the places of each query's nearest gallery crops, int64 [Q, neighbours]."""
    shared = sides.query.embedded.items is not None and sides.gallery.embedded.items is not None
    if not 1 <= neighbours <= len(sides.gallery) - shared:
        raise UserError(
            f"From 1 to {len(sides.gallery) - shared:,} neighbours can be used, as there are "
            f"{len(sides.gallery):,} crops to choose from that are not junk; got {neighbours}."
        )
    comparison = Comparison(sides)
    rows = torch.arange(len(sides.query), device=sides.device)
    work = float(len(sides.query)) * len(sides.gallery) * sides.query.width
    total = len(even_parts(rows, BLOCK_ROWS))
    found = torch.empty(len(rows), neighbours, dtype=torch.int64, device=sides.device)
    for block in track_long(comparison.blocks(rows), title, total, work):
        found[block.rows] = nearest_columns(block.scores.neg_(), neighbours)
    return found

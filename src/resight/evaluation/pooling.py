"""Pooling several crops of a query's person under its camera: "multi-query" (Zheng et al. 2015)."""

from dataclasses import replace

import torch

from resight.data.benchmark import Pooling
from resight.errors import UserError
from resight.evaluation.embedded import Embedded


@torch.no_grad()
def pool_queries(query: Embedded, images: Embedded, how: Pooling) -> Embedded:
    """Return the queries with pooled features: of the images of their persons under their cameras.

    The query's own feature is not pooled; a query without any image keeps it. Features are pooled unscaled;
    under the cosine, they are scaled to length 1 afterwards.

    Args:
        query: Q crops.
        images: any number of further crops, in any order.
        how: ``average``, or ``max`` of each number.

    Raises:
        UserError: cameras are not known on a side, or features differ in length.
    """
    if query.cameras is None or images.cameras is None:
        raise UserError("Queries are pooled by person and camera, but cameras are not known on both sides.")
    if query.features.shape[1] != images.features.shape[1]:
        raise UserError(
            f"Queries have {query.features.shape[1]} numbers per crop, the images to pool "
            f"{images.features.shape[1]}. Take both from one model."
        )
    views = torch.stack(
        (torch.cat((query.persons, images.persons)), torch.cat((query.cameras, images.cameras)))
    )
    _, group = views.unique(dim=1, return_inverse=True)
    own, others = group[: len(query)], group[len(query) :]
    shape = int(group.max()) + 1, query.features.shape[1]
    counts = others.bincount(minlength=shape[0])
    where = others[:, None].expand(-1, shape[1])
    pooled = query.features.new_zeros(shape).scatter_reduce(
        0,
        where,
        images.features.to(query.features.dtype),
        "mean" if how == "average" else "amax",
        include_self=False,
    )
    found = counts[own] > 0
    return replace(query, features=torch.where(found[:, None], pooled[own], query.features))

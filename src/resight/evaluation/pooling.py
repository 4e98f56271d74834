"""Several crops of a query's person under its camera, as one query: "multi-query" (Zheng et al. 2015)."""

from dataclasses import replace

import torch

from resight.data.benchmark import Pooling
from resight.errors import UserError
from resight.evaluation.embedded import Embedded


@torch.no_grad()
def pool_queries(query: Embedded, images: Embedded, how: Pooling) -> Embedded:
    """Return the queries with the pooled features of the images of their persons under their cameras.

    The query's own feature is not among the pooled ones; a query without any image keeps it. Features are
    pooled as they are given, and compared as the metric does: the cosine scales them to length 1 afterwards.

    Args:
        query: Q crops.
        images: further crops, in any number and order.
        how: ``average``, or ``max`` of each number.

    Raises:
        UserError: a side does not know its cameras, or features differ in length.
    """
    if query.cameras is None or images.cameras is None:
        raise UserError("Queries are pooled by person and camera, but cameras are not known on both sides.")
    if query.features.shape[1] != images.features.shape[1]:
        raise UserError(
            f"Queries have {query.features.shape[1]} numbers a crop, the images to pool "
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

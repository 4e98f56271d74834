"""Scores as a gallery grows, in one pass (Fig. 4 of the support neighbour loss paper)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from resight.data.benchmark import Protocol
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.features import Metric, Side
from resight.evaluation.matches import count_wrong, find_matches
from resight.evaluation.ranking import RankingInputs
from resight.evaluation.scores import RANKS, AveragePrecision, Scores, check_wanted, summarise
from resight.seeds import derive_seed


@torch.no_grad()
def evaluate_growing(
    query: Embedded,
    gallery: Embedded,
    distractors: Tensor,
    sizes: Sequence[int],
    protocol: Protocol = Protocol(),  # noqa: B008 (frozen)
    *,
    seed: int = 0,
    metric: Metric = "cosine",
    ap: AveragePrecision = "mean",
    ranks: Sequence[int] = RANKS,
    device: torch.device | str | None = None,
) -> list[Scores]:
    """Score a query set against a gallery with growing numbers of distractors, added in random order.

    The distractors are read in their order, some thousands at a time: they may be a memory-mapped file larger
    than the memory.

    Args:
        query, gallery, protocol, metric, ap, ranks, device: as in ``scores.evaluate``.
        distractors: features [X, D]; each counts as wrong for every query.
        sizes: ascending numbers of distractors to score at; 0 is the gallery alone.
        seed: of the order, which does not depend on the sizes: each step adds to the one before.

    Returns:
        The scores at each size.

    Raises:
        UserError: sizes do not rise or are too large; D differs; features cannot be compared; or as
            ``evaluate``.
    """
    check_wanted(ap, ranks)
    total = len(distractors)
    if not sizes or sizes[0] < 0 or sizes[-1] > total or any(a >= b for a, b in pairwise(sizes)):
        raise UserError(
            f"Numbers of distractors must rise, from 0 or more to at most the {total:,} that there are; got "
            f"{', '.join(f'{size:,}' for size in sizes) or 'none'}."
        )
    if protocol.gallery_side != "all" or protocol.cmc != "all":
        raise UserError(
            "Distractors have no camera and are not drawn: none can be added under a protocol with the "
            "opposite side of the gallery or a single-shot CMC."
        )
    sides = RankingInputs(query, gallery, protocol, metric, device)
    if distractors.ndim != 2 or distractors.shape[1] != sides.query.width:
        raise UserError(
            f"Distractors must have {sides.query.width} numbers per crop, like the queries; got the shape "
            f"{tuple(distractors.shape)}. Take all from one model."
        )
    generator = torch.Generator().manual_seed(derive_seed(seed, "distractors"))
    used = torch.randperm(total, generator=generator)[: sizes[-1]]
    steps = torch.searchsorted(torch.tensor(sizes), torch.arange(sizes[-1]), right=True)
    rows, order = used.sort()
    crops = Embedded(distractors, torch.zeros(total, dtype=torch.int64))
    side = Side(crops, rows, metric, sides.dtype, sides.device, "distractors")
    found = find_matches(sides, steps=len(sizes))
    count_wrong(found, sides, side, torch.arange(len(rows)), steps[order])
    return [summarise(found, sides, None, ap, ranks, step) for step in range(len(sizes))]

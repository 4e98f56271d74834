"""Protocols that draw queries and gallery at random: the same scores of every draw, and their mean."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from resight.data.benchmark import Protocol
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.expansion import average_sides
from resight.evaluation.features import Metric
from resight.evaluation.reranking import Reranking
from resight.evaluation.scores import RANKS, AveragePrecision, Scores, evaluate
from resight.evaluation.statistics import Spread, spread


@dataclass(frozen=True, slots=True)
class RepeatedScores:
    """Scores of each draw.

    Attributes:
        draws: one each, in order.
    """

    draws: tuple[Scores, ...]

    def spreads(self) -> dict[str, Spread]:
        """Return mean, standard deviation and 95 % interval of each figure: mAP, rank-k, mINP."""
        figures = [_figures(scores) for scores in self.draws]
        return {name: spread([figure[name] for figure in figures]) for name in figures[0]}

    def as_dict(self) -> dict[str, Any]:
        """Return the means in the place of scores, and beside them what each draw gave."""
        spreads = self.spreads()
        first = self.draws[0].as_dict()
        shared = {
            name: first[name] for name in ("ap", "metric", "protocol", "gallery_side", "cmc", "reranking")
        }
        return {
            **{name: figure.mean for name, figure in spreads.items()},
            "queries": self.draws[0].queries,
            "total_queries": self.draws[0].total_queries,
            **shared,
            "draws": len(self.draws),
            "spread": {name: asdict(figure) for name, figure in spreads.items()},
            "of_draws": [{**_figures(scores), "queries": scores.queries} for scores in self.draws],
        }


def evaluate_draws(
    query: Embedded,
    gallery: Embedded,
    draws: Sequence[tuple[Tensor, Tensor]],
    protocol: Protocol = Protocol(),  # noqa: B008 (frozen)
    *,
    metric: Metric = "cosine",
    reranking: Reranking | None = None,
    augment_gallery: int = 0,
    expand_queries: int = 0,
    ap: AveragePrecision = "mean",
    ranks: Sequence[int] = RANKS,
    device: torch.device | str | None = None,
) -> RepeatedScores:
    """Score each draw.

    Args:
        query, gallery: all crops that are drawn somewhere.
        draws: int64 rows of the queries [q] and of the gallery [g], each.
        augment_gallery, expand_queries: neighbours to average each draw's features with (``expansion``).
        protocol, metric, reranking, ap, ranks, device: as in ``scores.evaluate``.

    Raises:
        UserError: there is no draw, or what ``expansion`` or ``scores.evaluate`` refuses.
    """
    if not draws:
        raise UserError("There is no draw to score: at least one is needed.")
    sides = (
        average_sides(
            query.take(queries),
            gallery.take(found),
            augment=augment_gallery,
            expand=expand_queries,
            metric=metric,
            device=device,
        )
        for queries, found in draws
    )
    return RepeatedScores(
        tuple(
            evaluate(
                *drawn,
                protocol,
                metric=metric,
                reranking=reranking,
                ap=ap,
                ranks=ranks,
                device=device,
            )
            for drawn in sides
        )
    )


def _figures(scores: Scores) -> dict[str, float]:
    return {"mAP": scores.mAP, **{f"rank{k}": scores.rank(k) for k in scores.ranks}, "mINP": scores.mINP}

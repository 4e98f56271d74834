"""Protocols that draw queries and gallery at random: the scores of every draw, and their mean."""

from dataclasses import asdict, dataclass
from typing import Any

from resight.errors import UserError
from resight.evaluation.scores import Scores
from resight.evaluation.statistics import Spread, spread


@dataclass(frozen=True, slots=True)
class RepeatedScores:
    """Scores of each draw.

    Attributes:
        draws: the scores of each, in order.

    Raises:
        UserError: there is no draw.
    """

    draws: tuple[Scores, ...]

    def __post_init__(self) -> None:
        if not self.draws:
            raise UserError("There is no draw to score: at least one is needed.")

    def spreads(self) -> dict[str, Spread]:
        """Return mean, standard deviation and 95 % interval of each figure: mAP, rank-k, mINP."""
        figures = [_figures(scores) for scores in self.draws]
        return {name: spread([figure[name] for figure in figures]) for name in figures[0]}

    def as_dict(self) -> dict[str, Any]:
        """Return the means as scores, with those of each draw."""
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


def _figures(scores: Scores) -> dict[str, float]:
    return {"mAP": scores.mAP, **{f"rank{k}": scores.rank(k) for k in scores.ranks}, "mINP": scores.mINP}

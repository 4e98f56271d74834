"""Options of ``resight score`` and ``resight evaluate`` for re-ranking and averaging with neighbours."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from resight.commands.options import Flag
from resight.errors import UserError

if TYPE_CHECKING:
    from resight.evaluation.reranking import Reranking


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Postprocessing:
    """Changes to features and ranking before scoring.

    Args:
        rerank: re-rank by k-reciprocal neighbours (Zhong et al. 2017).
        k1: with --rerank, number of reciprocal neighbours (20).
        k2: with --rerank, number of neighbours to average over (6).
        original: with --rerank, weight of the original distance (0.3).
        rerank_junk: with --rerank, use junk crops of the gallery as neighbours too, and leave them out
            afterwards, as the authors' script for Market-1501 does.
        camera_normalise: first subtract each camera's mean vector, because crops of one camera look alike.
        centralise_neighbours: add to each crop its mutual neighbours among this many nearest crops of query
            and gallery together (Yuan et al. 2025, who have 2).
        augment_gallery: average each gallery crop with this many nearest ones.
        expand_queries: average each query with this many nearest gallery crops, before ranking.
    """

    rerank: Flag = False
    k1: int | None = None
    k2: int | None = None
    original: Annotated[float | None, Parameter(name="--lambda")] = None
    rerank_junk: Flag = False
    camera_normalise: Flag = False
    centralise_neighbours: int = 0
    augment_gallery: int = 0
    expand_queries: int = 0

    def options(self) -> dict[str, Any]:
        """Return the arguments for ``score_benchmark``.

        Raises:
            UserError: a number is out of range, or a re-ranking option is given without --rerank.
        """
        for name, count in self.counts().items():
            if count < 0:
                raise UserError(f"{_option(name)} is a number of neighbours, at least 0; got {count}.")
        return {"reranking": self._reranking(), "camera_normalise": self.camera_normalise} | self.counts()

    def counts(self) -> dict[str, int]:
        """Return the numbers of neighbours to average with."""
        return {
            "centralise_neighbours": self.centralise_neighbours,
            "augment_gallery": self.augment_gallery,
            "expand_queries": self.expand_queries,
        }

    def steps(self) -> dict[str, Any]:
        """Return the arguments for ``expansion.postprocess``."""
        return {
            "camera_normalise": self.camera_normalise,
            "centralise": self.centralise_neighbours,
            "augment": self.augment_gallery,
            "expand": self.expand_queries,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the changes before ranking, for results."""
        return {"camera_normalise": self.camera_normalise} | self.counts()

    def describe(self) -> list[str]:
        """Return the changes in words, for a title."""
        averaged = [f"{name}: {count}" for name, count in self.counts().items() if count]
        reranked = "re-ranked with junk" if self.rerank_junk else "re-ranked"
        without = ["camera means removed"] * self.camera_normalise
        return without + [reranked] * self.rerank + averaged

    def given(self) -> list[str]:
        """Return the options that are in use."""
        switched = {"rerank": self.rerank} | self.as_dict()
        return [_option(name) for name, value in switched.items() if value]

    def _reranking(self) -> "Reranking | None":
        from resight.evaluation.reranking import Reranking

        given = {"k1": self.k1, "k2": self.k2, "original": self.original, "junk": self.rerank_junk or None}
        chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if chosen and not self.rerank:
            raise UserError(
                "--k1, --k2, --lambda and --rerank-junk are options of re-ranking: use them with --rerank."
            )
        return Reranking(**chosen) if self.rerank else None


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


NO_POSTPROCESSING = Postprocessing()

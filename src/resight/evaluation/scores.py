"""CMC, mAP and mINP of a query set against a gallery."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from resight.data.benchmark import Protocol
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.features import Metric
from resight.evaluation.matches import Matches, find_matches
from resight.evaluation.ranking import RankingInputs
from resight.evaluation.reranking import Reranking
from resight.evaluation.single_shot import draw_ranks

AveragePrecision = Literal["mean", "trapezoid"]
RANKS = (1, 5, 10, 20)
CURVE = 50  # ranks of the CMC curve


@dataclass(frozen=True, slots=True)
class PerQuery:
    """Scores of each of the Q queries; a query without a match that counts is not valid.

    Attributes:
        valid: bool [Q].
        matches: int64 [Q], gallery crops to find; 0 where not valid.
        first_match_rank: int64 [Q], from 1; 0 where not valid.
        average_precision: float64 [Q], in the requested definition; NaN where not valid.
        inp: float64 [Q], inverse negative penalty: matches / rank of the last match; NaN where not valid.
    """

    valid: Tensor
    matches: Tensor
    first_match_rank: Tensor
    average_precision: Tensor
    inp: Tensor


@dataclass(frozen=True, slots=True)
class Removed:
    """What the protocol removed, by rule.

    Attributes:
        junk_crops: gallery crops labelled junk, ignored for every query.
        itself_pairs: pairs of a query and the same crop in the gallery.
        same_camera_pairs: other pairs of a query and a gallery crop of its person from its camera.
        not_a_person_queries: queries without a match: labelled junk or distractor.
        missing_person_queries: ... their person has no crop in the gallery.
        only_itself_queries: ... their person has no gallery crop but the query itself.
        only_same_camera_queries: ... all other gallery crops of their person are from the query's camera.
    """

    junk_crops: int
    itself_pairs: int
    same_camera_pairs: int
    not_a_person_queries: int
    missing_person_queries: int
    only_itself_queries: int
    only_same_camera_queries: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores over the valid queries, as fractions.

    Attributes:
        mAP: mean of the average precisions.
        mINP: mean of the inverse negative penalties (Ye et al. 2021, Sec. 3.3).
        cmc: float64 [50]: at k - 1 the share of queries with a match among the first k crops that count.
        queries: number of valid ones.
        total_queries: number of all.
        removed: what the protocol removed.
        per_query: scores of each query.
        ranks: the k of the rank-k in ``as_dict``.
        ap: definition of the average precision.
        metric: of the ranking.
        protocol: which gallery crops counted.
        reranking: its settings, or None.
        drawn_ranks: int64 [draws, valid queries], ranks of the match in each draw of a single-shot CMC, from
            which ``cmc`` and ``rank`` are computed; None otherwise.
    """

    mAP: float
    mINP: float
    cmc: Tensor
    queries: int
    total_queries: int
    removed: Removed
    per_query: PerQuery
    ranks: tuple[int, ...]
    ap: AveragePrecision
    metric: Metric
    protocol: Protocol
    reranking: Reranking | None = None
    drawn_ranks: Tensor | None = None

    def rank(self, k: int) -> float:
        """Return the share of valid queries with a match among the first k crops that count."""
        first = self.per_query.first_match_rank[self.per_query.valid]
        return float(((first if self.drawn_ranks is None else self.drawn_ranks) <= k).double().mean())

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as plain data: fractions, counts, and how they were computed."""
        return {
            "mAP": self.mAP,
            **{f"rank{k}": self.rank(k) for k in self.ranks},
            "mINP": self.mINP,
            "queries": self.queries,
            "total_queries": self.total_queries,
            "ap": self.ap,
            "metric": self.metric,
            "protocol": self.protocol.name,
            "gallery_side": self.protocol.gallery_side,
            **({"cross_clothes": True} if self.protocol.cross_clothes else {}),
            "cmc": self.protocol.cmc,
            **({} if self.drawn_ranks is None else {"draws": len(self.drawn_ranks)}),
            "reranking": None if self.reranking is None else self.reranking.as_dict(),
            "removed": asdict(self.removed),
        }


@torch.no_grad()
def evaluate(
    query: Embedded,
    gallery: Embedded,
    protocol: Protocol = Protocol(),  # noqa: B008 (frozen)
    *,
    metric: Metric = "cosine",
    reranking: Reranking | None = None,
    ap: AveragePrecision = "mean",
    ranks: Sequence[int] = RANKS,
    device: torch.device | str | None = None,
) -> Scores:
    """Score a query set against a gallery.

    For each query, junk, the query itself and (``protocol.cross_camera``) crops of its person under its own
    camera are ignored; the others are ranked, and those of its person are matches. At equal scores, a wrong
    crop comes before a match. Queries without a match are not counted.

    Args:
        query, gallery, protocol, metric, device: as in ``ranking.RankingInputs``.
        reranking: rank by k-reciprocal re-ranked distances; ``reranking.Reranking()`` has the paper's
            numbers.
        ap: ``mean``: mean of the precision at each match. ``trapezoid``: as in the script that came with
            Market-1501 (Zheng et al. 2015), at each match the mean of the precision there and one crop
            earlier.
        ranks: the k of the rank-k in ``as_dict``.

    Raises:
        UserError: no query has a match (the message counts the reasons); an unknown ``ap``; a rank below 1;
            or as ``ranking.RankingInputs`` or the re-ranking.
    """
    check_wanted(ap, ranks)
    sides = RankingInputs(query, gallery, protocol, metric, device)
    scores = summarise(find_matches(sides, reranking), sides, reranking, ap, ranks)
    if protocol.cmc == "all":
        return scores
    drawn = draw_ranks(sides, reranking)[:, scores.per_query.valid]
    cmc = torch.stack([(drawn <= k).double().mean() for k in range(1, CURVE + 1)])
    return replace(scores, cmc=cmc, drawn_ranks=drawn)


def check_wanted(ap: str, ranks: Sequence[int]) -> None:
    """Refuse an unknown average precision, and ranks below 1."""
    if ap not in get_args(AveragePrecision):
        raise UserError(f"Unknown average precision '{ap}'. Known: {', '.join(get_args(AveragePrecision))}.")
    if any(k < 1 for k in ranks):
        raise UserError(f"Ranks count from 1; got {', '.join(map(str, ranks))}.")
    if max(ranks, default=1) >= 2**63:
        raise UserError(f"No gallery has that many crops: rank {max(ranks)}. Choose lower ranks.")


def summarise(
    found: Sequence[Matches],
    sides: RankingInputs,
    reranking: Reranking | None,
    ap: AveragePrecision,
    ranks: Sequence[int],
    step: int = 0,
) -> Scores:
    """Return the scores from the queries' matches; other arguments are those of ``evaluate``.

    Args:
        found: blocks of all queries.
        step: number of steps of added wrong crops to count.
    """
    measured = [_measure(block, ap, step) for block in found]
    back = torch.cat([block.rows for block in found]).cpu().argsort()
    matches, first, last, precision, of_person, itself, same_camera = (
        torch.cat(column)[back] for column in zip(*measured, strict=True)
    )
    query, gallery = sides.query.embedded, sides.gallery.embedded
    per_query = PerQuery(matches > 0, matches, first, precision, matches / last.double())
    person = query.persons.cpu() > 0
    lost = ~per_query.valid & (of_person > 0)
    removed = Removed(
        junk_crops=len(gallery) - len(sides.gallery),
        itself_pairs=int(itself.sum()),
        same_camera_pairs=int(same_camera.sum()),
        not_a_person_queries=int((~person).sum()),
        missing_person_queries=int((person & (of_person == 0)).sum()),
        only_itself_queries=int((lost & (same_camera == 0)).sum()),
        only_same_camera_queries=int((lost & (same_camera > 0)).sum()),
    )
    if not per_query.valid.any():
        raise UserError(_no_match_message(removed, len(query), len(gallery), sides.protocol))
    first = first[per_query.valid]
    return Scores(
        mAP=float(per_query.average_precision[per_query.valid].mean()),
        mINP=float(per_query.inp[per_query.valid].mean()),
        cmc=(first[:, None] <= torch.arange(1, CURVE + 1)).double().mean(0),
        queries=len(first),
        total_queries=len(query),
        removed=removed,
        per_query=per_query,
        ranks=tuple(ranks),
        ap=ap,
        metric=sides.metric,
        protocol=sides.protocol,
        reranking=reranking,
    )


def _measure(block: Matches, ap: AveragePrecision, step: int) -> tuple[Tensor, ...]:
    """Return what ``summarise`` needs of each query of the block: each [B], on the CPU.

    Matches, ranks of the first and the last, average precision; gallery crops of the person, crops ignored
    because they are the query, and because they are from its camera.
    """
    ranks, matches = block.ranks(step).cpu(), block.counts.cpu()
    precision = average_precision(ranks, matches, ap)
    ignored = (part.cpu() for part in (block.of_person, block.itself, block.same_camera))
    return matches, ranks[:, 0], ranks.amax(1), precision, *ignored


def average_precision(ranks: Tensor, counts: Tensor, ap: AveragePrecision) -> Tensor:
    """Return each query's average precision from the ranks of its matches: float64 [B], NaN where none.

    Args:
        ranks: int64 [B, M], ascending from 1; 0 after a query's last match.
        counts: int64 [B], matches of each.
        ap: as in ``evaluate``.
    """
    nth = torch.arange(1, ranks.shape[1] + 1)
    precision = nth / ranks.double()
    if ap == "trapezoid":  # each step of recall: the mean of the precisions at its ends, the first is 1
        before = torch.where(ranks > 1, (nth - 1) / (ranks - 1).double(), 1.0)
        precision = (precision + before) / 2
    return torch.where(ranks > 0, precision, 0.0).sum(1) / counts


def _no_match_message(removed: Removed, queries: int, gallery: int, protocol: Protocol) -> str:
    reasons = [
        (removed.missing_person_queries, "their person is not in the gallery"),
        (
            removed.only_same_camera_queries,
            f"their person is only seen by their own camera, which the protocol '{protocol.name}' ignores",
        ),
        (removed.only_itself_queries, "the only crop of their person is the query itself"),
        (removed.not_a_person_queries, "they are junk or distractors (person -1 or 0)"),
    ]
    why = "; ".join(f"{what} ({count:,})" for count, what in reasons if count)
    advice = ""
    if removed.missing_person_queries:
        advice += " Check that query and gallery number their persons alike."
    if removed.only_same_camera_queries:
        advice += (
            " Check the camera labels; if they do not separate cameras, use a protocol without "
            "them (every-other-image; --no-cross-camera on the command line)."
        )
    return (
        f"None of the {queries:,} queries has a match in the gallery of {gallery:,} crops, "
        f"{removed.junk_crops:,} of them junk. Why, and for how many queries: {why}.{advice}"
    )

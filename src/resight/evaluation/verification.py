"""Verification (do two crops show the same person?): error rates at every distance, and thresholds.

All pairs of a query and a gallery crop that the protocol counts are compared, a block of queries at a time.
Their distances are counted on a grid of 2^20 steps from 0 to the largest possible distance. So rates are
exact for thresholds on the grid, and neither pairs nor scores are stored.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from resight.data.benchmark import Protocol
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.features import Metric
from resight.evaluation.ranking import Comparison, RankingInputs
from resight.seeds import derive_seed

BINS = 2**20
TILE_ENTRIES = 2**22  # distances counted at a time

ROC_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""False-match rates of the reported ROC."""


class NoPairs(UserError):
    """There is no pair of crops of one person, or none of two."""

    def __init__(self, kind: str, protocol: Protocol) -> None:
        super().__init__(
            f"There is no pair of crops of {kind} that the protocol '{protocol.name}' counts, and error "
            "rates need both kinds. Give more persons, or more crops of each."
        )
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Rates:
    """Errors at a threshold.

    Attributes:
        threshold: pairs at this distance or less are taken for the same person.
        false_match_rate: share of the pairs of two persons within the threshold.
        false_non_match_rate: share of the pairs of one person beyond it.
    """

    threshold: float
    false_match_rate: float
    false_non_match_rate: float


@dataclass(frozen=True, slots=True)
class Verification:
    """Counts of pairs by distance.

    Attributes:
        same, different: int64 [BINS + 1], pairs of one person and of two; the n-th at distances above n - 1
            and up to n steps.
        step: of the grid, a distance: 1 - cosine, or the Euclidean one.
        metric: of the distances.
    """

    same: Tensor
    different: Tensor
    step: float
    metric: Metric

    def at(self, threshold: float) -> Rates:
        """Return the rates at a threshold, rounded down to the grid."""
        place = min(BINS, math.floor(threshold / self.step * (1 + 1e-12)))
        return self._rates(place) if place >= 0 else Rates(threshold, 0.0, 1.0)

    def threshold(self, false_match_rate: float) -> Rates:
        """Return the largest threshold with at most this false-match rate.

        Raises:
            UserError: the rate is not between 0 and 1, or too small for this number of pairs, or no threshold
                has it because too many crops of different persons are alike.
        """
        if not 0 < false_match_rate < 1:
            raise UserError(f"A false-match rate is between 0 and 1, such as 0.001; got {false_match_rate}.")
        pairs = int(self.different.sum())
        if false_match_rate * pairs < 1:
            raise UserError(
                f"A false-match rate of {false_match_rate:g} cannot be measured with {pairs:,} pairs of two "
                f"persons: one pair is {1 / pairs:.1g} already. Choose a higher rate, or give more crops."
            )
        allowed = (self.different.cumsum(0).double() / pairs <= false_match_rate).nonzero()[:, 0]
        if not len(allowed):
            raise UserError(
                f"No threshold has a false-match rate of {false_match_rate:g}: {int(self.different[0]):,} of "
                f"{pairs:,} pairs of different persons are at distance 0."
            )
        return self._rates(int(allowed[-1]))

    def equal_error(self) -> Rates:
        """Return the point at which both rates are nearest; the equal error rate is their mean."""
        gap = (_shares(self.different) - (1 - _shares(self.same))).abs()
        return self._rates(int(gap.argmin()))

    def area(self) -> float:
        """Return the area under the ROC: how often a pair of one person is nearer; ties count half."""
        same = self.same.double() / self.same.sum()
        different = _shares(self.different)
        before = torch.cat((different.new_zeros(1), different[:-1]))
        return float(1 - (same * (before + different) / 2).sum())

    def roc(self, rates: Sequence[float] = ROC_RATES) -> list[Rates]:
        """Return the point of each false-match rate for which there are enough pairs."""
        pairs = int(self.different.sum())
        shares = _shares(self.different)
        return [self.threshold(rate) for rate in rates if rate * pairs >= 1 and float(shares[0]) <= rate]

    def as_dict(self) -> dict[str, Any]:
        """Return pairs, equal error rate, area and ROC as plain data."""
        equal = self.equal_error()
        return {
            "distance": "1 - cosine" if self.metric == "cosine" else "euclidean",
            "pairs_of_one_person": int(self.same.sum()),
            "pairs_of_two_persons": int(self.different.sum()),
            "equal_error_rate": (equal.false_match_rate + equal.false_non_match_rate) / 2,
            "equal_error_threshold": equal.threshold,
            "area_under_roc": self.area(),
            "roc": [asdict(rates) for rates in self.roc()],
        }

    def _rates(self, place: int) -> Rates:
        different, same = _shares(self.different)[place], _shares(self.same)[place]
        return Rates(place * self.step, float(different), float(1 - same))


@dataclass(frozen=True, slots=True)
class ThresholdCheck:
    """A threshold chosen on half of the persons and checked on the other half.

    Attributes:
        target: the requested false-match rate.
        chosen: threshold and rates on the first half.
        checked: rates at that threshold on the other half: what to expect for new persons.
    """

    target: float
    chosen: Rates
    checked: Rates


@torch.no_grad()
def verify(
    query: Embedded,
    gallery: Embedded,
    protocol: Protocol = Protocol(),  # noqa: B008 (frozen)
    *,
    metric: Metric = "cosine",
    device: torch.device | str | None = None,
) -> Verification:
    """Count, by distance, all pairs of a query and a gallery crop that the protocol counts.

    Junk is left out, as are the pairs that the protocol ignores, and queries that show no person.

    Args:
        query, gallery, protocol, metric, device: as in ``ranking.RankingInputs``.

    Raises:
        NoPairs: there is no pair of one person, or none of two.
        UserError: as ``ranking.RankingInputs``.
    """
    sides = RankingInputs(query, gallery, protocol, metric, device)
    comparison = Comparison(sides)
    rows = (query.persons > 0).nonzero()[:, 0].to(comparison.columns.device)
    squares = query.features.to(sides.dtype).square().sum(1).to(comparison.columns.device)
    step = _limit(query, gallery, metric) / BINS
    counts = torch.zeros(2, BINS + 2, dtype=torch.int64, device=comparison.columns.device)
    for block in comparison.blocks(rows):
        ignored = block.scores == -torch.inf
        if metric == "cosine":
            distances = block.scores.neg_().add_(1)
        else:
            distances = block.scores.neg_().add_(squares[block.rows, None]).clamp_(min=0).sqrt_()
        places = distances.div_(step).ceil_().clamp_(0, BINS)
        places[ignored] = BINS + 1
        counts[1] += places[block.matches].long().bincount(minlength=BINS + 2)
        for tile in places.flatten().split(TILE_ENTRIES):
            counts[0] += tile.long().bincount(minlength=BINS + 2)
    everything, same = counts[:, : BINS + 1].cpu()
    different = everything - same
    for pairs, kind in ((same, "one person"), (different, "two persons")):
        if not pairs.any():
            raise NoPairs(kind, protocol)
    return Verification(same, different, step, metric)


def calibrate(
    query: Embedded,
    gallery: Embedded,
    protocol: Protocol,
    false_match_rate: float,
    *,
    metric: Metric = "cosine",
    seed: int = 0,
    device: torch.device | str | None = None,
) -> ThresholdCheck:
    """Choose a threshold on half of the persons, and check it on the other half.

    Args:
        query, gallery, protocol, metric, device: as in ``verify``.
        false_match_rate: at most this rate.
        seed: of the halves; distractors are split between them.

    Raises:
        UserError: a half has no pair of one person or of two, or too few for the rate (see
            ``Verification.threshold``).
    """
    try:
        first, second = (
            verify(query.take(queries), gallery.take(found), protocol, metric=metric, device=device)
            for queries, found in halves(query, gallery, seed)
        )
    except NoPairs as error:
        persons = len(query.persons[query.persons > 0].unique())
        raise UserError(
            "A threshold is chosen on half of the persons and checked on the other half. This needs 4 "
            "persons or more, and in each half two crops of one person that the protocol "
            f"'{protocol.name}' compares. There are {persons:,} persons, and one half has no pair of crops "
            f"of {error.kind}. Give crops of more persons."
        ) from error
    chosen = first.threshold(false_match_rate)
    return ThresholdCheck(false_match_rate, chosen, second.at(chosen.threshold))


def halves(query: Embedded, gallery: Embedded, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return the rows of queries and gallery of each half of the persons, drawn with the seed."""
    everyone = sorted(
        set(query.persons[query.persons > 0].tolist()), key=lambda person: derive_seed(seed, "half", person)
    )
    chosen = torch.tensor(everyone[: len(everyone) // 2], dtype=torch.int64)

    def in_first(embedded: Embedded) -> Tensor:
        persons = embedded.persons.cpu()
        turns = torch.arange(len(persons)) % 2 == 0
        others = ~torch.isin(persons, torch.tensor(everyone, dtype=torch.int64))
        return torch.where(others, turns, torch.isin(persons, chosen))

    sides = in_first(query), in_first(gallery)
    return [
        (wanted[0].nonzero()[:, 0], wanted[1].nonzero()[:, 0])
        for wanted in (sides, tuple(~side for side in sides))
    ]


def _shares(counts: Tensor) -> Tensor:
    return counts.cumsum(0).double() / counts.sum()


def _limit(query: Embedded, gallery: Embedded, metric: Metric) -> float:
    """Return the largest possible distance."""
    if metric == "cosine":
        return 2.0
    longest = (float(side.features.double().norm(dim=1).max()) for side in (query, gallery))
    return sum(longest) or 1.0

"""CMC by single-gallery-shot draws: one gallery crop per person, drawn anew for each query."""

import torch
from torch import Tensor
from torch.nn import functional

from resight.evaluation.grouping import even_parts
from resight.evaluation.neighbours import track_long
from resight.evaluation.ranking import BLOCK_ROWS, Block, Comparison, RankingInputs
from resight.evaluation.reranking import Reranking
from resight.seeds import derive_seed


def draw_ranks(sides: RankingInputs, reranking: Reranking | None = None) -> Tensor:
    """Return the rank of each query's match in each draw: int64 [draws, Q] from 1; 0 without a match.

    In a draw, a query is compared with one crop of its person, one of every other person, each drawn from the
    gallery crops that count for it under the protocol, and all distractors. At equal scores, a wrong crop
    comes before a match.

    Args:
        sides: under a protocol with ``cmc`` ``single-shot``, which has the number of draws.
        reranking: rank by k-reciprocal re-ranked distances of the whole gallery.
    """
    comparison = Comparison(sides, reranking)
    order = torch.arange(len(sides.query), device=sides.device)
    total = len(even_parts(order, BLOCK_ROWS))
    work = float(len(order)) * len(comparison.columns) * sides.query.width
    people = _People(sides.gallery.embedded.persons.to(sides.device)[comparison.columns])
    ranks = torch.zeros(sides.protocol.draws, len(order), dtype=torch.int64, device=sides.device)
    for block in track_long(comparison.blocks(order), "Drawing galleries", total, work):
        generator = torch.Generator(sides.device).manual_seed(derive_seed("single-shot", int(block.rows[0])))
        candidates = _Candidates(people, block)
        for draw in ranks:
            draw[block.rows] = candidates.draw(generator)
    return ranks.cpu()


class _People:
    """The gallery's columns [G], person by person; each distractor counts as a person of its own.

    Attributes:
        owner: int64 [G], the person of each column, from 0 to P - 1.
        order: int64 [G], the columns, person by person.
        starts, ends: int64 [P], begin and end of each person's columns in that order.
    """

    def __init__(self, persons: Tensor) -> None:
        alone = -2 - torch.arange(len(persons), device=persons.device)
        _, self.owner = torch.where(persons > 0, persons, alone).unique(return_inverse=True)
        self.order = self.owner.argsort(stable=True)
        sizes = self.owner.bincount()
        self.ends = sizes.cumsum(0)
        self.starts = self.ends - sizes


class _Candidates:
    """The crops that count for each query of a block, person by person."""

    def __init__(self, people: _People, block: Block) -> None:
        self._scores = block.scores[:, people.order]
        counting = (self._scores > -torch.inf).cumsum(1)
        upto = functional.pad(counting, (1, 0))
        self._counting, self._before = counting, upto[:, people.starts]
        self._counts = upto[:, people.ends] - self._before
        row, column = block.matches
        self._own = block.rows.new_zeros(len(block.rows))
        self._own[row] = people.owner[column]
        self._valid = row.bincount(minlength=len(block.rows)) > 0

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw one crop of each person for each query, and return the ranks of the matches: int64 [B]."""
        share = torch.rand(
            self._counts.shape, generator=generator, device=self._counts.device, dtype=torch.float64
        )
        nth = (share * self._counts).long() + 1
        place = torch.searchsorted(self._counting, self._before + nth)
        place.clamp_(max=self._scores.shape[1] - 1)  # of persons without a crop that counts
        scores = self._scores.gather(1, place).masked_fill_(self._counts == 0, -torch.inf)
        rank = (scores >= scores.gather(1, self._own[:, None])).sum(1)  # the match is one of them
        return torch.where(self._valid, rank, 0)

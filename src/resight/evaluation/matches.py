"""Each query's matches, and the number of wrong crops before each: all that the scores need.

A gallery crop that shows no query's person is wrong for every query, whatever the protocol. Such crops
(mostly distractors) are only counted: they are read a few thousand at a time, compared with all queries and
discarded, so that a gallery may be far larger than the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resight.evaluation.counting import count_at_or_above
from resight.evaluation.features import Side
from resight.evaluation.grouping import even_parts
from resight.evaluation.neighbours import track_long
from resight.evaluation.ranking import BLOCK_ROWS, Block, Comparison, RankingInputs
from resight.evaluation.reranking import Reranking

STREAM_ENTRIES = 2**24  # numbers of features read at a time


@dataclass(frozen=True, slots=True)
class Matches:
    """The matches of B queries.

    Attributes:
        rows: int64 [B], the queries.
        scores: [B, M], descending; -inf after a query's last match. M is 1 or more.
        counts: int64 [B], matches of each.
        before: int64 [S, B, M], wrong crops at the match's score or higher, added by each of S steps.
        of_person, itself, same_camera: int64 [B], as in ``ranking.Block``.
    """

    rows: Tensor
    scores: Tensor
    counts: Tensor
    before: Tensor
    of_person: Tensor
    itself: Tensor
    same_camera: Tensor

    def ranks(self, step: int = 0) -> Tensor:
        """Return the ranks of the matches, ascending, with the wrong crops up to a step: int64 [B, M].

        A match ranks after the better matches, and after the wrong crops of its own score or higher; after a
        query's last match the rank is 0.
        """
        nth = torch.arange(1, self.scores.shape[1] + 1, device=self.rows.device)
        return torch.where(nth <= self.counts[:, None], nth + self.before[: step + 1].sum(0), 0)


def find_matches(sides: RankingInputs, reranking: Reranking | None = None, steps: int = 1) -> list[Matches]:
    """Return the matches of all queries, in blocks; the gallery itself is the first of the steps."""
    candidates, others = _split(sides)
    if reranking is not None or sides.protocol.gallery_side == "opposite":
        # every crop affects every distance, or is ignored for some queries
        candidates, others = torch.arange(len(sides.gallery)), others[:0]
    comparison = Comparison(sides, reranking, candidates)
    order = comparison.rows_by_matches()
    blocks = comparison.blocks(order)
    total, work = -(-len(order) // BLOCK_ROWS), float(len(order)) * len(candidates) * sides.query.width
    found = [_find(block, steps) for block in track_long(blocks, "Ranking", total, work)]
    count_wrong(found, sides, sides.gallery, others, torch.zeros_like(others))
    return found


def count_wrong(
    found: Sequence[Matches], sides: RankingInputs, side: Side, places: Tensor, steps: Tensor
) -> None:
    """Count crops that are wrong for every query.

    Args:
        found: blocks of queries.
        sides: queries and gallery.
        side: the gallery, or other crops with such features.
        places: int64 [P] of ``side``, ascending (a file is read from start to end).
        steps: int64 [P], the step of each.
    """
    if not len(places):
        return
    width = max(1, STREAM_ENTRIES // side.width)
    buffer = torch.empty(BLOCK_ROWS * min(width, len(places)), dtype=sides.dtype, device=sides.device)
    work = float(len(sides.query)) * len(places) * side.width
    chunks = list(zip(even_parts(places, width), even_parts(steps, width), strict=True))
    for chunk, when in track_long(chunks, "Counting wrong crops", len(chunks), work):
        order = when.argsort(stable=True)
        sizes = when.bincount().tolist()
        products = sides.products(side, chunk[order])
        for block in found:
            scores = buffer[: len(block.rows) * len(chunk)].view(len(block.rows), len(chunk))
            products.write(block.rows, scores)
            for step, part in enumerate(scores.split(sizes, dim=1)):
                if part.shape[1]:
                    block.before[step] += count_at_or_above(part, block.scores, block.counts)


def _split(sides: RankingInputs) -> tuple[Tensor, Tensor]:
    """Return the places in the gallery to compare at once, and those to count a chunk at a time.

    The first may match or be ignored; the others are wrong for every query.
    """
    query, gallery = sides.query.embedded, sides.gallery.embedded
    rows, persons = sides.gallery.rows, query.persons.cpu()
    wanted = torch.isin(gallery.persons[rows].cpu(), persons[persons > 0].unique())
    if query.items is not None and gallery.items is not None:
        wanted |= torch.isin(gallery.items[rows].cpu(), query.items.cpu())
    others = (~wanted).nonzero()[:, 0]
    width = max(1, STREAM_ENTRIES // sides.gallery.width)
    # no product has few columns: it would be rounded differently, and equal features would not tie
    at_once = len(others) if len(others) <= 2 * width else max(0, width - int(wanted.sum()))
    wanted[others[:at_once]] = True
    return wanted.nonzero()[:, 0], others[at_once:]


def _find(block: Block, steps: int) -> Matches:
    """Return the block's matches; overwrites its scores."""
    row, column = block.matches
    counts = row.bincount(minlength=len(block.rows))
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    found = block.scores.new_full((len(counts), max(1, int(counts.max()))), -torch.inf)
    found[row, place] = block.scores[row, column]
    found = found.sort(1, descending=True).values
    block.scores[row, column] = -torch.inf  # only wrong crops remain to be counted
    before = counts.new_zeros(steps, *found.shape)
    before[0] = count_at_or_above(block.scores, found, counts)
    return Matches(block.rows, found, counts, before, block.of_person, block.itself, block.same_camera)

"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), exact, without an N x N matrix.

Queries and gallery together are N items. An item's *encoding* is a sparse vector over the items: weights at
its k-reciprocal neighbours, expanded by those of its neighbours (Sec. 3.2-3.3), then averaged over its k2
nearest items (Sec. 3.4, local query expansion). The new distance of two items mixes the Jaccard distance of
their encodings with the original one (Sec. 3.5).

As in the authors' code (copies of it differ), distances are Euclidean, squared once, and divided by the
largest of their row. The k1 + 1 nearest items are used, because the item itself is the first. The expansion
uses ``round(k1 / 2) + 1`` neighbours (half to even), and adds a neighbour's set if more than two thirds of it
are in the item's own set. The authors' sort does not define the order of ties; here the item itself comes
first, then the others in order.

Memory holds, for each item, the nearest items and the farthest distance, from one blockwise pass over half of
the symmetric distances; the distances to its expanded neighbours, as sparse dot products; and its encoding, a
few dozen numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from resight.data.pairs import spread
from resight.errors import UserError
from resight.evaluation.distances import Distances, GivenDistances
from resight.evaluation.neighbours import nearest_items, split_by_size, stretches
from resight.threads import Workers

BLOCK_ROWS = 512  # queries at a time
TABLE_ENTRIES = 2**24  # entries of the tables that find duplicate columns
PAIRS = 2**21  # weights compared at a time

Entries = tuple[Tensor, Tensor, Tensor]
"""Some rows of a sparse matrix: number of entries of each, columns, values."""


@dataclass(frozen=True, slots=True)
class Reranking:
    """How to re-rank.

    Attributes:
        k1: number of nearest items that may be k-reciprocal neighbours.
        k2: number of nearest items, with the item itself, over which encodings are averaged; 1: no averaging.
        original: lambda, the share of the original distance in the new one.
        junk: whether gallery crops labelled junk take part and are removed from the ranking afterwards, as in
            the authors' script for Market-1501.

    Raises:
        UserError: a number is out of range.
    """

    k1: int = 20
    k2: int = 6
    original: float = 0.3
    junk: bool = False

    def as_dict(self) -> dict[str, float]:
        """Return the parameters by the paper's names, and ``junk`` if it takes part."""
        numbers: dict[str, float] = {"k1": self.k1, "k2": self.k2, "lambda": self.original}
        return numbers | ({"junk": True} if self.junk else {})

    def check(self, queries: int, gallery: int) -> None:
        """Refuse fewer than k1 crops in the gallery, or fewer than k2 items in all."""
        if gallery < self.k1 or queries + gallery < self.k2:
            kept = "" if self.junk else " that are not junk"
            raise UserError(
                f"Re-ranking needs k1 = {self.k1} neighbours in the gallery and averages k2 = {self.k2}, "
                f"but the gallery has {gallery:,} crops{kept}. "
                "Choose a smaller k1 or k2, or do not re-rank."
            )

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.original <= 1:
            raise UserError(
                "Re-ranking needs k1 and k2 of 1 or more and lambda from 0 to 1; got "
                f"k1 = {self.k1}, k2 = {self.k2}, lambda = {self.original}."
            )


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse matrix, row by row.

    Attributes:
        starts: int64 [rows + 1], the index of each row's first entry, and finally P.
        columns: int64 [P].
        values: [P].
    """

    starts: Tensor
    columns: Tensor
    values: Tensor

    def rows(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the entries of some rows [B]: their place in ``rows`` [P], columns [P] and values [P]."""
        starts = self.starts.index_select(0, rows)
        owner, index = spread(starts, self.starts.index_select(0, rows + 1) - starts)
        return owner, self.columns.index_select(0, index), self.values.index_select(0, index)


class Reranked:
    """Re-ranked distances of queries to the gallery, computed block by block.

    Args:
        distances: distances of all items.
        settings: how to re-rank.

    Raises:
        UserError: the gallery has fewer than k1 crops, or there are fewer than k2 items.
    """

    def __init__(self, distances: Distances, settings: Reranking) -> None:
        settings.check(distances.queries, distances.items - distances.queries)
        self._distances, self._settings = distances, settings
        self._workers = workers = Workers(distances.device)
        neighbours, self._farthest = nearest_items(distances, max(settings.k1 + 1, settings.k2), workers)
        near = neighbours[:, : settings.k1 + 1]
        encodings = _encode(distances, near, self._farthest, settings.k1, workers)
        if settings.k2 > 1:
            encodings = _average(encodings, neighbours[:, : settings.k2], workers)
        self._queries = encodings
        self._gallery = _by_column(encodings, distances.queries)

    def write(self, rows: Tensor, out: Tensor) -> None:
        """Write negated new distances of queries ``rows`` [B] to the whole gallery into ``out`` [B, G]."""
        share = self._settings.original
        shared = torch.zeros_like(out)
        parts = stretches(len(rows), -(-len(rows) // self._workers.count))
        self._workers.map(lambda part: self._shared_weight(rows[part], shared[part]), parts)
        jaccard = shared.div_(2 - shared).sub_(1)  # negated; the weights of two encodings add up to 2
        self._distances.to_gallery(rows, out)
        out.mul_((-share / self._farthest[rows])[:, None]).add_(jaccard, alpha=1 - share)

    def shown(self, rows: Tensor, columns: Tensor, scores: Tensor) -> Tensor:
        """Return new distances [B, k] from scores of ``write``."""
        return -scores

    def _shared_weight(self, rows: Tensor, out: Tensor) -> None:
        """Add the smaller of the two weights, summed over all items, to ``out`` [B, G]."""
        owner, items, weights = self._queries.rows(rows)
        starts = self._gallery.starts.index_select(0, items)
        counts = self._gallery.starts.index_select(0, items + 1) - starts
        parts = split_by_size(counts, PAIRS)
        flat = out.view(-1)
        for first, start, count, weight in zip(
            (owner * out.shape[1]).split(parts),
            starts.split(parts),
            counts.split(parts),
            weights.split(parts),
            strict=True,
        ):
            entry, index = spread(start, count)
            least = self._gallery.values.index_select(0, index)
            torch.minimum(least, weight.index_select(0, entry), out=least)
            place = self._gallery.columns.index_select(0, index).add_(first.index_select(0, entry))
            flat.scatter_add_(0, place, least)


@torch.no_grad()
def rerank(
    query_gallery: Tensor, query_query: Tensor, gallery_gallery: Tensor, settings: Reranking = Reranking()
) -> Tensor:
    """Return re-ranked distances [Q, G].

    Args:
        query_gallery, query_query, gallery_gallery: Euclidean distances [Q, G], [Q, Q], [G, G], not squared.
        settings: how to re-rank.

    Raises:
        UserError: the distances do not fit together, or the gallery has fewer than k1 crops.
    """
    distances = GivenDistances(query_gallery, query_query, gallery_gallery)
    out = query_gallery.new_empty(query_gallery.shape, dtype=distances.dtype)
    reranked = Reranked(distances, settings)
    for rows in torch.arange(len(out), device=out.device).split(BLOCK_ROWS):
        reranked.write(rows, out[rows[0] : rows[-1] + 1])
    return out.neg_()


def _encode(distances: Distances, neighbours: Tensor, farthest: Tensor, k1: int, workers: Workers) -> Sparse:
    """Return the weights of each item's expanded k-reciprocal neighbours (Eqs. 3-5 and 7)."""
    items = len(neighbours)
    few = neighbours[:, : round(k1 / 2) + 1]
    mutual, mutual_few = _mutual(neighbours, workers), _mutual(few, workers)

    def encode(rows: slice, table: "_Table") -> Entries:
        near, sure = neighbours[rows], mutual[rows]
        candidates = few[near]  # [B, k1 + 1, few]
        proper = mutual_few[near] & sure[:, :, None]
        known = table.contains(near, sure, candidates) & proper
        taken = proper & (3 * known.sum(2) > 2 * proper.sum(2))[:, :, None]
        owner, place = torch.cat([sure, taken.flatten(1)], 1).nonzero(as_tuple=True)
        members = torch.cat([near, candidates.flatten(1)], 1)[owner, place]
        keys = (owner * items + members).unique()
        owner, members = keys // items, keys % items
        count = owner.bincount(minlength=len(near))
        starts = torch.cat([count.new_zeros(1), count.cumsum(0)])
        weights = (-distances.pairs(rows, starts, members) / farthest[rows][owner]).exp_()
        total = weights.new_zeros(len(near)).index_add_(0, owner, weights)
        return count, members, weights / total[owner]

    return _by_parts(encode, items, distances.device, workers)


def _mutual(neighbours: Tensor, workers: Workers) -> Tensor:
    """Return which of each item's neighbours [N, k] have the item among their own: bool [N, k]."""
    every = torch.arange(len(neighbours), device=neighbours.device)
    step = max(1, PAIRS // neighbours.shape[1] ** 2)

    def mutual(rows: slice) -> Tensor:
        return (neighbours[neighbours[rows]] == every[rows, None, None]).any(2)

    return torch.cat(workers.map(mutual, stretches(len(neighbours), step)))


def _average(encodings: Sparse, neighbours: Tensor, workers: Workers) -> Sparse:
    """Return the mean encoding of each item's neighbours [N, k2]."""
    items, k2 = neighbours.shape

    def average(rows: slice, table: "_Table") -> Entries:
        near = neighbours[rows]
        entry, column, weight = encodings.rows(near.flatten())
        owner = entry // k2
        first = table.first(owner, column)
        total = torch.zeros_like(weight).index_add_(0, first, weight)
        kept = (first == torch.arange(len(first), device=first.device)).nonzero()[:, 0]
        return owner[kept].bincount(minlength=len(near)), column[kept], total[kept] / k2

    return _by_parts(average, items, neighbours.device, workers)


def _by_parts(
    work: Callable[[slice, "_Table"], Entries], items: int, device: torch.device, workers: Workers
) -> Sparse:
    """Return the rows that ``work`` finds for ranges of items; each thread has a table of its own."""

    def run(part: slice) -> list[Entries]:
        table = _Table(items, device, TABLE_ENTRIES // workers.count)
        starts = range(part.start, part.stop, table.rows)
        return [work(slice(start, min(start + table.rows, part.stop)), table) for start in starts]

    found = workers.map(run, stretches(items, -(-items // workers.count)))
    count, columns, values = map(torch.cat, zip(*chain.from_iterable(found), strict=True))
    return Sparse(torch.cat([count.new_zeros(1), count.cumsum(0)]), columns, values)


def _by_column(encodings: Sparse, queries: int) -> Sparse:
    """Return the gallery's encodings, transposed: for each item, gallery crops (from 0) and weights."""
    items = len(encodings.starts) - 1
    first = int(encodings.starts[queries])
    owner = torch.arange(items - queries, device=encodings.starts.device).repeat_interleave(
        encodings.starts[queries:].diff()
    )
    columns, order = encodings.columns[first:].sort(stable=True)
    starts = torch.searchsorted(columns, torch.arange(items + 1, device=columns.device))
    return Sparse(starts, owner[order], encodings.values[first:][order])


class _Table:
    """Table of a few items (rows) by all items (columns), to find duplicates without sorting."""

    def __init__(self, items: int, device: torch.device, entries: int) -> None:
        self.rows = max(1, min(1024, entries // items))
        self._items = items
        self._marks = torch.zeros(self.rows, items, dtype=torch.bool, device=device)
        # not initialised, because only written entries are read
        self._places = torch.empty(self.rows * items, dtype=torch.int32, device=device)

    def contains(self, members: Tensor, valid: Tensor, candidates: Tensor) -> Tensor:
        """Return which candidates [B, ...] are valid members [B, M] of their row."""
        marks = self._marks[: len(members)]
        marks.scatter_(1, members, valid)
        found = marks.gather(1, candidates.flatten(1)).view(candidates.shape)
        marks.scatter_(1, members, False)
        return found

    def first(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return, for each of P entries, the position of one entry that represents its row and column."""
        keys = rows * self._items + columns
        self._places.scatter_(0, keys, torch.arange(len(keys), dtype=torch.int32, device=keys.device))
        return self._places.index_select(0, keys).long()

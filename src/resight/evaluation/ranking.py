"""Query against gallery under a protocol, a block of queries at a time: never a full matrix, never a full sort.

**Order.** Nearer comes first. Where scores are equal as computed, wrong crops come before right ones, and otherwise the
gallery's order holds: a tie is never a hit, so features that are all alike score worst, and no score depends on the order
of the files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resight.data.benchmark import Protocol
from resight.data.crop import JUNK
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.features import METRICS, Metric, prepare, working_dtype

BLOCK_ROWS = (
    512  # queries whose scores are held at a time: enough for the matrix product to run at full speed
)


@dataclass(frozen=True, slots=True)
class Block:
    """Some queries' scores against the gallery.

    Attributes:
        rows: int64 [B], the queries.
        scores: [B, G] over the gallery without its junk: higher is nearer, -inf where the protocol ignores the crop. The
            next block is written over it.
        matches: int64 (rows in the block [M], columns [M]) of the right crops that count, row by row.
        of_person: int64 [B], gallery crops of the query's person, whether or not they count.
        itself, same_camera: int64 [B], crops ignored because they are the query, or else because its camera took them.
    """

    rows: Tensor
    scores: Tensor
    matches: tuple[Tensor, Tensor]
    of_person: Tensor
    itself: Tensor
    same_camera: Tensor


class Comparison:
    """A query set and a gallery, ready to compare.

    Args:
        query, gallery: features of one length D. float64 on either side is compared in float64, all else in float32.
        protocol: which gallery crops count.
        metric: ``cosine``, or ``euclidean`` as 2 q.g - |g|^2, which ranks as the distance does. Its rounding error grows
            with the features' length, not with their distance: for features far from the origin pass float64.
        device: where to compute; by default where the gallery's features are.

    Attributes:
        columns: int64 [G], the gallery's rows that are not junk.

    Raises:
        UserError: either side is empty, D differs, the protocol needs cameras that a side lacks, or features cannot be
            compared (see ``features.prepare``).
    """

    def __init__(
        self,
        query: Embedded,
        gallery: Embedded,
        protocol: Protocol,
        metric: Metric,
        device: torch.device | str | None = None,
    ) -> None:
        _check(query, gallery, protocol, metric)
        device = torch.device(device) if device is not None else gallery.features.device
        dtype = working_dtype(query, gallery)
        kept = (gallery.persons != JUNK).nonzero()[:, 0]
        if not len(kept):
            raise UserError(
                f"All {len(gallery):,} gallery crops are junk (person {JUNK}): there is nothing to rank."
            )
        rows = torch.arange(len(query), device=query.features.device)
        self._query, _ = prepare(query, rows, metric, dtype, device, "query")
        self._gallery, squares = prepare(
            gallery, kept.to(gallery.features.device), metric, dtype, device, "gallery"
        )
        self._offsets = -squares if metric == "euclidean" else None
        self.columns = kept.to(device)
        # a query that is junk or a distractor shows no person: it gets a label that no crop kept here has
        self._query_persons = torch.where(query.persons > 0, query.persons, JUNK).to(device)
        self._by_person = _Groups(gallery.persons.to(device)[self.columns])
        self._cameras = self._items = None
        if protocol.cross_camera and query.cameras is not None and gallery.cameras is not None:
            self._cameras = query.cameras.to(device), gallery.cameras.to(device)[self.columns]
        if query.items is not None and gallery.items is not None:
            self._items = query.items.to(device), gallery.items.to(device)[self.columns]
            self._by_item = _Groups(self._items[1])

    def rows_by_matches(self) -> Tensor:
        """Return all queries, those of persons with fewer gallery crops first: int64 [Q]."""
        _, counts = self._by_person.find(self._query_persons)
        return counts.argsort(stable=True)

    def blocks(self, rows: Tensor) -> Iterator[Block]:
        """Yield the queries of ``rows`` [R], in this order, in blocks."""
        buffer = self._gallery.new_empty(min(len(rows), BLOCK_ROWS), len(self._gallery))
        for part in rows.split(BLOCK_ROWS):
            scores = buffer[: len(part)]
            if self._offsets is None:
                torch.mm(self._query[part], self._gallery.T, out=scores)
            else:
                torch.addmm(self._offsets, self._query[part], self._gallery.T, alpha=2, out=scores)
            yield self._under_protocol(part, scores)

    def shown(self, rows: Tensor, columns: Tensor, scores: Tensor) -> Tensor:
        """Return the cosines or Euclidean distances of pairs whose scores are given: [B, k] for rows [B]."""
        if self._offsets is None:
            return scores.clamp(-1, 1)
        query = self._query[rows]  # from the differences: the score has lost the digits of a small distance
        distances = [torch.linalg.vector_norm(query - self._gallery[column], dim=1) for column in columns.T]
        return torch.stack(distances, 1)

    def _under_protocol(self, rows: Tensor, scores: Tensor) -> Block:
        row, column = self._by_person.pairs(self._query_persons[rows])
        ignored = torch.zeros_like(row, dtype=torch.bool)
        itself = rows.new_zeros(len(rows))
        if self._items is not None:
            query_items, gallery_items = self._items
            own_row, own_column = self._by_item.pairs(query_items[rows])
            scores[own_row, own_column] = -torch.inf  # whatever person they are labelled with
            itself = own_row.bincount(minlength=len(rows))
            ignored = query_items[rows][row] == gallery_items[column]
        same_camera = torch.zeros_like(ignored)
        if self._cameras is not None:
            query_cameras, gallery_cameras = self._cameras
            same_camera = (query_cameras[rows][row] == gallery_cameras[column]) & ~ignored
            scores[row[same_camera], column[same_camera]] = -torch.inf
            ignored |= same_camera
        right = ~ignored
        return Block(
            rows,
            scores,
            (row[right], column[right]),
            row.bincount(minlength=len(rows)),
            itself,
            row[same_camera].bincount(minlength=len(rows)),
        )


def nearest(
    query: Embedded,
    gallery: Embedded,
    protocol: Protocol,
    k: int,
    *,
    metric: Metric = "cosine",
    rows: Sequence[int] | Tensor | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Return each query's k nearest gallery crops that count, nearest first, in the order that the scores use.

    Args:
        query, gallery, protocol, metric, device: as in ``Comparison``.
        k: crops a query; at most those of the gallery that are not junk.
        rows: the queries to rank, by default all.

    Returns:
        indices: int64 [R, k] into the gallery, -1 where fewer than k crops count.
        scores: [R, k], the cosine similarity (falling) or the Euclidean distance (rising); NaN where the index is -1.
    """
    if k < 1:
        raise UserError(f"k is how many crops to return a query, 1 or more; got {k}.")
    comparison = Comparison(query, gallery, protocol, metric, device)
    columns = comparison.columns
    chosen = torch.as_tensor(
        range(len(query)) if rows is None else rows, dtype=torch.int64, device=columns.device
    )
    k = min(k, len(columns))
    indices, scores = [], []
    for block in comparison.blocks(chosen):
        best = _first(block, k)
        values = block.scores.gather(1, best)
        counts = values > -torch.inf
        indices.append(torch.where(counts, columns[best], -1))
        scores.append(torch.where(counts, comparison.shown(block.rows, best, values), torch.nan))
    if not indices:
        return chosen.new_empty(0, k), query.features.new_empty(0, k)
    return torch.cat(indices), torch.cat(scores)


def _first(block: Block, k: int) -> Tensor:
    """Return the columns of the k highest scores, ties as the module says: int64 [B, k]."""
    right = torch.zeros_like(block.scores, dtype=torch.bool)
    right[block.matches] = True
    last = block.scores.topk(k).values[:, -1]  # topk breaks ties as it likes, so only its k-th value is used
    first = []
    for scores, is_right, least in zip(block.scores, right, last, strict=True):
        columns = (scores >= least).nonzero()[
            :, 0
        ]  # k, or more where the last place is tied; in the gallery's order
        columns = columns[is_right[columns].byte().argsort(stable=True)]
        first.append(columns[scores[columns].argsort(descending=True, stable=True)][:k])
    return torch.stack(first)


class _Groups:
    """The columns of each label."""

    def __init__(self, labels: Tensor) -> None:
        self.labels, self.columns = labels.sort(stable=True)

    def find(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return where each label's columns start in ``columns``, and how many there are."""
        start = torch.searchsorted(self.labels, labels)
        return start, torch.searchsorted(self.labels, labels, right=True) - start

    def pairs(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (row, column) of every column that has the row's label, row by row."""
        start, counts = self.find(labels)
        row = torch.arange(len(labels), device=labels.device).repeat_interleave(counts)
        place = torch.arange(len(row), device=labels.device) - (counts.cumsum(0) - counts)[row]
        return row, self.columns[start[row] + place]


def _check(query: Embedded, gallery: Embedded, protocol: Protocol, metric: str) -> None:
    if metric not in METRICS:
        raise UserError(f"Unknown metric '{metric}'. Known: {', '.join(METRICS)}.")
    for side, embedded in (("query", query), ("gallery", gallery)):
        if not len(embedded):
            raise UserError(f"The {side} is empty: there is nothing to score.")
        if protocol.cross_camera and embedded.cameras is None:
            raise UserError(
                f"The protocol '{protocol.name}' ignores gallery crops of the query's person under its own camera, but "
                f"the {side} has no cameras. Give cameras on both sides, or use a protocol that does not need them "
                "(every-other-image; --no-cross-camera on the command line)."
            )
    lengths = query.features.shape[1], gallery.features.shape[1]
    if lengths[0] != lengths[1] or not lengths[0]:
        raise UserError(
            f"Query and gallery features must have one length; got {lengths[0]} and {lengths[1]} numbers a crop. "
            "They come from different models, or from different layers of one."
        )

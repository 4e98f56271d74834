"""Query against gallery under a protocol, a block of queries at a time: no full matrix, no full sort.

**Order.** Nearer crops come first. Among equal computed scores, wrong crops come before right ones, then the
gallery's order decides. So a tie is never a hit, and no score depends on the order of the files. Crops with
equal features have equal scores, however a matrix product rounds: a gallery of equal features gets the worst
score. This holds for all crops compared in one product, which is the whole gallery unless it has more than
2^25 numbers of crops of other persons (see ``matches``); between products, rounding decides. It does not hold
after re-ranking, which depends on a crop's neighbours.

**Repeatability.** The same input gives the same order on the same machine. If products are exact (as for
features of small integers), it is the same everywhere. Otherwise two crops with scores that differ by less
than the rounding of a matrix product may swap ranks with another block size, library or device.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import torch
from torch import Tensor

from resight.data.benchmark import Protocol
from resight.data.crop import JUNK
from resight.data.pairs import CropLabels, ProtocolPairs
from resight.device import resolve_device
from resight.errors import UserError
from resight.evaluation.distances import FeatureDistances
from resight.evaluation.embedded import Embedded
from resight.evaluation.features import Metric, Side, working_dtype
from resight.evaluation.grouping import even_parts
from resight.evaluation.reranking import Reranked, Reranking
from resight.evaluation.sources import Columns, Products, ScoreSource

BLOCK_ROWS = 512  # queries per block: enough for a matrix product at full speed


@dataclass(frozen=True, slots=True)
class Block:
    """Scores of some queries.

    Attributes:
        rows: int64 [B], the queries.
        scores: [B, G] over the gallery without its junk: higher is nearer, -inf where the protocol ignores
            the crop. The next block overwrites them.
        matches: int64 (rows in the block [M], columns [M]) of the right crops that count, row by row.
        of_person: int64 [B], gallery crops of the query's person, whether or not they count.
        itself, same_camera: int64 [B], crops ignored because they are the query, or else because they are
            from its camera.
    """

    rows: Tensor
    scores: Tensor
    matches: tuple[Tensor, Tensor]
    of_person: Tensor
    itself: Tensor
    same_camera: Tensor


class RankingInputs:
    """A query set and a gallery to compare: checked at once, read when needed.

    Args:
        query, gallery: features [Q, D] and [N, D]. If either is float64, they are compared in float64, else
            in float32.
        protocol: which gallery crops count.
        metric: ``cosine``; or ``euclidean``, computed as 2 q.g - |g|^2, which gives the same ranks as the
            distance. Its rounding error grows with the features' lengths, not their distance: if all are far
            from zero and near each other, pass float64.
        device: where to compute; by default that of the gallery's features.

    Attributes:
        query, gallery: their crops, without junk in the gallery.

    Raises:
        UserError: a side is empty or all junk, D differs, the protocol needs cameras that a side lacks, or
            features cannot be compared (see ``features.Side``).
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
        self.protocol, self.metric = protocol, metric
        self.device = gallery.features.device if device is None else resolve_device(str(device))
        self.dtype = working_dtype(query, gallery)
        kept = (gallery.persons != JUNK).nonzero()[:, 0]
        if not len(kept):
            raise UserError(f"All {len(gallery):,} gallery crops are junk ({JUNK}): none is left to rank.")
        everyone = torch.arange(len(query))
        self.query = Side(query, everyone, metric, self.dtype, self.device, "query")
        self.gallery = Side(gallery, kept, metric, self.dtype, self.device, "gallery")

    @cached_property
    def query_features(self) -> Tensor:
        """A copy of the queries' features [Q, D]."""
        return self.query.take(torch.arange(len(self.query)))

    def whole_gallery(self) -> Side:
        """Return the gallery with its junk."""
        everything = self.gallery.embedded
        rows = torch.arange(len(everything))
        return Side(everything, rows, self.metric, self.dtype, self.device, "gallery")

    def products(self, side: Side, places: Tensor) -> Products:
        """Return the products of all queries with a copy of some crops of a side."""
        squares = side.squares[places.to(self.device)] if self.metric == "euclidean" else None
        return Products(self.query_features, side.take(places), squares)


class Comparison:
    """Queries and a gallery, compared under a protocol.

    Args:
        sides: what to compare.
        reranking: re-rank, with the whole gallery without junk.
        places: int64 [G], positions in ``sides.gallery``; all by default.

    Attributes:
        columns: int64 [G], their rows in the gallery.
        source: of scores.

    Raises:
        UserError: the gallery is too small to re-rank.
    """

    def __init__(
        self, sides: RankingInputs, reranking: Reranking | None = None, places: Tensor | None = None
    ) -> None:
        places = torch.arange(len(sides.gallery)) if places is None else places
        query, gallery, device = sides.query.embedded, sides.gallery.embedded, sides.device
        kept = sides.gallery.rows[places.to(sides.gallery.rows.device)]
        self.columns = kept.to(device)
        self.source: ScoreSource
        if reranking is None:
            self.source = sides.products(sides.gallery, places)
        elif not reranking.junk:
            self.source = Reranked(FeatureDistances(sides.query, sides.gallery), reranking)
        else:
            everything = sides.whole_gallery()
            reranked = Reranked(FeatureDistances(sides.query, everything), reranking)
            self.source = Columns(reranked, kept.to(device), len(everything))
        self._dtype = sides.dtype
        everyone = torch.arange(len(query))
        labels = _labels(query, everyone, device), _labels(gallery, kept, device)
        self._pairs = ProtocolPairs(sides.protocol, *labels)
        self._opposite = labels if sides.protocol.gallery_side == "opposite" else None

    def rows_by_matches(self) -> Tensor:
        """Return all queries, those of persons with fewer gallery crops first: int64 [Q]."""
        return self._pairs.rows_by_matches()

    def blocks(self, rows: Tensor) -> Iterator[Block]:
        """Yield the queries of ``rows`` [R] block by block, in this order."""
        shape = min(len(rows), BLOCK_ROWS), len(self.columns)
        buffer = torch.empty(shape, dtype=self._dtype, device=self.columns.device)
        for part in even_parts(rows, BLOCK_ROWS):
            scores = buffer[: len(part)]
            self.source.write(part, scores)
            yield self._under_protocol(part, scores)

    def _under_protocol(self, rows: Tensor, scores: Tensor) -> Block:
        pairs = self._pairs.of(rows)
        for ignored in (pairs.itself, pairs.same_camera):
            scores[ignored] = -torch.inf
        if self._opposite is not None:
            query, gallery = (labels.cameras for labels in self._opposite)
            assert query is not None  # the protocol counts cameras
            assert gallery is not None
            scores[query[rows][:, None] == gallery] = -torch.inf
        itself, same_camera = (
            row.bincount(minlength=len(rows)) for row, _ in (pairs.itself, pairs.same_camera)
        )
        return Block(rows, scores, pairs.matches, pairs.of_person, itself, same_camera)


def _labels(crops: Embedded, rows: Tensor, device: torch.device) -> CropLabels:
    """Return the labels of some crops, on the device."""
    others = (crops.cameras, crops.items, crops.clothes)
    known = (None if labels is None else labels[rows].to(device) for labels in others)
    return CropLabels(crops.persons[rows].to(device), *known)


@torch.no_grad()
def nearest(
    query: Embedded,
    gallery: Embedded,
    protocol: Protocol,
    k: int,
    *,
    metric: Metric = "cosine",
    reranking: Reranking | None = None,
    rows: Sequence[int] | Tensor | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Return each query's k nearest gallery crops that count, in the order used for scoring.

    Args:
        query, gallery, protocol, metric, device: as in ``RankingInputs``.
        k: crops per query; at most the number in the gallery without junk.
        reranking: order by re-ranked distances.
        rows: the queries to rank; all by default.

    Returns:
        indices: int64 [R, k] into the gallery, -1 where fewer than k crops count.
        scores: [R, k], cosine similarity (descending), Euclidean or re-ranked distance (ascending); NaN where
            the index is -1.
    """
    if k < 1:
        raise UserError(f"k, the number of crops per query, must be 1 or more; got k = {k}.")
    comparison = Comparison(RankingInputs(query, gallery, protocol, metric, device), reranking)
    wanted = range(len(query)) if rows is None else rows
    places = torch.as_tensor(wanted, dtype=torch.int64, device=comparison.columns.device)
    indices, shown = [], []
    for block in comparison.blocks(places):
        first = _first(block, min(k, len(comparison.columns)))
        scores = block.scores.gather(1, first)
        counts = scores > -torch.inf
        indices.append(torch.where(counts, comparison.columns[first], -1))
        shown.append(torch.where(counts, comparison.source.shown(block.rows, first, scores), torch.nan))
    return torch.cat(indices), torch.cat(shown)


def _first(block: Block, k: int) -> Tensor:
    """Return the columns of the k highest scores, with ties as defined above: int64 [B, k]."""
    right = torch.zeros_like(block.scores, dtype=torch.bool)
    right[block.matches] = True
    last = block.scores.topk(k).values[:, -1]  # only the value: topk does not define the order of ties
    first = block.rows.new_empty(len(block.rows), k)
    for place, (scores, is_right, least) in enumerate(zip(block.scores, right, last, strict=True)):
        columns = (scores >= least).nonzero()[:, 0]  # k, or more if the last is tied; in the gallery's order
        columns = columns[is_right[columns].byte().argsort(stable=True)]
        first[place] = columns[scores[columns].argsort(descending=True, stable=True)][:k]
    return first


def _check(query: Embedded, gallery: Embedded, protocol: Protocol, metric: str) -> None:
    if metric not in get_args(Metric):
        raise UserError(f"Unknown metric '{metric}'. Known: {', '.join(get_args(Metric))}.")
    for side, embedded in (("query", query), ("gallery", gallery)):
        if not len(embedded):
            raise UserError(f"The {side} is empty: there is nothing to rank.")
        if protocol.cross_camera and embedded.cameras is None:
            raise UserError(
                f"The protocol '{protocol.name}' ignores gallery crops of the query's person under its own "
                f"camera, but the {side} has no cameras. Give cameras on both sides, or use a protocol "
                "without them (every-other-image; --no-cross-camera on the command line)."
            )
        if protocol.cross_clothes and embedded.clothes is None:
            raise UserError(
                f"Matches in the query's own clothes cannot be ignored: the {side} has no labels of clothes. "
                "Leave --cross-clothes out."
            )
    lengths = query.features.shape[1], gallery.features.shape[1]
    if lengths[0] != lengths[1] or not lengths[0]:
        raise UserError(
            f"Query and gallery must have equally many numbers per crop, at least 1; got {lengths[0]} and "
            f"{lengths[1]}. Take both from one model."
        )

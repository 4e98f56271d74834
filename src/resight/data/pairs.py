"""A protocol's rule: which gallery crops count for which query, by labels alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resight.data.benchmark import Protocol
from resight.data.crop import JUNK


@dataclass(frozen=True, slots=True)
class CropLabels:
    """Labels of N crops, int64 [N] each: persons; if known, cameras, items (identify crops), clothes."""

    persons: Tensor
    cameras: Tensor | None = None
    items: Tensor | None = None
    clothes: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of B queries with gallery crops; each kind is int64 (row among the B [P], gallery column [P]).

    Attributes:
        itself: the crop is the query: ignored.
        same_camera: another crop of the query's person, taken by the query's own camera (or, if the protocol
            says so, in the query's clothes): ignored.
        matches: right crops that count, row by row.
        of_person: int64 [B], gallery crops of the query's person, whether or not they count.
    """

    itself: tuple[Tensor, Tensor]
    same_camera: tuple[Tensor, Tensor]
    matches: tuple[Tensor, Tensor]
    of_person: Tensor


class ProtocolPairs:
    """Finds the gallery crops that match some queries, and those that are ignored.

    Args:
        protocol: the rule.
        query, gallery: labels; the gallery has no junk.
    """

    def __init__(self, protocol: Protocol, query: CropLabels, gallery: CropLabels) -> None:
        # a junk or distractor query shows no person: it gets a label that no crop here has
        self._persons = torch.where(query.persons > 0, query.persons, JUNK)
        self._by_person = Groups(gallery.persons)
        self._items = None
        self._apart: list[tuple[Tensor, Tensor]] = []  # labels that must differ
        if protocol.cross_camera and query.cameras is not None and gallery.cameras is not None:
            self._apart.append((query.cameras, gallery.cameras))
        if protocol.cross_clothes and query.clothes is not None and gallery.clothes is not None:
            self._apart.append((query.clothes, gallery.clothes))
        if query.items is not None and gallery.items is not None:
            self._items = query.items, gallery.items, Groups(gallery.items)

    def rows_by_matches(self) -> Tensor:
        """Return all queries, those of persons with fewer gallery crops first: int64 [Q]."""
        _, counts = self._by_person.find(self._persons)
        return counts.argsort(stable=True)

    def of(self, rows: Tensor) -> Pairs:
        """Return the pairs of the queries ``rows``, int64 [B]."""
        row, column = self._by_person.pairs(self._persons[rows])
        of_person = row.bincount(minlength=len(rows))
        itself = same_camera = (rows.new_zeros(0), rows.new_zeros(0))
        counts = torch.ones_like(row, dtype=torch.bool)
        if self._items is not None:
            query_items, gallery_items, by_item = self._items
            itself = by_item.pairs(query_items[rows])
            counts &= query_items[rows][row] != gallery_items[column]
        if self._apart:
            equal = [of_query[rows][row] == of_gallery[column] for of_query, of_gallery in self._apart]
            same = counts & torch.stack(equal).any(0)
            same_camera = row[same], column[same]
            counts &= ~same
        return Pairs(itself, same_camera, (row[counts], column[counts]), of_person)


class Groups:
    """Positions of each label among labels [N]."""

    def __init__(self, labels: Tensor) -> None:
        self._labels, self._columns = labels.sort(stable=True)

    def find(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first position of each label among the sorted ones, and its count."""
        start = torch.searchsorted(self._labels, labels)
        return start, torch.searchsorted(self._labels, labels, right=True) - start

    def pairs(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return each (row, column) in which the column has the row's label, row by row."""
        row, place = spread(*self.find(labels))
        return row, self._columns[place]


def spread(starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the entries of several runs, joined.

    Args:
        starts, counts: int64 [R], begin and length of each run.

    Returns:
        owner: int64 [P], the run of each entry.
        index: int64 [P], its position.
    """
    owner = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    skipped = starts - (counts.cumsum(0) - counts)  # each run's start minus the entries before it
    return owner, torch.arange(len(owner), device=counts.device) + skipped[owner]

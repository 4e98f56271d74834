"""Squared Euclidean distances among N items, never all at once: by blocks of rows, and of given pairs."""

import warnings
from typing import Protocol

import torch
from torch import Tensor

from resight.errors import UserError
from resight.evaluation.features import Side


class Distances(Protocol):
    """Squared distances among N items, of which the first are the queries and the rest the gallery.

    Attributes:
        items: N.
        queries: number of queries.
        dtype, device: of results.
        work: multiply-adds of all N x N.
    """

    items: int
    queries: int
    dtype: torch.dtype
    device: torch.device
    work: float

    def onward(self, rows: slice, out: Tensor) -> Tensor:
        """Write squared distances of a range of B rows to themselves and all later items; return them.

        An item is its own nearest: its distance to itself is -inf, or just below the given one.

        Args:
            rows: which rows.
            out: [B, N - rows.start].
        """

    def to_gallery(self, rows: Tensor, out: Tensor) -> Tensor:
        """Write squared distances of queries ``rows`` [B] to the gallery into ``out`` [B, G]; return it."""

    def pairs(self, rows: slice, starts: Tensor, columns: Tensor) -> Tensor:
        """Return the squared distances of a range of rows to some columns of each: [P].

        Args:
            rows: B rows.
            starts: int64 [B + 1], where each row's columns begin in ``columns``, and P.
            columns: int64 [P], ascending within each row.
        """


class FeatureDistances:
    """Distances of features, by |a|^2 + |b|^2 - 2 a.b; that of an item to itself is 0.

    Args:
        query, gallery: their crops are copied once.
    """

    def __init__(self, query: Side, gallery: Side) -> None:
        self.queries, self.items = len(query), len(query) + len(gallery)
        self.dtype, self.device = query.dtype, query.device
        self.work = float(self.items) ** 2 * query.width
        self._features = torch.empty(self.items, query.width, dtype=self.dtype, device=self.device)
        for side, part in ((query, slice(0, len(query))), (gallery, slice(len(query), None))):
            side.take(torch.arange(len(side)), out=self._features[part])
        self._squares = torch.cat(
            [torch.linalg.vecdot(part, part) for part in self._features.split(1024)]
        )  # anew: of the features as they are compared
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PyTorch notes once that sparse tensors are beta
            self._pattern(torch.zeros(2, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))

    def onward(self, rows: slice, out: Tensor) -> Tensor:
        columns = slice(rows.start, None)
        torch.addmm(
            self._squares[columns], self._features[rows], self._features[columns].T, alpha=-2, out=out
        )
        out.add_(self._squares[rows, None]).clamp_(min=0).fill_diagonal_(-torch.inf)
        return out

    def to_gallery(self, rows: Tensor, out: Tensor) -> Tensor:
        gallery = slice(self.queries, None)
        torch.addmm(
            self._squares[gallery], self._features[rows], self._features[gallery].T, alpha=-2, out=out
        )
        return out.add_(self._squares[rows, None]).clamp_(min=0)

    def pairs(self, rows: slice, starts: Tensor, columns: Tensor) -> Tensor:
        owner = torch.arange(rows.start, rows.stop, device=self.device).repeat_interleave(starts.diff())
        # dot products at these positions only, ten times faster than a product of gathered rows
        dots = torch.sparse.sampled_addmm(
            self._pattern(starts, columns), self._features[rows], self._features.T, beta=0.0
        )
        squared: Tensor = self._squares[owner] + self._squares[columns] - 2 * dots.values()
        return squared.clamp_(min=0).masked_fill_(owner == columns, 0)

    def _pattern(self, starts: Tensor, columns: Tensor) -> Tensor:
        """Return a sparse matrix with zeros at these positions."""
        shape, zeros = (len(starts) - 1, self.items), self._squares.new_zeros(len(columns))
        return torch.sparse_csr_tensor(
            starts.to(self.device), columns.to(self.device), zeros, shape, check_invariants=False
        )


class GivenDistances:
    """Given distances.

    Args:
        query_gallery, query_query, gallery_gallery: Euclidean distances, not squared: [Q, G], [Q, Q], [G, G].

    Raises:
        UserError: the shapes do not fit together, or distances are not finite.
    """

    def __init__(self, query_gallery: Tensor, query_query: Tensor, gallery_gallery: Tensor) -> None:
        self.queries, gallery = query_gallery.shape
        shapes = tuple(query_query.shape), tuple(gallery_gallery.shape)
        if shapes != ((self.queries, self.queries), (gallery, gallery)):
            raise UserError(
                f"Distances of {self.queries} queries to {gallery} gallery crops go with [{self.queries}, "
                f"{self.queries}] among the queries and [{gallery}, {gallery}] in the gallery; got "
                f"{list(shapes[0])} and {list(shapes[1])}."
            )
        if not all(part.isfinite().all() for part in (query_gallery, query_query, gallery_gallery)):
            raise UserError("Distances must be finite numbers; some are NaN or infinite.")
        self.items = self.queries + gallery
        self.dtype = torch.promote_types(query_gallery.dtype, torch.float32)
        self.device = query_gallery.device
        self.work = 0.0
        self._queries = query_query, query_gallery
        self._gallery = query_gallery.T, gallery_gallery

    def onward(self, rows: slice, out: Tensor) -> Tensor:
        places = torch.arange(rows.start, rows.stop, device=self.device)
        out.copy_(self._squared(places, out.new_empty(len(places), self.items))[:, rows.start :])
        own = out.diagonal()
        own.copy_(own.nextafter(own.new_tensor(-torch.inf)))
        return out

    def to_gallery(self, rows: Tensor, out: Tensor) -> Tensor:
        return out.copy_(self._queries[1][rows]).square_()

    def pairs(self, rows: slice, starts: Tensor, columns: Tensor) -> Tensor:
        places = torch.arange(rows.start, rows.stop, device=self.device)
        block = torch.empty(len(places), self.items, dtype=self.dtype, device=self.device)
        owner = torch.arange(len(places), device=self.device).repeat_interleave(starts.diff())
        return self._squared(places, block)[owner, columns]

    def _squared(self, rows: Tensor, out: Tensor) -> Tensor:
        of_query = rows < self.queries
        for parts, chosen, shift in (
            (self._queries, of_query, 0),
            (self._gallery, ~of_query, self.queries),
        ):
            out[chosen] = torch.cat([part[rows[chosen] - shift] for part in parts], 1).to(self.dtype)
        return out.square_()

"""Scores of queries against a gallery: products of features, or some columns of other scores."""

from typing import Protocol as Interface

import torch
from torch import Tensor

from resight.evaluation.grouping import repeated_rows


class ScoreSource(Interface):
    """Source of the scores of Q queries against the G columns of a comparison."""

    def write(self, rows: Tensor, out: Tensor) -> None:
        """Write the scores of queries ``rows`` [B], higher is nearer, into ``out`` [B, G]."""

    def shown(self, rows: Tensor, columns: Tensor, scores: Tensor) -> Tensor:
        """Return the values to show for these scores [B, k] of rows [B] and columns [B, k]."""


class Products:
    """Scores by products of features.

    Args:
        query: [Q, D].
        gallery: [G, D].
        squares: the gallery's squared lengths [G] if the metric is Euclidean.
    """

    def __init__(self, query: Tensor, gallery: Tensor, squares: Tensor | None) -> None:
        self._query, self._gallery = query, gallery
        self._offsets = None if squares is None else -squares
        self._repeated, self._first = repeated_rows(gallery)

    def write(self, rows: Tensor, out: Tensor) -> None:
        if self._offsets is None:
            torch.mm(self._query[rows], self._gallery.T, out=out)
        else:
            torch.addmm(self._offsets, self._query[rows], self._gallery.T, alpha=2, out=out)
        if len(self._repeated):  # matrix products round some columns otherwise than others
            out[:, self._repeated] = out[:, self._first]

    def shown(self, rows: Tensor, columns: Tensor, scores: Tensor) -> Tensor:
        """Return cosines or Euclidean distances."""
        if self._offsets is None:
            return scores.clamp(-1, 1)
        query = self._query[rows]  # distances again: scores have lost the digits of small ones
        distances = [torch.linalg.vector_norm(query - self._gallery[column], dim=1) for column in columns.T]
        return torch.stack(distances, 1)


class Columns:
    """Some columns of another source.

    Args:
        source: of scores against C columns.
        columns: int64 [G], the columns to use.
        total: C.
    """

    def __init__(self, source: ScoreSource, columns: Tensor, total: int) -> None:
        self._source, self._columns, self._total = source, columns, total

    def write(self, rows: Tensor, out: Tensor) -> None:
        """Write the scores of queries ``rows`` [B] into ``out`` [B, G]."""
        everything = out.new_empty(len(out), self._total)
        self._source.write(rows, everything)
        torch.index_select(everything, 1, self._columns, out=out)

    def shown(self, rows: Tensor, columns: Tensor, scores: Tensor) -> Tensor:
        """Return the values of the other source."""
        return self._source.shown(rows, self._columns[columns], scores)

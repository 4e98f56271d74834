"""Features prepared for comparison: checked, in one precision, on one device."""

from typing import Literal

import torch
from torch import Tensor

from resight.errors import UserError
from resight.evaluation.embedded import Embedded

Metric = Literal["cosine", "euclidean"]

CHUNK_ENTRIES = 2**21  # numbers converted at a time: the only memory in addition to the result


def working_dtype(query: Embedded, gallery: Embedded) -> torch.dtype:
    """Return the precision to compare in: float64 if either side's features are float64, else float32."""
    wider = torch.promote_types(query.features.dtype, gallery.features.dtype)
    return torch.promote_types(wider, torch.float32)


class Side:
    """Some rows of an ``Embedded``: all are checked at once, and copied only when needed.

    Args:
        embedded: N crops; their features may be memory-mapped.
        rows: int64 [R], the rows to use.
        metric: for comparison.
        dtype, device: of the copies.
        name: ``query`` or ``gallery``, for messages.

    Attributes:
        squares: [R], squared lengths of the features.

    Raises:
        UserError: a row has NaN or infinity, or is so long that products of rows exceed the range of
            ``dtype``; under the cosine also: a row is zero, or too short. The message names the rows.
    """

    def __init__(
        self,
        embedded: Embedded,
        rows: Tensor,
        metric: Metric,
        dtype: torch.dtype,
        device: torch.device,
        name: str,
    ) -> None:
        self.embedded, self.rows = embedded, rows
        self.dtype, self.device = dtype, device
        self._unit = metric == "cosine"
        self.squares = torch.empty(len(rows), dtype=dtype, device=device)
        for chunk in self._chunks(len(rows)):
            part = self._read(rows[chunk])
            self.squares[chunk] = (part * part).sum(1)
        _check_lengths(self.squares, rows, metric, name, len(embedded))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """Numbers per crop."""
        return self.embedded.features.shape[1]

    def take(self, places: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a copy of the features at some positions of ``rows``; under the cosine, scaled to length 1.

        Args:
            places: int64 [P].
            out: [P, D], where to write them.
        """
        features = torch.empty(len(places), self.width, dtype=self.dtype, device=self.device)
        features = features if out is None else out
        for chunk in self._chunks(len(places)):
            part = self._read(self.rows[places[chunk].to(self.rows.device)])
            if self._unit:
                part /= self.squares[places[chunk].to(self.device), None].sqrt()
            features[chunk] = part
        return features

    def _read(self, rows: Tensor) -> Tensor:
        features = self.embedded.features
        return features[rows.to(features.device)].to(self.device, self.dtype)

    def _chunks(self, rows: int) -> list[slice]:
        step = max(1, CHUNK_ENTRIES // self.width)
        return [slice(start, start + step) for start in range(0, rows, step)]


def _check_lengths(squares: Tensor, rows: Tensor, metric: Metric, side: str, total: int) -> None:
    # between these squared lengths, no product of two rows overflows and no relevant square underflows
    smallest, largest = torch.finfo(squares.dtype).tiny ** 0.5, torch.finfo(squares.dtype).max ** 0.5
    finite = squares <= largest  # False for NaN too
    if not finite.all():
        raise UserError(
            f"Features must be finite numbers, and each crop's of a length below {largest**0.5:.0e}. "
            f"In the {side}, {_named(rows, ~finite, total)} NaN, infinite or too long. "
            "Check where these features come from: a broken image, or a training that diverged."
        )
    zero = squares < smallest
    if metric == "cosine" and zero.any():
        raise UserError(
            f"The cosine of a zero feature is undefined. In the {side}, {_named(rows, zero, total)} zero "
            f"(of a length below {smallest**0.5:.0e}). Remove them, or use the Euclidean metric."
        )


def _named(rows: Tensor, bad: Tensor, total: int) -> str:
    """Return ``2 of 10 rows (3, 7) are``: the number, and the first few, counted from 0."""
    numbers = rows[bad.to(rows.device)].tolist()
    shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"{len(numbers):,} of {total:,} rows ({shown}) {'is' if len(numbers) == 1 else 'are'}"

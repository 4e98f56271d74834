"""Features made ready to compare: checked, in one precision, on one device."""

from typing import Literal

import torch
from torch import Tensor

from resight.errors import UserError
from resight.evaluation.embedded import Embedded

Metric = Literal["cosine", "euclidean"]

CHUNK_ENTRIES = 2**21  # numbers converted at a time: all that is held beside the result


def working_dtype(query: Embedded, gallery: Embedded) -> torch.dtype:
    """Return the precision to compare in: float64 where either side's features have it, float32 otherwise."""
    wider = torch.promote_types(query.features.dtype, gallery.features.dtype)
    return torch.promote_types(wider, torch.float32)


def prepare(
    embedded: Embedded, rows: Tensor, metric: Metric, dtype: torch.dtype, device: torch.device, side: str
) -> tuple[Tensor, Tensor]:
    """Return a copy of some rows, for the cosine scaled to length 1, and the squared lengths that they had.

    Args:
        embedded: N crops.
        rows: int64 [R].
        metric: what they are compared by.
        dtype, device: of what is returned.
        side: ``query`` or ``gallery``, for messages.

    Returns:
        features [R, D] and squared lengths [R].

    Raises:
        UserError: a row holds NaN or infinity, or is so long that products of rows leave the range of
            ``dtype``; for the cosine also: a row is zero, or too short to be told from zero. The message
            names the rows.
    """
    features = torch.empty(len(rows), embedded.features.shape[1], dtype=dtype, device=device)
    squares = torch.empty(len(rows), dtype=dtype, device=device)
    step = max(1, CHUNK_ENTRIES // embedded.features.shape[1])
    for start in range(0, len(rows), step):
        chunk = slice(start, start + step)
        part = embedded.features[rows[chunk].to(embedded.features.device)].to(device, dtype)
        squares[chunk] = (part * part).sum(1)
        if metric == "cosine":
            part /= squares[chunk, None].sqrt()
        features[chunk] = part
    _check_lengths(squares, rows, metric, side, len(embedded))
    return features, squares


def _check_lengths(squares: Tensor, rows: Tensor, metric: Metric, side: str, total: int) -> None:
    # between these squared lengths no product of two rows overflows, and no square that matters vanishes
    smallest, largest = torch.finfo(squares.dtype).tiny ** 0.5, torch.finfo(squares.dtype).max ** 0.5
    finite = squares <= largest  # False for NaN too
    if not finite.all():
        raise UserError(
            f"Features must be finite numbers, and each crop's of a length below {largest**0.5:.0e}. "
            f"In the {side}, {_named(rows, ~finite, total)} NaN, infinite or too long. "
            "Look at what made these features: a broken image, or a training that diverged."
        )
    zero = squares < smallest
    if metric == "cosine" and zero.any():
        raise UserError(
            f"The cosine of a zero feature is undefined. In the {side}, {_named(rows, zero, total)} zero "
            f"(of a length below {smallest**0.5:.0e}). Remove them, or use the Euclidean metric."
        )


def _named(rows: Tensor, bad: Tensor, total: int) -> str:
    """Return ``2 of 10 rows (3, 7) are``: how many, and the first few counted from 0."""
    numbers = rows[bad.to(rows.device)].tolist()
    shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"{len(numbers):,} of {total:,} rows ({shown}) {'is' if len(numbers) == 1 else 'are'}"

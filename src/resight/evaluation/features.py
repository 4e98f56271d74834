"""Features made ready to compare: checked, in one precision, on one device."""

from typing import Literal, get_args

import torch
from torch import Tensor

from resight.errors import UserError
from resight.evaluation.embedded import Embedded

Metric = Literal["cosine", "euclidean"]
METRICS = get_args(Metric)

CHUNK_ENTRIES = 2**22  # features converted at a time: all that is held beside the result


def working_dtype(query: Embedded, gallery: Embedded) -> torch.dtype:
    """Return the precision to compare in: float64 where the features of either side have it, float32 otherwise."""
    wider = torch.promote_types(query.features.dtype, gallery.features.dtype)
    return torch.promote_types(wider, torch.float32)


def prepare(
    embedded: Embedded, rows: Tensor, metric: Metric, dtype: torch.dtype, device: torch.device, side: str
) -> tuple[Tensor, Tensor]:
    """Return a copy of some rows, scaled to length 1 for the cosine, and the squared lengths that they had.

    Args:
        rows: int64 [R], on the device of the features.
        side: ``query`` or ``gallery``, for messages.

    Returns:
        features [R, D] and squared lengths [R], both of ``dtype`` on ``device``.

    Raises:
        UserError: a row holds NaN or infinity, or is so long that its products leave the range of ``dtype``; for the
            cosine also: a row is zero, or too short to be told from zero. The message names the rows.
    """
    features = torch.empty(len(rows), embedded.features.shape[1], dtype=dtype, device=device)
    squares = torch.empty(len(rows), dtype=dtype, device=device)
    step = max(1, CHUNK_ENTRIES // max(1, features.shape[1]))
    for start in range(0, len(rows), step):
        part = embedded.features[rows[start : start + step]].to(device, dtype)
        square = squares[start : start + step]
        torch.sum(part * part, 1, out=square)
        if metric == "cosine":
            part /= square.sqrt()[:, None]
        features[start : start + step] = part
    _check_lengths(squares, rows, metric, side, len(embedded))
    return features, squares


def _check_lengths(squares: Tensor, rows: Tensor, metric: Metric, side: str, total: int) -> None:
    longest = torch.finfo(squares.dtype).max ** 0.5  # of a squared length: products of two rows stay finite
    shortest = torch.finfo(squares.dtype).tiny ** 0.5  # and no square that matters is rounded to zero
    finite = squares <= longest  # False for NaN
    if not finite.all():
        raise UserError(
            f"Features must be finite numbers, of a length below {longest**0.5:.1g}. In the {side}, "
            f"{_named(rows, ~finite, total)} NaN, infinite or too large. "
            "Look at what made these features: a broken image, or a training that diverged."
        )
    zero = squares < shortest
    if metric == "cosine" and zero.any():
        raise UserError(
            f"The cosine needs features that are not zero. In the {side}, {_named(rows, zero, total)} zero "
            f"(length below {shortest**0.5:.1g}). Remove them, or use the Euclidean metric."
        )


def _named(rows: Tensor, bad: Tensor, total: int) -> str:
    """Return ``2 of 10 rows (3, 7) are``; the first few numbers where there are many."""
    numbers = rows[bad.to(rows.device)].tolist()
    shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"{len(numbers)} of {total} rows ({shown}) {'is' if len(numbers) == 1 else 'are'}"

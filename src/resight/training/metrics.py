"""The log of a run: ``metrics.jsonl``, and TensorBoard if it is installed."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from resight.errors import UserError
from resight.files import whole_file

LOG = "metrics.jsonl"
"""Name of the log in a run's folder."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the log's lines in order, without a last line that was cut off by a kill."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


class MetricsLog:
    """Appends lines: JSON objects with ``kind`` and ``step``.

    Args:
        folder: of the run.
        step: steps done; later lines of an earlier session are dropped, so that no step is logged twice.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / LOG
        self.lines = []
        if self.path.exists():
            self.lines = [line for line in read_metrics(self.path) if line["step"] <= step]
        with whole_file(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in self.lines), encoding="utf-8")
        self._stream = self.path.open("ab", buffering=0)  # no unwritten data are left if the disk is full
        self._board: Any = None
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(folder / "tensorboard", purge_step=step + 1 if step else None)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        if self._board is not None:
            self._board.close()

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append a line.

        Raises:
            UserError: it cannot be written, as on a full disk.
        """
        line = {"kind": kind, "step": step, **values}
        self.lines.append(line)
        try:
            self._stream.write(f"{json.dumps(line)}\n".encode())
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path}: {error.strerror}. Free some space, then resume."
            ) from error
        if self._board is not None:
            for name, value in _scalars(values):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def has(self, kind: str, step: int) -> bool:
        """Return whether there is a line of this kind for this step."""
        return any(line["kind"] == kind and line["step"] == step for line in reversed(self.lines))


def _scalars(values: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Return the numbers in nested dictionaries, by path."""
    found: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found.append((prefix + name, value))
    return found

"""The audit log: a line of JSON for each search, addition, mark, export and deletion."""

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from resight.errors import UserError

START = "0" * 64


class Audit:
    """An append-only log.

    Every line has the SHA-256 of the previous line (``previous``), so a changed or removed line breaks the
    hash chain, which is checked on opening. A line is on the disk before its action begins; if it cannot be
    written, the action is refused.

    Attributes:
        broken: number of the first line with a wrong hash, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise UserError(
                f"The audit log {path} cannot be written: {error.strerror}. Choose another --audit-log."
            ) from error
        self.broken, self._last = self._check()

    def write(self, who: Mapping[str, str], what: str, **details: Any) -> None:
        """Add a line.

        Args:
            who: name, role and address of the caller.
            what: action: search, add, mark, forget, ...
            details: of the action, as plain data.

        Raises:
            UserError: the disk is full.
        """
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **who, "what": what, **details}
        with self._lock:
            line = json.dumps(entry | {"previous": self._last}, ensure_ascii=False).encode() + b"\n"
            before = os.fstat(self._file).st_size
            try:
                if os.write(self._file, line) != len(line):
                    raise OSError(28, "No space left on device")
                os.fsync(self._file)
            except OSError as error:
                os.ftruncate(self._file, before)
                raise UserError(
                    f"The audit log {self.path} cannot be written ({error.strerror}), so the action "
                    "was not done. Free some space."
                ) from error
            self._last = hashlib.sha256(line).hexdigest()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _check(self) -> tuple[int | None, str]:
        """Return the number of the first line with a wrong hash, and the hash of the last line."""
        previous, broken, number = START, None, 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    fits = json.loads(line)["previous"] == previous and line.endswith(b"\n")
                except (ValueError, KeyError, TypeError):
                    fits = False
                if not fits and broken is None:
                    broken = number
                previous = hashlib.sha256(line).hexdigest()
        if number and not line.endswith(b"\n"):  # killed while writing, before the action
            os.write(self._file, b"\n")
            previous = hashlib.sha256(line + b"\n").hexdigest()
        return broken, previous

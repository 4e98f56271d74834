"""A store in a process of its own, which writes while this one decodes pictures.

The engine holds the interpreter while it writes, and so does this process while numbers and fields become the
engine's: one core would wait.
"""

import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from resight.errors import UserError
from resight.gallery.crops import Filter
from resight.gallery.stores.store import Part, Record, Store
from resight.inference.embedder import Vectors


class StoreBeside:
    """A store in a folder, kept by a process that ends with this one; see ``Store``.

    When this process is killed, the other finishes what it was told, and lets go of the gallery then.

    Args:
        folder: of the store.
        lock: file descriptor of the gallery's lock, which the other process holds, too.
    """

    elsewhere = True

    def __init__(self, folder: Path, lock: int) -> None:
        here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(there.fileno()), str(folder.absolute())],
                pass_fds=(there.fileno(), lock),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this process alone
            )
        self._gallery = folder.parent
        self._wire = Connection(here.detach())
        self._turn, self._asked = Lock(), 0
        try:
            self._answer()
        except BaseException:
            self._wire.close()
            self._process.wait()
            raise

    def put(self, records: Sequence[Record]) -> None:
        """Add or replace records; when it returns, they are in the engine's log."""
        if records:
            # in columns: one array for all vectors is handed over in half the time
            self._ask(
                "put",
                [record.id for record in records],
                [record.payload for record in records],
                np.stack([record.vector for record in records]),  # type: ignore[misc]
                [record.picture for record in records],
            )

    def get(self, ids: Sequence[str], *parts: Part) -> dict[str, Record]:
        """Return those records that are there."""
        found: dict[str, Record] = self._ask("get", ids, *parts)
        return found

    def search(
        self, vectors: Vectors, where: Filter, limit: int, *parts: Part, exact: bool = True
    ) -> list[list[Record]]:
        """Return the nearest records of each vector."""
        found: list[list[Record]] = self._ask("search", vectors, where, limit, *parts, exact=exact)
        return found

    def scan(self, where: Filter, *parts: Part, batch: int = 256) -> Iterator[list[Record]]:
        """Yield all records that fit, by id."""
        after: str | None = None
        while True:
            records, after = self.page(where, batch, after)
            if parts:
                there = self.get([record.id for record in records], *parts)
                records = [there[record.id] for record in records if record.id in there]
            if records:
                yield records
            if after is None:
                return

    def page(self, where: Filter, limit: int, after: str | None = None) -> tuple[list[Record], str | None]:
        """Return a page of records by id."""
        found: tuple[list[Record], str | None] = self._ask("page", where, limit, after)
        return found

    def ends(self, where: Filter, field: str) -> tuple[float, float] | None:
        """Return the lowest and highest value of a number."""
        found: tuple[float, float] | None = self._ask("ends", where, field)
        return found

    def count(self, where: Filter) -> int:
        """Return how many records fit."""
        found: int = self._ask("count", where)
        return found

    def values(self, field: str, where: Filter) -> dict[str, int]:
        """Return how many records have each value of a word."""
        found: dict[str, int] = self._ask("values", field, where)
        return found

    def change(self, ids: Sequence[str], fields: Mapping[str, Any]) -> None:
        """Set or remove fields of some records."""
        self._ask("change", ids, fields)

    def delete(self, where: Filter) -> None:
        """Delete the records that fit."""
        self._ask("delete", where)

    def flush(self) -> None:
        """Write everything to the disk."""
        self._ask("flush")

    def compact(self) -> None:
        """Merge segments, build graphs, give room back."""
        self._ask("compact")

    def facts(self) -> dict[str, int]:
        """Return the records under a graph, and segments."""
        found: dict[str, int] = self._ask("facts")
        return found

    def close(self) -> None:
        """Let the other process write what is left, and wait for its end."""
        if self._wire.closed:
            return
        try:
            if self._process.poll() is None:
                self._ask("close")
        finally:
            self._wire.close()
            self._process.wait()

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        with self._turn:
            self._asked += 1
            try:
                self._wire.send((self._asked, method, arguments, options))
            except OSError as error:
                raise self._died() from error
            return self._answer()

    def _answer(self) -> Any:
        """Wait for the answer to what was asked last; whoever asked before was interrupted."""
        answered = -1
        while answered != self._asked:
            try:
                answered, answer, error = self._wire.recv()
            except (EOFError, OSError) as died:
                raise self._died() from died
        if error is not None:
            raise error
        return answer

    def _died(self) -> UserError:
        return UserError(
            f"The process that kept the gallery {self._gallery} has died (exit status "
            f"{self._process.wait()}); perhaps memory or the disk ran out. What was added before is "
            "unharmed: run the command again."
        )


def keep(wire: Connection, folder: Path) -> None:
    """Open a store and do what is asked of it, until it is closed or nobody is left to ask."""
    from resight.gallery.stores.edge_by_camera import open_edge

    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever asks decides when it is over
    store: Store | None = None

    def begin() -> None:
        nonlocal store
        store = open_edge(folder)

    _do(wire, 0, begin)
    while store is not None:
        try:
            asked, method, arguments, options = wire.recv()
        except (EOFError, OSError):
            asked, method, arguments, options = 0, "close", (), {}
        if method == "put":
            arguments = ([Record(*columns) for columns in zip(*arguments, strict=True)],)
        _do(wire, asked, lambda: getattr(store, method)(*arguments, **options))  # noqa: B023 (done at once)
        if method == "close":
            store = None


def _do(wire: Connection, asked: int, work: Callable[[], Any]) -> None:
    """Do what was asked, and say what came of it, or why nothing did."""
    answer: Any = None
    error: Exception | None = None
    try:
        answer = work()
    except UserError as mistake:
        error = mistake
    except Exception as failure:
        error = RuntimeError("".join(traceback.format_exception(failure)))
    with suppress(OSError):  # nobody is left to hear it
        wire.send((asked, answer, error))


if __name__ == "__main__":
    keep(Connection(int(sys.argv[1])), Path(sys.argv[2]))

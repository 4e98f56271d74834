"""The pictures of a gallery in a folder: JPEG files by the ids of their crops, in one SQLite database.

The engine would keep each twice, as text: in its log and in a segment.
"""

import os
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock

from resight.errors import UserError

FILE = "pictures.sqlite"

SETTINGS = (
    "auto_vacuum = FULL",  # the room of what is deleted is given back at once
    "secure_delete = ON",  # and what is left of it in other pages is overwritten
    "journal_mode = DELETE",  # no copy of a page outlives its transaction, as it would in a write-ahead log
    "synchronous = EXTRA",  # a transaction that has returned survives a power failure
    "temp_store = MEMORY",
)


class PictureStore:
    """Pictures by id; may be used by several threads.

    After ``put`` pictures survive a power failure, after ``delete`` no file holds a byte of them.

    Args:
        folder: of the database, which is made if it is not there.

    Raises:
        UserError: it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._lock = folder / FILE, Lock()
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        self._database = sqlite3.connect(self._path, check_same_thread=False)
        try:
            for setting in SETTINGS:
                self._database.execute(f"PRAGMA {setting}")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS pictures (id BLOB PRIMARY KEY, jpeg BLOB NOT NULL)"
            )
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise UserError(
                f"The gallery {folder} is damaged: its file {FILE} cannot be read ({error}). "
                "Restore it from a copy."
            ) from error

    def __len__(self) -> int:
        return int(self._query("SELECT count(*) FROM pictures")[0][0])

    def get(self, identity: str) -> bytes | None:
        """Return a picture, or None where there is none."""
        rows = self._query("SELECT jpeg FROM pictures WHERE id = ?", (_key(identity),))
        return rows[0][0] if rows else None

    def put(self, pictures: Mapping[str, bytes]) -> None:
        """Add pictures, or replace those of the same ids; all of them or none.

        Raises:
            UserError: they cannot be written, as on a full disk.
        """
        if pictures:
            self._change(
                "INSERT INTO pictures VALUES (?, ?) ON CONFLICT DO UPDATE SET jpeg = excluded.jpeg "
                "WHERE jpeg <> excluded.jpeg",
                ((_key(identity), jpeg) for identity, jpeg in pictures.items()),
            )

    def delete(self, ids: Iterable[str]) -> None:
        """Erase pictures; all of them or none.

        Raises:
            UserError: the file cannot be written.
        """
        self._change("DELETE FROM pictures WHERE id = ?", ((_key(identity),) for identity in ids))

    def delete_others(self, ids: Iterable[str]) -> None:
        """Erase all pictures but these."""
        known = set(map(_key, ids))
        there = self._query("SELECT id FROM pictures")
        self._change("DELETE FROM pictures WHERE id = ?", (row for row in there if row[0] not in known))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def _query(self, statement: str, values: tuple[bytes, ...] = ()) -> list[tuple[bytes, ...]]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    def _change(self, statement: str, rows: Iterable[tuple[bytes, ...]]) -> None:
        try:
            with self._lock, self._database:
                self._database.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            raise UserError(
                f"{self._path} cannot be written: {error}. What was added before is unharmed. Free some "
                "space, then run the command again."
            ) from error


def _key(identity: str) -> bytes:
    return uuid.UUID(identity).bytes

"""The pictures of a gallery in a folder: JPEG files by crop id, in one SQLite database.

The engine would store each picture twice, as text: in its log and in a segment. The database also has the
HMACs of the ids of deleted crops (``gallery.erased``), and their key.
"""

import os
import secrets
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock

from resight.errors import UserError

FILE = "pictures.sqlite"

SETTINGS = (
    "auto_vacuum = FULL",  # free the space of deleted pictures at once
    "secure_delete = ON",  # overwrite deleted content
    "journal_mode = DELETE",  # unlike a write-ahead log, keep no copies of pages after a transaction
    "synchronous = EXTRA",  # committed transactions survive a power failure
    "temp_store = MEMORY",
)

TABLES = (
    "pictures (id BLOB PRIMARY KEY, jpeg BLOB NOT NULL)",
    "erased (hmac BLOB PRIMARY KEY) WITHOUT ROWID",
    "erasure_key (row INTEGER PRIMARY KEY CHECK (row = 1), key BLOB NOT NULL)",
)


class PictureStore:
    """Pictures by id; may be used by several threads.

    After ``put``, pictures survive a power failure. After ``delete``, no file contains a byte of them.

    Args:
        folder: of the database, which is created if it does not exist.

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
            for table in TABLES:
                self._database.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise self._damaged(error) from error

    def __len__(self) -> int:
        return int(self._query("SELECT count(*) FROM pictures")[0][0])

    def get(self, identity: str) -> bytes | None:
        """Return a picture, or None if there is none."""
        rows = self._query("SELECT jpeg FROM pictures WHERE id = ?", (_key(identity),))
        return rows[0][0] if rows else None

    def put(self, pictures: Mapping[str, bytes]) -> None:
        """Add pictures, or replace those with the same ids, in one transaction.

        Raises:
            UserError: they cannot be written, for example because the disk is full.
        """
        if pictures:
            self._change(
                "INSERT INTO pictures VALUES (?, ?) ON CONFLICT DO UPDATE SET jpeg = excluded.jpeg "
                "WHERE jpeg <> excluded.jpeg",
                ((_key(identity), jpeg) for identity, jpeg in pictures.items()),
            )

    def delete(self, ids: Iterable[str]) -> None:
        """Erase pictures in one transaction.

        Raises:
            UserError: the file cannot be written.
        """
        self._change("DELETE FROM pictures WHERE id = ?", ((_key(identity),) for identity in ids))

    def delete_others(self, ids: Iterable[str]) -> None:
        """Erase all pictures except these."""
        known = set(map(_key, ids))
        there = self._query("SELECT id FROM pictures")
        self._change("DELETE FROM pictures WHERE id = ?", (row for row in there if row[0] not in known))

    def erasure_key(self) -> bytes:
        """Return the key for ids of deleted crops; make it if there is none."""
        self._change("INSERT OR IGNORE INTO erasure_key VALUES (1, ?)", [(secrets.token_bytes(32),)])
        return self._query("SELECT key FROM erasure_key")[0][0]

    def add_erased(self, hmacs: Sequence[bytes]) -> None:
        """Keep HMACs of ids of deleted crops, in one transaction."""
        self._change("INSERT OR IGNORE INTO erased VALUES (?)", ((one,) for one in hmacs))

    def read_erased(self, hmacs: Sequence[bytes]) -> set[bytes]:
        """Return those of the given HMACs that are kept."""
        if not self._query("SELECT 1 FROM erased LIMIT 1"):
            return set()
        return {one for one in hmacs if self._query("SELECT 1 FROM erased WHERE hmac = ?", (one,))}

    def remove_erased(self, hmacs: Sequence[bytes]) -> None:
        """Delete HMACs, in one transaction."""
        self._change("DELETE FROM erased WHERE hmac = ?", ((one,) for one in hmacs))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def _query(self, statement: str, values: tuple[bytes, ...] = ()) -> list[tuple[bytes, ...]]:
        try:
            with self._lock:
                return self._database.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            raise UserError(f"{self._path} cannot be read: {error}. Run the command again.") from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _change(self, statement: str, rows: Iterable[tuple[bytes, ...]]) -> None:
        try:
            with self._lock, self._database:
                self._database.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            raise UserError(
                f"{self._path} cannot be written: {error}. What was added before is unharmed. Free some "
                "space, then run the command again."
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: sqlite3.DatabaseError) -> UserError:
        if isinstance(error, sqlite3.ProgrammingError):  # such as a store that is closed
            raise error
        return UserError(
            f"The gallery {self._path.parent} is damaged: its file {FILE} cannot be read ({error}). "
            "Restore it from a copy."
        )


def _key(identity: str) -> bytes:
    return uuid.UUID(identity).bytes

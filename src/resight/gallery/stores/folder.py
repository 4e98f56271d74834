"""A gallery in a folder: ``gallery.json``, a lock, and one sub-folder a store."""

import fcntl
import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

from resight.errors import UserError
from resight.files import whole_file
from resight.gallery.stores.beside import StoreBeside
from resight.gallery.stores.edge_by_camera import make_edge, open_edge
from resight.gallery.stores.store import OUTLINED_NUMBERS, Layout, Store

METADATA = "gallery.json"
LOCK = "lock"
STORE, UNFINISHED = "crops-", ".unfinished"

FINISHING = 30.0
"""Seconds to wait for the process that keeps crops beside one that was killed: it writes what it has, and
ends."""


class FolderBackend:
    """A folder that this process alone may use until it is closed; see ``StorageBackend``.

    Args:
        path: of the folder.
        create: make it if it is not there.
        beside: keep its stores in processes of their own; see ``StoreBeside``.

    Raises:
        UserError: another process uses it, it holds other things, or it cannot be written.
    """

    def __init__(self, path: Path, create: bool = False, beside: bool = False) -> None:
        self.path, self.place = path, str(path)
        self._beside = beside
        if path.is_file():
            raise UserError(f"{path} is a file. A gallery is a folder.")
        if not (path / METADATA).exists():
            if not create:
                raise UserError(
                    f"There is no gallery in {path} (no {METADATA}). Make one: resight gallery add CROPS "
                    f"--gallery {path} --model RUN"
                )
            foreign = [child.name for child in path.iterdir()] if path.is_dir() else []
            if set(foreign) - {LOCK} and not any(name.startswith(STORE) for name in foreign):
                raise UserError(
                    f"{path} is no gallery, and holds other things ({', '.join(sorted(foreign)[:3])}). "
                    "Name a new folder for the gallery."
                )
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)  # it will hold pictures of people
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UserError(
                f"The gallery {path} cannot be written: {error.strerror}. Give it a folder of your own."
            ) from error
        self._take_lock()

    def read(self) -> str | None:
        """Return the contents of ``gallery.json``."""
        file = self.path / METADATA
        return file.read_text(encoding="utf-8") if file.exists() else None

    def write(self, metadata: str) -> None:
        """Write ``gallery.json``."""
        with whole_file(self.path / METADATA) as temporary:
            temporary.write_text(metadata + "\n", encoding="utf-8")

    def resolve_defaults(self, layout: Layout) -> Layout:
        """Return a layout whose graph begins where comparing by outlines gets slow."""
        if layout.storage != "float32" or layout.graph_from is not None:
            return layout
        return replace(layout, graph_from=OUTLINED_NUMBERS // layout.width)

    def make_store(self, name: str, layout: Layout) -> Store:
        """Make a sub-folder."""
        making = self.path / f"{name}{UNFINISHED}"
        for left in (making, self.path / name):
            shutil.rmtree(left, ignore_errors=True)
        make_edge(making, self.resolve_defaults(layout)).close()
        making.rename(self.path / name)
        return self.open_store(name)

    def open_store(self, name: str) -> Store:
        """Open a sub-folder."""
        if not (self.path / name).is_dir():
            raise UserError(
                f"The gallery {self.path} is damaged: its folder {name} is missing. Restore it from a copy."
            )
        if self._beside:
            return StoreBeside(self.path / name, self._lock)
        return open_edge(self.path / name)

    def stores(self) -> set[str]:
        """Return the names of the sub-folders that are stores."""
        return {path.name for path in self.path.glob(f"{STORE}*") if path.suffix != UNFINISHED}

    def drop_store(self, name: str) -> None:
        """Delete a sub-folder."""
        shutil.rmtree(self.path / name, ignore_errors=True)

    def size(self) -> int:
        """Return the bytes on the disk."""
        return sum(path.stat().st_blocks * 512 for path in self.path.rglob("*"))

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._lock)

    def _take_lock(self) -> None:
        until = time.monotonic() + FINISHING
        while not _taken(self._lock):
            holder, lives = _holder(self._lock)
            if lives or time.monotonic() > until:
                os.close(self._lock)
                raise UserError(
                    f"The gallery {self.path} is in use by {holder}. One process at a time can use it: wait "
                    "until that one has finished, search on its page if it is 'resight serve', or keep the "
                    "gallery in a Qdrant cluster."
                )
            time.sleep(0.02)
        told = {"pid": os.getpid(), "command": " ".join(sys.argv)[:200], "since": time.strftime("%H:%M:%S")}
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, json.dumps(told).encode(), 0)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> tuple[str, bool]:
    """Describe the process that took the lock, in words, and tell whether it lives."""
    try:
        told = json.loads(os.pread(lock, 4096, 0))
        words = f"process {told['pid']} ({told['command']}) since {told['since']}"
        os.kill(told["pid"], 0)
    except ProcessLookupError:
        return words, False
    except (ValueError, KeyError):
        return "another process", True
    except PermissionError:  # it is another user's
        pass
    return words, True

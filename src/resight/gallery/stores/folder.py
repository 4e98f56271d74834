"""A gallery in a folder: ``gallery.json``, a lock file, the pictures, and a sub-folder for each store."""

import fcntl
import os
import shutil
from pathlib import Path

from resight.errors import UserError
from resight.files import whole_file
from resight.gallery.stores.edge import EdgeStore, check_free_space
from resight.gallery.stores.edge_requests import SCANNED_NUMBERS
from resight.gallery.stores.opening import METADATA
from resight.gallery.stores.picture_store import FILE as PICTURES
from resight.gallery.stores.picture_store import PictureStore
from resight.gallery.stores.store import ErasureStore, Layout, Store

LOCK = "lock"
STORE, UNFINISHED = "crops-", ".unfinished"


class FolderBackend:
    """A folder locked by this process until it is closed; see ``StorageBackend``.

    The lock is taken before the first call of the engine: an engine that opens a folder in use deletes files
    of the other process before it notices.

    Args:
        path: of the folder.
        create: create the folder if it does not exist.

    Raises:
        UserError: another process is using it, it contains other files, or it is not writable.
    """

    scanned_numbers = SCANNED_NUMBERS
    keeps_traces, shared = True, False

    def __init__(self, path: Path, create: bool = False) -> None:
        self.path, self.place = path, str(path)
        if path.is_file():
            raise UserError(f"{path} is a file. A gallery is a folder.")
        if not (path / METADATA).exists():
            if not create:
                raise UserError(
                    f"There is no gallery in {path} (no {METADATA}). Create one: resight gallery add CROPS "
                    f"--gallery {path}; or resight ingest"
                )
            foreign = [child.name for child in path.iterdir()] if path.is_dir() else []
            unknown = [name for name in foreign if name != LOCK and not name.startswith(PICTURES)]
            if unknown and not any(name.startswith(STORE) for name in unknown):
                raise UserError(
                    f"{path} is not a gallery, and has other files in it ({', '.join(sorted(unknown)[:3])}). "
                    "Name a new folder for the gallery."
                )
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)  # it will hold pictures of people
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UserError(
                f"The gallery {path} cannot be written: {error.strerror}. Name a writable folder."
            ) from error
        self._take_lock()
        self._pictures: PictureStore | None = None

    def read(self) -> str | None:
        """Return the contents of ``gallery.json``."""
        file = self.path / METADATA
        return file.read_text(encoding="utf-8") if file.exists() else None

    def write(self, metadata: str) -> None:
        """Write ``gallery.json``."""
        self._write(self.path / METADATA, f"{metadata}\n".encode())

    def read_means(self, store: str) -> bytes | None:
        """Return the contents of the store's file of means."""
        file = self._means(store)
        return file.read_bytes() if file.exists() else None

    def write_means(self, store: str, contents: bytes) -> None:
        """Write the store's file of means."""
        self._write(self._means(store), contents)

    def erasures(self) -> ErasureStore:
        """Return the file of the pictures, which also has the HMACs."""
        return self._picture_store()

    def make_store(self, name: str, layout: Layout) -> Store:
        """Create a store in a sub-folder."""
        making = self.path / f"{name}{UNFINISHED}"
        self._means(name).unlink(missing_ok=True)
        for left in (making, self.path / name):
            shutil.rmtree(left, ignore_errors=True)
        try:
            EdgeStore(making, layout, self._picture_store()).close()
            making.rename(self.path / name)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        return self.open_store(name)

    def open_store(self, name: str) -> Store:
        """Open the store in a sub-folder."""
        if not (self.path / name).is_dir():
            raise UserError(
                f"The gallery {self.path} is damaged: its folder {name} is missing. Restore it from a copy."
            )
        return EdgeStore(self.path / name, pictures=self._picture_store())

    def stores(self) -> set[str]:
        """Return the names of the stores."""
        return {path.name for path in self.path.glob(f"{STORE}*") if path.suffix != UNFINISHED}

    def drop_store(self, name: str) -> None:
        """Delete a store's file of means, then its sub-folder."""
        self._means(name).unlink(missing_ok=True)
        shutil.rmtree(self.path / name, ignore_errors=True)

    def check_free_space(self) -> None:
        """Require free space of twice the stores' size: for a copy, and for merging its segments."""
        check_free_space(self.path, 2 * sum(_size(self.path / name) for name in self.stores()))

    def size(self) -> int:
        """Return the size on disk in bytes."""
        return _size(self.path)

    def close(self) -> None:
        """Close the picture store and release the lock."""
        if self._pictures is not None:
            self._pictures.close()
        os.close(self._lock)

    def _means(self, store: str) -> Path:
        return self.path / f"means-{store}.npz"

    def _write(self, file: Path, contents: bytes) -> None:
        with whole_file(file) as temporary:
            temporary.write_bytes(contents)
        folder = os.open(self.path, os.O_RDONLY)
        os.fsync(folder)  # before stores that it no longer names are deleted
        os.close(folder)

    def _picture_store(self) -> PictureStore:
        if self._pictures is None:
            self._pictures = PictureStore(self.path)
        return self._pictures

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _process(os.pread(self._lock, 64, 0).decode())
            os.close(self._lock)
            raise UserError(
                f"The gallery {self.path} is in use by {holder}. One process at a time can use it: wait "
                "until it has finished, search on its page if it is 'resight serve', or keep the gallery "
                "on a Qdrant cluster."
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)


def _size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def _process(number: str) -> str:
    """Describe a process by its number and, if the system knows it, its command.

    The lock file contains only the number, because commands may name persons and files.
    """
    try:
        command = (
            Path(f"/proc/{int(number)}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except (ValueError, OSError):
        command = ""
    return f"process {number or 'unknown'}" + (f" ({command.strip()[:200]})" if command else "")

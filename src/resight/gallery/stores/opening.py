"""Opening the storage backend of a gallery."""

from pathlib import Path

from resight.errors import UserError
from resight.files import short_digest, state_folder
from resight.gallery.stores.store import StorageBackend

METADATA = "gallery.json"
"""File that makes a folder a gallery."""


def is_address(place: Path | str) -> bool:
    """Return whether a place is the address of a cluster, not a folder."""
    return isinstance(place, str) and place.startswith(("http://", "https://"))


def companion_folder(place: Path | str) -> Path:
    """Return the folder for other files of services and ingestions: the gallery's folder, or a folder in the
    user's state directory if the gallery is on a cluster."""
    if is_address(place):
        return state_folder() / short_digest(str(place).rstrip("/").encode())
    return Path(place).expanduser()


def gallery_exists(place: Path | str) -> bool:
    """Return whether there is a gallery in a folder or on a cluster.

    Raises:
        UserError: the cluster does not answer.
    """
    if not is_address(place):
        return (Path(place).expanduser() / METADATA).is_file()
    backend = open_backend(place, create=False)
    try:
        return backend.read() is not None
    finally:
        backend.close()


def open_backend(place: Path | str, create: bool) -> StorageBackend:
    """Open the storage backend of a folder or address.

    Raises:
        UserError: a package is not installed, there is no gallery, or another process is using it.
    """
    if is_address(place):
        try:
            from resight.gallery.stores.cluster import connect
        except ModuleNotFoundError as error:
            raise UserError(
                "A gallery on a Qdrant cluster needs its client. Install it: pip install 'resight[cluster]'"
            ) from error
        return connect(str(place))
    try:
        from resight.gallery.stores.folder import FolderBackend
    except ModuleNotFoundError as error:
        raise UserError(
            "A gallery in a folder needs Qdrant Edge. Install it, if it supports your system: "
            "pip install qdrant-edge-py==0.9.0"
        ) from error
    return FolderBackend(Path(place).expanduser(), create)

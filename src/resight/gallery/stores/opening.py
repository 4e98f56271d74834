"""Finding the storage backend of the place that a user names."""

from pathlib import Path

from resight.errors import UserError
from resight.files import short_digest, state_folder
from resight.gallery.stores.store import StorageBackend


def is_address(place: Path | str) -> bool:
    """Tell whether a place is a cluster's address rather than a folder."""
    return isinstance(place, str) and place.startswith(("http://", "https://"))


def companion_folder(place: Path | str) -> Path:
    """Return the folder for what services and ingestions keep beside a gallery's crops: the gallery's own, or
    one of the user's state if the gallery is on a cluster."""
    if is_address(place):
        return state_folder() / short_digest(str(place).rstrip("/").encode())
    return Path(place).expanduser()


def open_backend(place: Path | str, create: bool) -> StorageBackend:
    """Return the folder or the part of a cluster that a user names.

    Raises:
        UserError: what it takes is not installed, there is no gallery, or another process uses it.
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
            "A gallery in a folder needs Qdrant Edge. Install it, where your system has it: "
            "pip install qdrant-edge-py==0.9.0"
        ) from error
    return FolderBackend(Path(place).expanduser(), create)

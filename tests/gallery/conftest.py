"""Places for galleries: folders, a cluster in this process, and the one at ``RESIGHT_QDRANT_URL`` if set."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from gallery_fakes import Disk, Fake, Somewhere, people

from resight.gallery.gallery import Gallery

SERVER = os.environ.get("RESIGHT_QDRANT_URL")


PLACES = ["folder", "cluster in this process", *(["server"] if SERVER else [])]


@pytest.fixture(params=PLACES)
def somewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Somewhere]:
    """Return a place without a gallery."""
    if request.param == "folder":
        from resight.gallery.stores.folder import FolderBackend

        yield lambda: FolderBackend(tmp_path / "gallery", create=True)
    elif request.param == "server":
        from resight.gallery.stores.cluster import connect

        address = f"{SERVER}/test-{uuid.uuid4()}"
        yield lambda: connect(address)
        backend = connect(address)
        for name in backend.stores():
            backend.drop_store(name)
        backend.close()
    else:
        from qdrant_client import QdrantClient

        from resight.gallery.stores.cluster import ClusterBackend

        class Kept(QdrantClient):
            """Keeps what it holds when a gallery is closed, as a server does."""

            def close(self, *_: object, **__: object) -> None:
                pass

        client = Kept(":memory:")
        yield lambda: ClusterBackend(client, "test", "memory")
        QdrantClient.close(client)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Return a real disk of 8 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"No file system can be mounted here: {getattr(error, 'stderr', None) or error}")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder for a gallery."""
    return tmp_path / "gallery"


@pytest.fixture
def filled(place: Path) -> Iterator[Gallery]:
    """Return a gallery of crops of some persons."""
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(people())
        yield opened

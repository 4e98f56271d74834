"""Pictures last from when they are stored to when they are deleted: then their bytes are in no file."""

import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import Disk
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import UserError
from resight.gallery.stores.picture_store import FILE, PictureStore


def picture(seed: int, length: int = 3000) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()


def identity(number: int) -> str:
    return str(uuid.UUID(int=number))


def pictures(numbers: range, length: int = 3000) -> dict[str, bytes]:
    return {identity(number): picture(number, length) for number in numbers}


def files(folder: Path) -> bytes:
    """Return the bytes of all files in a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def pieces(content: bytes, length: int = 40) -> list[bytes]:
    """Return pieces of a picture: of a long one, each file page holds a part."""
    return [content[at : at + length] for at in range(0, max(1, len(content) - length + 1), 200)]


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(100, 9000), min_size=1, max_size=12), data=st.data())
@pytest.mark.parametrize("others", [False, True])
def test_deleted_pictures_are_in_no_file_and_the_rest_is_there(
    others: bool, tmp_path_factory: pytest.TempPathFactory, lengths: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = PictureStore(folder)
    there = {identity(number): picture(number, length) for number, length in enumerate(lengths)}
    store.put(there)
    assert all(piece in files(folder) for content in there.values() for piece in pieces(content)[:1])
    gone = set(data.draw(st.lists(st.sampled_from(sorted(there)), unique=True)))
    if others:
        store.delete_others(set(there) - gone)
    else:
        store.delete([*gone, identity(99)])
    left = files(folder)
    for name in gone:
        assert store.get(name) is None
        assert not any(piece in left for piece in pieces(there[name]))
    kept = {name: content for name, content in there.items() if name not in gone}
    store.close()
    again = PictureStore(folder)
    assert {name: again.get(name) for name in kept} == kept
    assert len(again) == len(kept)
    again.close()


def test_a_replaced_picture_is_in_no_file(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    store.put({identity(1): picture(1)})
    store.put({identity(1): picture(2)})
    assert store.get(identity(1)) == picture(2)
    store.close()
    assert not any(piece in files(tmp_path) for piece in pieces(picture(1)))


def test_the_room_of_deleted_pictures_is_given_back_at_once(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    store.put(pictures(range(200), 10_000))
    before = (tmp_path / FILE).stat().st_size
    store.delete(map(identity, range(0, 200, 2)))
    assert (tmp_path / FILE).stat().st_size < 0.65 * before
    assert store.get(identity(3)) == picture(3, 10_000)
    store.close()


def test_several_threads_store_read_and_delete(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)

    def work(first: int) -> None:
        for start in range(first, first + 60, 20):
            store.put(pictures(range(start, start + 20)))
            assert store.get(identity(start + 1)) == picture(start + 1)
            store.delete(map(identity, range(start, start + 10)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(0, 400, 100)))
    assert len(store) == 4 * 30
    store.close()


def test_a_full_disk_changes_nothing(disk: Disk) -> None:
    store = PictureStore(disk.path)
    store.put(pictures(range(10)))
    with pytest.raises(UserError, match=rf"{FILE} cannot be written: (database or disk is full|disk I/O)"):
        store.put(pictures(range(10, 100), 200_000))
    assert len(store) == 10
    store.put({identity(10): picture(10)})
    assert [store.get(identity(number)) for number in (3, 10)] == [picture(3), picture(10)]
    store.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from test_picture_store import identity, picture, pictures
from resight.gallery.stores.picture_store import PictureStore

class Killing(dict):
    def items(self):
        yield from super().items()
        os.kill(os.getpid(), signal.SIGKILL)

store = PictureStore(Path(sys.argv[1]))
if sys.argv[2] == "put":
    store.put(Killing(pictures(range(100, 2000))))
else:
    store.delete(name for name, _ in Killing(pictures(range(50))).items())
"""


@pytest.mark.parametrize("what", ["put", "delete"])
def test_a_process_killed_in_a_change_changes_nothing(tmp_path: Path, what: str) -> None:
    store = PictureStore(tmp_path)
    store.put(pictures(range(100)))
    store.close()
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, what], env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == -signal.SIGKILL
    store = PictureStore(tmp_path)
    assert len(store) == 100
    assert store.get(identity(7)) == picture(7)
    assert not any(piece in files(tmp_path) for piece in pieces(picture(107)))
    store.delete([identity(7)])
    assert not any(piece in files(tmp_path) for piece in pieces(picture(7)))
    store.close()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(UserError, match=rf"damaged: its file {FILE} cannot be read"):
        PictureStore(tmp_path)
    (tmp_path / FILE).unlink()
    store = PictureStore(tmp_path)
    store.put(pictures(range(100)))
    store.close()
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:20_000] + bytes(len(whole) - 20_000))  # its first pages are whole
    store = PictureStore(tmp_path)
    with pytest.raises(UserError, match=rf"damaged: its file {FILE} cannot be read"):
        store.delete_others([])
    store.close()


def test_a_locked_file_is_not_called_damaged(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    store.put(pictures(range(3)))
    store._database.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match=r"cannot be read: database is locked\. Run the command again"):
        len(store)
    other.close()
    store.close()

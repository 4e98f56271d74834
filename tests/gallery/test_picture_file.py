"""Pictures are where they were put, until they are erased: then their bytes are nowhere."""

import errno
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as engine
from gallery_fakes import START
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import UserError
from resight.gallery.crops import Filter, NewCrop, to_payload
from resight.gallery.stores import picture_file
from resight.gallery.stores.edge import EdgeStore
from resight.gallery.stores.edge_by_camera import make_edge, open_edge
from resight.gallery.stores.picture_file import CHANGED, FILE, HEAD, READ, PictureFile
from resight.gallery.stores.store import Layout, Record, Storage

COUNT, WIDTH = 20, 8


@pytest.fixture(params=["punched", "zeros"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    if request.param == "zeros":
        monkeypatch.setattr(picture_file, "_punch", lambda: None)
    opened = PictureFile(tmp_path)
    yield opened
    opened.close()


def random_bytes(seed: int, length: int) -> bytes:
    return b"\xff" + np.random.default_rng(seed).integers(1, 256, length - 1, dtype=np.uint8).tobytes()


@settings(max_examples=50, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(1, 9000), min_size=1, max_size=5), min_size=1, max_size=5),
    data=st.data(),
)
@pytest.mark.parametrize("tidied", [False, True])
def test_what_is_erased_is_gone_and_the_rest_is_there(
    tidied: bool, tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("file")
    file = PictureFile(folder)
    there: dict[int, bytes] = {}
    for lengths in batches:
        pictures = [random_bytes(len(there) + at, length) for at, length in enumerate(lengths)]
        there |= dict(zip(file.append(pictures), pictures, strict=True))
    gone = set(data.draw(st.lists(st.sampled_from(sorted(there)), unique=True)))
    if tidied:
        file.tidy(set(there) - gone)
    else:
        with file.erased(gone):
            assert all(file.read(place) == picture for place, picture in there.items())
    whole = (folder / FILE).read_bytes()
    for place, picture in there.items():
        end = place + HEAD + len(picture)
        assert file.read(place) == (None if place in gone else picture)
        assert any(whole[place:end]) == (place not in gone)
    (last,) = file.append([b"last"])
    assert file.read(last) == b"last"
    file.sync()
    assert not file.untidy
    file.close()
    again = PictureFile(folder)
    assert all(again.read(place) == there[place] for place in set(there) - gone)
    assert again.append([b"more"]) == [last + HEAD + 4]
    again.close()


def test_large_pictures_are_read_whole(file: PictureFile) -> None:
    pictures = [random_bytes(0, READ - HEAD), random_bytes(1, READ), random_bytes(2, 3 * READ)]
    assert [file.read(place) for place in file.append(pictures)] == pictures


def test_room_is_given_back(tmp_path: Path) -> None:
    file = PictureFile(tmp_path)
    places = file.append([random_bytes(at, 10_000) for at in range(200)])
    file.sync()
    before = (tmp_path / FILE).stat().st_blocks
    with file.erased(places[:150]):
        pass
    file.sync()
    assert (tmp_path / FILE).stat().st_blocks < before / 3  # on Linux' usual file systems
    assert file.read(places[150]) == random_bytes(150, 10_000)
    file.close()


def test_a_full_disk_changes_nothing(file: PictureFile, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = file.append([b"first"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            file.append([b"second"])
    (third,) = file.append([b"third"])
    assert (file.read(first), file.read(third), third) == (b"first", b"third", HEAD + 5)


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def identity(number: int) -> str:
    return str(uuid.UUID(int=number))


def records(word: bytes = b"picture") -> list[Record]:
    vectors = np.random.default_rng(0).standard_normal((COUNT, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        Record(
            identity(at), to_payload(NewCrop(b"", f"cam{at % 2}"), (2, 1), START), vector, word + b"-%d;" % at
        )
        for at, vector in enumerate(vectors)
    ]


@pytest.fixture(params=["float32", "int8"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    storage: Storage = request.param
    store = make_edge(tmp_path / "store", Layout(WIDTH, storage))
    store.put(records())
    store.close()
    return tmp_path / "store"


def pictures(store: EdgeStore) -> dict[int, bytes | None]:
    found = store.get([identity(at) for at in range(COUNT)], "picture")
    return {uuid.UUID(name).int: record.picture for name, record in found.items()}


def test_no_byte_is_left_of_pictures_that_were_deleted(folder: Path) -> None:
    store = open_edge(folder)
    store.delete(Filter(cameras=("cam1",)))
    assert pictures(store) == {at: b"picture-%d;" % at for at in range(0, COUNT, 2)}
    store.close()
    left = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert all((b"picture-%d;" % at in left) == (at % 2 == 0) for at in range(COUNT))


def test_a_picture_that_is_replaced_is_erased(folder: Path) -> None:
    store = open_edge(folder)
    store.put(records(b"other")[:3])
    assert pictures(store)[2] == b"other-2;"
    assert pictures(store)[3] == b"picture-3;"
    store.close()
    assert b"picture-2;" not in (folder / FILE).read_bytes()


@pytest.mark.parametrize("died", ["before the engine forgot", "after"])
def test_a_process_that_dies_while_it_deletes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, died: str
) -> None:
    store = open_edge(folder)
    with monkeypatch.context() as patch:
        if died == "after":
            patch.setattr(picture_file, "_erase", die)
        else:
            patch.setattr(store, "_update", die)
        with pytest.raises(KeyboardInterrupt):
            store.delete(Filter(ids=(identity(3),)))
    store.close()
    store = open_edge(folder)
    gone = {3} if died == "after" else set()
    assert pictures(store) == {at: b"picture-%d;" % at for at in range(COUNT) if at not in gone}
    assert (b"picture-3;" in (folder / FILE).read_bytes()) == (3 not in gone)
    store.close()
    assert not (folder / CHANGED).exists()


def die(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("lost", ["the end", "the middle"])
def test_crops_whose_pictures_a_power_failure_took_can_be_added_again(folder: Path, lost: str) -> None:
    """The engine's files were written to the disk before, and the pictures were not, or in part."""
    last = (folder / FILE).stat().st_size
    at = (folder / FILE).read_bytes().index(b"picture-17;") - HEAD
    with (folder / FILE).open("r+b") as stream:
        if lost == "the end":
            stream.truncate(last - 3)
        else:
            stream.seek(at)
            stream.write(bytes(HEAD + 11))
    (folder / CHANGED).touch()
    gone = 17 if lost == "the middle" else COUNT - 1
    store = open_edge(folder)
    assert pictures(store) == {at: b"picture-%d;" % at for at in range(COUNT) if at != gone}
    assert store.count(Filter()) == COUNT - 1
    vector = records()[gone].vector
    assert vector is not None
    assert identity(gone) not in [one.id for one in store.search(vector[None], Filter(), COUNT)[0]]
    store.put([records()[gone]])
    assert pictures(store)[gone] == b"picture-%d;" % gone
    store.close()


def test_pictures_that_the_engine_never_heard_of_are_erased_when_compacting(folder: Path) -> None:
    store = open_edge(folder)
    store._pictures.append([b"unheard"])
    assert b"unheard" in (folder / FILE).read_bytes()
    store.compact()
    assert b"unheard" not in (folder / FILE).read_bytes()
    assert pictures(store) == {at: b"picture-%d;" % at for at in range(COUNT)}
    store.close()


def test_a_disk_without_room_for_pictures_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_edge(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2**40}))
        fresh = [replace(record, id=identity(COUNT + at)) for at, record in enumerate(records())]
        with pytest.raises(OSError, match="No space"):
            store.put(fresh)
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
        with pytest.raises(UserError, match="0 MB free"):
            store.put(fresh)
    assert store.count(Filter()) == COUNT
    store.close()


def test_pictures_in_the_engine_itself_are_still_read(folder: Path) -> None:
    """As galleries of before have them."""
    store = open_edge(folder)
    payload = records()[0].payload | {"picture": "cGljdHVyZQ=="}
    point = engine.Point(identity(0), [1.0] + [0.0] * (WIDTH - 1), payload)
    store._update(engine.UpdateOperation.upsert_points([point]))
    assert pictures(store)[0] == b"picture"
    assert store.get([identity(0)])[identity(0)].picture is None
    store.delete(Filter(ids=(identity(0),)))
    assert 0 not in pictures(store)
    store.close()

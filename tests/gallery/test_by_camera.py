"""Vectors in blocks of one camera: what they find, what stays when the process dies, what is caught up."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from gallery_fakes import START

from resight.errors import UserError
from resight.gallery.crops import Filter, NewCrop, to_payload
from resight.gallery.stores.blocks import BLOCK
from resight.gallery.stores.by_camera import CHANGED, ROWS, VectorsByCamera
from resight.gallery.stores.edge_by_camera import OWN, EdgeByCamera
from resight.gallery.stores.folder import FolderBackend
from resight.gallery.stores.store import Layout, Record
from resight.inference.embedder import Vectors

WIDTH = 8
CAMERAS: tuple[str | None, ...] = ("hall", "door", None)
Truth = dict[str, tuple[str | None, Vectors]]


def crops(count: int, seed: int = 0) -> Truth:
    """Return vectors, most of them of the first camera, by id."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((count, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [str(uuid.UUID(bytes=generator.bytes(16))) for _ in range(count)]
    return {
        name: (CAMERAS[max(0, int(camera))], vector)
        for name, camera, vector in zip(names, generator.integers(-3, 3, count), vectors, strict=True)
    }


def fill(vectors: VectorsByCamera, truth: Truth) -> None:
    vectors.add(list(truth), [camera for camera, _ in truth.values()], [one for _, one in truth.values()])


def check(vectors: VectorsByCamera, truth: Truth) -> None:
    """Compare searches with plain ones."""
    assert len(vectors) == len(truth)
    query = np.full(WIDTH, WIDTH**-0.5, np.float32)
    for wanted in ({"hall"}, {"door", None}, {"hall", "door", None}, {"nowhere"}):
        scores = {name: float(one @ query) for name, (camera, one) in truth.items() if camera in wanted}
        expected = sorted(scores, key=lambda name: -scores[name])[:40]
        for found in vectors.nearest(np.stack([query, query]), wanted.__contains__, 40):
            assert [name for name, _ in found] == expected
            np.testing.assert_allclose([score for _, score in found], [scores[one] for one in expected], 1e-5)


@pytest.fixture
def filled(tmp_path: Path) -> tuple[VectorsByCamera, Truth, Path]:
    """Return vectors of several blocks."""
    vectors, truth = VectorsByCamera(tmp_path / "vectors", WIDTH, 0), crops(4 * BLOCK)
    names = list(truth)
    for start in range(0, len(names), 100):
        fill(vectors, {name: truth[name] for name in names[start : start + 100]})
    return vectors, truth, tmp_path / "vectors"


Filled = tuple[VectorsByCamera, Truth, Path]


def test_the_nearest_of_some_cameras_are_found(filled: Filled) -> None:
    vectors, truth, _ = filled
    check(vectors, truth)


def test_removed_vectors_are_gone_also_from_the_disk(filled: Filled) -> None:
    vectors, truth, folder = filled
    gone = list(truth)[::3]
    vectors.remove(gone)
    secret = truth[gone[0]][1].tobytes()
    assert secret not in (folder / f"vectors-{WIDTH}.f32").read_bytes()
    check(vectors, {name: one for name, one in truth.items() if name not in gone})


def test_they_are_the_same_when_opened_again_and_grow_on(filled: Filled) -> None:
    vectors, truth, folder = filled
    vectors.remove(list(truth)[-5:])
    truth = dict(list(truth.items())[:-5])
    vectors.close()
    again = VectorsByCamera(folder, None, len(truth))
    assert not again.behind
    assert again.width == WIDTH
    check(again, truth)
    more = crops(BLOCK, 1)
    fill(again, more)
    check(again, truth | more)


def test_what_was_not_saved_is_caught_up(filled: Filled) -> None:
    """As after the death of a process: crops that the file does not know, and some that the engine lost."""
    vectors, truth, folder = filled
    vectors.save()
    assert not (folder / CHANGED).exists()
    fill(vectors, crops(10, 1))  # and dies
    truth |= crops(30, 2)
    asked: list[str] = []

    def fetch(ids: list[str]) -> Truth:
        asked.extend(ids)
        return {name: truth[name] for name in ids}

    again = VectorsByCamera(folder, None, len(truth))
    assert again.behind
    again.catch_up(iter(truth), fetch)
    assert not again.behind
    assert len(asked) == 30  # not all of them
    check(again, truth)


def test_another_number_of_crops_is_noticed(filled: Filled) -> None:
    vectors, truth, folder = filled
    vectors.close()
    assert VectorsByCamera(folder, None, len(truth) + 1).behind


def test_without_its_rows_everything_is_fetched(filled: Filled) -> None:
    vectors, truth, folder = filled
    vectors.close()
    (folder / ROWS).unlink()
    again = VectorsByCamera(folder, None, len(truth))
    assert again.behind
    again.catch_up(iter(truth), lambda ids: {name: truth[name] for name in ids})
    check(again, truth)


def test_a_file_that_is_mostly_holes_is_arranged(filled: Filled) -> None:
    vectors, truth, folder = filled
    more = crops(12 * BLOCK, 3)
    fill(vectors, more)
    assert not vectors.untidy
    vectors.remove([*more, *list(truth)[BLOCK:]])
    truth = dict(list(truth.items())[:BLOCK])
    size = os.stat(folder / f"vectors-{WIDTH}.f32").st_blocks
    assert vectors.untidy
    vectors.arrange()
    assert not vectors.untidy
    assert os.stat(folder / f"vectors-{WIDTH}.f32").st_blocks < size / 4
    check(vectors, truth)
    vectors.remove(list(truth))
    vectors.arrange()
    check(vectors, {})
    fill(vectors, more)
    check(vectors, more)


def test_arranged_vectors_lie_by_camera_and_grow_on(filled: Filled) -> None:
    vectors, truth, folder = filled
    gone = list(truth)[::5]
    vectors.remove(gone)
    truth = {name: one for name, one in truth.items() if name not in set(gone)}
    vectors.arrange()
    check(vectors, truth)
    rows = vectors._vectors.rows
    for camera in CAMERAS:
        there = [one for _, one in truth.values() if any(np.array_equal(one, row) for row in rows)]
        assert len(there) == len(truth)
        places = [
            int(np.flatnonzero((rows == one).all(1))[0]) for other, one in truth.values() if other == camera
        ]
        assert max(places) - min(places) == len(places) - 1
    file = vectors._vectors.file.stat()
    vectors.arrange()
    assert vectors._vectors.file.stat() == file  # there was nothing to do
    vectors.save()
    more = crops(2 * BLOCK, 4)
    fill(vectors, more)
    check(vectors, truth | more)
    vectors.close()
    again = VectorsByCamera(folder, None, len(truth) + len(more))
    assert not again.behind
    check(again, truth | more)


def test_who_is_searching_while_they_are_arranged_finds_the_same(filled: Filled) -> None:
    vectors, truth, _ = filled
    done = Event()

    def arrange() -> None:
        for _ in range(20):
            vectors.arrange()
        done.set()

    thread = Thread(target=arrange)
    thread.start()
    while not done.is_set():
        check(vectors, truth)
    thread.join()
    check(vectors, truth)


@pytest.mark.parametrize("when", ["writing", "written", "replaced"])
def test_a_process_that_died_while_arranging_loses_nothing(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A copy of the folder as it was at that moment is what the next process finds."""
    vectors, truth, folder = filled
    vectors.save()
    copied = folder.with_name("copy")
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        assert target == folder / f"vectors-{WIDTH}.f32"
        if when == "replaced":
            replace(self, target)
        shutil.copytree(folder, copied)
        raise KeyboardInterrupt

    def dies_early(*_: object) -> None:
        shutil.copytree(folder, copied)
        raise KeyboardInterrupt

    if when == "writing":
        monkeypatch.setattr("resight.gallery.stores.by_camera.delete_outlines", dies_early)
    else:
        monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        vectors.arrange()
    monkeypatch.undo()
    assert list(copied.glob(".vectors-*")) != [] or when == "replaced"
    again = VectorsByCamera(copied, None, len(truth))
    assert not list(copied.glob(".*"))
    assert again.behind
    again.catch_up(iter(truth), lambda ids: {name: truth[name] for name in ids})
    check(again, truth)


def test_a_disk_that_is_full_while_arranging_leaves_them_as_they_were(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, truth, folder = filled

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        vectors.arrange()
    monkeypatch.undo()
    check(vectors, truth)
    vectors.close()
    again = VectorsByCamera(folder, None, len(truth))
    assert not again.behind
    check(again, truth)


def test_a_forsaken_file_is_filled_again_while_others_read_the_old_one(filled: Filled) -> None:
    vectors, truth, _ = filled
    mapped = vectors._vectors.rows
    vectors.forsake()
    assert float(np.abs(mapped).sum()) > 0
    assert vectors.behind
    vectors.catch_up(iter(truth), lambda ids: {name: truth[name] for name in ids})
    check(vectors, truth)


def record(name: str, camera: str | None, vector: Vectors) -> Record:
    crop = NewCrop(b"", camera=camera)
    return Record(name, to_payload(crop, (2, 1), START), vector, b"a")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeByCamera]:
    backend = FolderBackend(tmp_path / "gallery", create=True)
    made = backend.make_store("crops-1", Layout(WIDTH))
    assert isinstance(made, EdgeByCamera)
    yield made
    made.close()
    backend.close()


def test_a_store_that_lost_its_vectors_finds_all_the_same(store: EdgeByCamera) -> None:
    truth = crops(600)
    store.put([record(name, *one) for name, one in truth.items()])
    copied = store.folder.with_name("copy")
    store.flush()
    shutil.copytree(store.folder, copied)
    shutil.rmtree(copied / OWN)
    (copied / OWN).mkdir()
    (copied / OWN / f"vectors-{WIDTH}.f32").touch()
    query = next(iter(truth.values()))[1][None]
    where = Filter(cameras=("door",))
    again = EdgeByCamera(copied)
    assert again.search(query, where, 9) == store.search(query, where, 9)
    again.close()
    last = EdgeByCamera(copied)
    assert not last._own.behind
    last.close()


def test_compacting_a_store_lays_its_vectors_by_camera(store: EdgeByCamera) -> None:
    truth = crops(4 * BLOCK)
    store.put([record(name, *one) for name, one in truth.items()])
    gone = tuple(list(truth)[::2])
    store.delete(Filter(ids=gone))
    file = store.folder / OWN / f"vectors-{WIDTH}.f32"
    size, query = file.stat().st_size, next(iter(truth.values()))[1][None]
    before = [store.search(query, where, 9) for where in (Filter(), Filter(cameras=("door",)))]
    store.compact()
    assert file.stat().st_size < size
    assert [store.search(query, where, 9) for where in (Filter(), Filter(cameras=("door",)))] == before
    assert not (store.folder / OWN / CHANGED).exists()


def test_a_store_that_most_was_forgotten_of_is_arranged_by_itself(store: EdgeByCamera) -> None:
    truth = crops(8 * BLOCK)
    store.put([record(name, *one) for name, one in truth.items()])
    file = store.folder / OWN / f"vectors-{WIDTH}.f32"
    size = file.stat().st_size
    store.delete(Filter(ids=tuple(list(truth)[BLOCK:])))
    store.flush()
    assert file.stat().st_size < size / 2
    left = dict(list(truth.items())[:BLOCK])
    name, (_, vector) = next(iter(left.items()))
    assert store.search(vector[None], Filter(), 1)[0][0].id == name


def test_a_record_put_again_with_another_camera_is_found_there_alone(store: EdgeByCamera) -> None:
    truth = crops(50)
    store.put([record(name, *one) for name, one in truth.items()])
    name, (_, vector) = next(iter(truth.items()))
    store.put([record(name, "roof", -vector)])
    (found,) = store.search(vector[None], Filter(cameras=("roof",)), 5)
    assert [(one.id, round(one.score, 4)) for one in found] == [(name, -1)]
    (found,) = store.search(vector[None], Filter(not_cameras=("roof",)), 50)
    assert len(found) == 49
    assert name not in {one.id for one in found}


@pytest.mark.parametrize("part", [0, 5])
def test_when_the_file_cannot_be_written_the_crop_is_stored_and_found(
    store: EdgeByCamera, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    truth = crops(40)
    write = os.pwritev
    refused = []

    def full(handle: int, lines: list[memoryview], place: int) -> int:
        refused.append(place)
        if part:  # a disk that is full in the middle of a write says how much it took
            return write(handle, lines[:1], place) - part
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resight.gallery.stores.row_file.os.pwritev", full)
    store.put([record(name, *one) for name, one in truth.items()])
    monkeypatch.undo()
    assert len(refused) == 1
    assert store._own.behind
    name, (camera, vector) = next(iter(truth.items()))
    (found,) = store.search(vector[None], Filter(cameras=() if camera is None else (camera,)), 1)
    assert found[0].id == name


def test_behind_a_filter_that_keeps_much_the_graph_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = crops(1500)
    backend = FolderBackend(tmp_path / "gallery", create=True)
    made = backend.make_store("crops-1", Layout(WIDTH, graph_from=100))
    assert isinstance(made, EdgeByCamera)
    made.put([record(name, *one) for name, one in truth.items()])
    made.compact()
    assert made.facts()["indexed"] >= 1000
    monkeypatch.setattr("resight.gallery.stores.edge_by_camera.COMPARED", 0)
    queries = np.stack([vector for _, vector in list(truth.values())[:20]])
    for where in (
        Filter(),
        Filter(cameras=("hall",)),
        Filter(not_cameras=("door",), not_ids=(next(iter(truth)),)),
    ):
        by_graph = made.search(queries, where, 5, exact=False)
        compared = made.search(queries, where, 5)
        same = sum(
            len({one.id for one in some} & {one.id for one in others})
            for some, others in zip(by_graph, compared, strict=True)
        )
        assert same >= 98
        assert all(len(some) == 5 for some in by_graph)
        monkeypatch.setattr(made, "_nearest_by_camera", None)  # the graph alone is enough
        made.search(queries, where, 5, exact=False)
        monkeypatch.delattr(made, "_nearest_by_camera")
    made.delete(Filter())
    assert made.search(queries, Filter(), 5, exact=False) == [[]] * 20
    made.close()
    backend.close()

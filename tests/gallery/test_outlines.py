"""Outlines of vectors: nothing near is ruled out, and they follow what is added, removed and saved."""

import uuid
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import START

from resight.errors import UserError
from resight.gallery.crops import Filter, NewCrop, to_payload
from resight.gallery.stores import outlines
from resight.gallery.stores.blocks import BLOCK
from resight.gallery.stores.by_camera import VectorsByCamera
from resight.gallery.stores.edge_by_camera import OWN, EdgeByCamera
from resight.gallery.stores.folder import FolderBackend
from resight.gallery.stores.store import Layout, Record
from resight.inference.embedder import Vectors

WIDTH, COUNT = 48, 6000
CAMERAS: tuple[str | None, ...] = ("hall", "door", "yard", None)
Named = dict[str, tuple[str | None, Vectors]]


def draw(count: int, seed: int, fall: float = -1.0, width: int = WIDTH) -> Vectors:
    """Draw unit vectors around a hundred persons, most of whose length lies in a few directions."""
    generator = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0]
    means = np.random.default_rng(1).standard_normal((100, width))
    vectors = means[generator.integers(0, 100, count)] + 0.5 * generator.standard_normal((count, width))
    vectors = vectors * np.arange(1.0, width + 1) ** fall @ turn
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def crops(count: int, seed: int, fall: float = -1.0, width: int = WIDTH) -> Named:
    generator = np.random.default_rng(seed)
    return {
        str(uuid.UUID(bytes=generator.bytes(16))): (CAMERAS[int(generator.integers(len(CAMERAS)))], vector)
        for vector in draw(count, seed, fall, width)
    }


def fill(vectors: VectorsByCamera, truth: Named) -> None:
    vectors.add(list(truth), [camera for camera, _ in truth.values()], [one for _, one in truth.values()])


def check(vectors: VectorsByCamera, truth: Named, limit: int = 7) -> None:
    """Compare searches with plain ones, also for queries that are like nothing there."""
    names = list(truth)
    matrix = np.stack([vector for _, vector in truth.values()])
    cameras = np.array([str(camera) for camera, _ in truth.values()])
    queries = np.concatenate([matrix[:5], draw(5, 99), -matrix[:3], draw(4, 98, 0.0)])
    for wanted in ({"hall"}, {"door", None}, set(CAMERAS)):
        kept = np.flatnonzero(np.isin(cameras, [str(camera) for camera in wanted]))
        for query, found in zip(queries, vectors.nearest(queries, wanted.__contains__, limit), strict=True):
            scores = matrix[kept] @ query
            best = kept[np.argsort(-scores)[:limit]]
            np.testing.assert_allclose(
                [score for _, score in found], np.sort(-scores)[:limit] * -1, atol=1e-6
            )
            assert {name for name, _ in found} == {names[place] for place in best}


Filled = tuple[VectorsByCamera, Named, Path]


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    """Return vectors that have outlines."""
    vectors, truth = VectorsByCamera(tmp_path / OWN, WIDTH, 0), crops(COUNT, 2)
    fill(vectors, truth)
    vectors.save()
    vectors.make_outlines()
    return vectors, truth, tmp_path / OWN


def test_no_product_of_outlines_is_below_the_vectors() -> None:
    vectors, queries = draw(500, 3), np.concatenate([draw(40, 4), draw(40, 5, 0.0)])
    directions = np.linalg.qr(np.random.default_rng(6).standard_normal((WIDTH, 5)))[0].astype(np.float32)
    bounds = outlines.outline(vectors, directions) @ outlines.outline(queries, directions).T
    assert (bounds >= vectors @ queries.T - outlines.ROUNDING).all()
    assert bounds.max() <= 1 + outlines.ROUNDING


def test_few_numbers_are_read_and_all_of_the_nearest_found(filled: Filled) -> None:
    vectors, truth, _ = filled
    assert vectors.reads(1000) < 1000 * WIDTH // 2
    check(vectors, truth)


def test_a_rough_search_finds_nearly_all(tmp_path: Path) -> None:
    vectors, queries = VectorsByCamera(tmp_path, 256, 0), draw(40, 12, -0.75, 256)  # they fall as a network's
    fill(vectors, crops(COUNT, 2, -0.75, 256))
    vectors.make_outlines()
    exact = vectors.nearest(queries, {"hall", "door"}.__contains__, 7)
    rough = vectors.nearest(queries, {"hall", "door"}.__contains__, 7, rough=True)
    shared = [len(dict(some).keys() & dict(others).keys()) for some, others in zip(exact, rough, strict=True)]
    assert sum(shared) >= 0.99 * 7 * 40
    cosines = dict(exact[0])
    assert all(score == pytest.approx(cosines[name], abs=1e-6) for name, score in rough[0] if name in cosines)


def test_most_vectors_are_ruled_out(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def counted(*arguments: object) -> object:
        answer = real(*arguments)  # type: ignore[arg-type]
        left.append(COUNT if answer is None else len(answer[0]))
        return answer

    real = outlines.left_over
    monkeypatch.setattr("resight.gallery.stores.by_camera.left_over", counted)
    filled[0].nearest(draw(30, 7), lambda camera: True, 7)
    assert np.median(left) < COUNT / 20


def test_when_bounds_rule_out_little_all_are_compared(tmp_path: Path) -> None:
    vectors, truth = VectorsByCamera(tmp_path / OWN, WIDTH, 0), crops(COUNT, 2)
    fill(vectors, truth)
    vectors.save()
    vectors.make_outlines()
    other = crops(COUNT, 8, 0.0)  # lies in all directions
    fill(vectors, other)
    check(vectors, truth | other)


def test_vectors_that_lie_in_all_directions_have_none(tmp_path: Path) -> None:
    vectors, truth = VectorsByCamera(tmp_path / OWN, WIDTH, 0), crops(COUNT, 8, 0.0)
    fill(vectors, truth)
    vectors.save()
    vectors.make_outlines()
    assert vectors.reads(1) == WIDTH
    assert not [file for file in (tmp_path / OWN).glob("outlines-*") if file.stat().st_size]
    check(vectors, truth)


def test_that_they_are_no_use_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resight.gallery.stores.by_camera.WORTH", 1)
    vectors, truth = VectorsByCamera(tmp_path / OWN, WIDTH, 0), crops(1000, 8, 0.0)
    fill(vectors, truth)
    assert vectors.untidy
    vectors.arrange()
    vectors.make_outlines()
    assert not vectors.untidy
    vectors.close()
    again = VectorsByCamera(tmp_path / OWN, None, 1000)
    assert not again.untidy
    fill(again, crops(3000, 9, 0.0))
    assert again.untidy


def test_they_follow_what_is_added_and_removed(filled: Filled) -> None:
    vectors, truth, folder = filled
    more = crops(3 * BLOCK, 9)
    fill(vectors, more)
    gone = list(truth)[::3]
    vectors.remove(gone)
    truth = {name: one for name, one in (truth | more).items() if name not in set(gone)}
    check(vectors, truth)
    vectors.close()
    again = VectorsByCamera(folder, None, len(truth))
    assert again.reads(1) < WIDTH
    check(again, truth)


def test_removed_outlines_are_gone_also_from_the_disk(filled: Filled) -> None:
    vectors, truth, folder = filled
    files = sorted(folder.glob("outlines-*"))
    assert [file.stem.split("-")[1] for file in files] == ["heads", "tails"]

    def table() -> Vectors:
        parts = [np.fromfile(file, "<f4").reshape(-1, int(file.stem.split("-")[2])) for file in files]
        return np.concatenate(parts, axis=1)

    name = next(iter(truth))
    before = table()
    own = outlines.outline(truth[name][1][None], before[:WIDTH, :-1])
    near = np.abs(before[WIDTH:] - own).max(1)
    assert (near < 1e-5).sum() == 1
    vectors.remove([name])
    assert not table()[WIDTH + int(near.argmin())].any()


@pytest.mark.parametrize("part", ["heads", "tails"])
def test_half_of_them_is_as_none(filled: Filled, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """As where a process died between the two files."""
    vectors, truth, folder = filled
    vectors.close()
    next(folder.glob(f"outlines-{part}-*")).unlink()
    monkeypatch.setattr("resight.gallery.stores.by_camera.WORTH", 1)
    again = VectorsByCamera(folder, None, len(truth))
    assert again.untidy
    assert again.reads(1) == WIDTH
    check(again, truth)
    again.make_outlines()
    assert len(list(folder.glob("outlines-*"))) == 2
    check(again, truth)


def test_they_are_the_same_when_opened_again(filled: Filled) -> None:
    vectors, truth, folder = filled
    vectors.close()
    again = VectorsByCamera(folder, None, len(truth))
    assert not again.behind
    assert again.reads(1) < WIDTH
    more = crops(500, 10)
    fill(again, more)
    check(again, truth | more)


def test_a_forsaken_file_has_none_until_they_are_made_again(filled: Filled) -> None:
    vectors, truth, _ = filled
    vectors.forsake()
    assert vectors.reads(1) == WIDTH
    vectors.catch_up(iter(truth), lambda ids: {name: truth[name] for name in ids})
    check(vectors, truth)
    vectors.make_outlines()
    assert vectors.reads(1) < WIDTH
    check(vectors, truth)


def test_a_disk_that_is_full_twice_is_survived(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """First while cameras are laid side by side, when the outlines' files are gone, then while adding."""
    vectors, truth, _ = filled

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        vectors.arrange()
    monkeypatch.undo()
    check(vectors, truth)
    vectors.forsake()
    vectors.catch_up(iter(truth), lambda ids: {name: truth[name] for name in ids})
    check(vectors, truth)


def records(truth: Named) -> list[Record]:
    found = []
    for name, (camera, vector) in truth.items():
        payload = to_payload(NewCrop(b"", camera, START, "a.mp4"), (8, 4), START)
        found.append(Record(name, payload, vector, b"aa"))
    return found


def test_a_store_has_them_by_itself_when_it_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resight.gallery.stores.by_camera.WORTH", 3000 * WIDTH)
    backend = FolderBackend(tmp_path / "gallery", create=True)
    store = backend.make_store("crops-1", Layout(WIDTH))
    own = tmp_path / "gallery" / "crops-1" / OWN
    truth = crops(COUNT, 2)
    lines = records(truth)
    store.put(lines[:2000])
    store.flush()
    assert not list(own.glob("outlines-*"))
    store.put(lines[2000:4000])
    store.close()
    first = sorted(own.glob("outlines-*"))
    assert len(first) == 2
    store = backend.open_store("crops-1")
    store.put(lines[4000:])
    store.flush()
    assert sorted(own.glob("outlines-*")) == first  # there are not four times as many yet
    query = draw(3, 11)
    names, matrix = list(truth), np.stack([vector for _, vector in truth.values()])
    for where, kept in (
        (Filter(), {*CAMERAS}),
        (Filter(cameras=("door",)), {"door"}),
        (Filter(not_cameras=("door", "yard")), {"hall", None}),
    ):
        scores = query @ matrix.T
        scores[:, [camera not in kept for camera, _ in truth.values()]] = -2
        expected = [[names[place] for place in line[:9]] for line in np.argsort(-scores)]
        for exact in (True, False):
            found = store.search(query, where, 9, exact=exact)
            assert [[one.id for one in some] for some in found] == expected
    store.compact()
    assert [file.stem.endswith(str(COUNT)) for file in own.glob("outlines-*")] == [True, True]
    store.close()
    backend.close()


def test_a_full_disk_keeps_a_store_from_having_them_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resight.gallery.stores.by_camera.WORTH", 1)
    backend = FolderBackend(tmp_path / "gallery", create=True)
    store = backend.make_store("crops-1", Layout(WIDTH))
    truth = crops(COUNT, 2)
    store.put(records(truth))
    monkeypatch.setattr("resight.gallery.stores.edge_by_camera.SPARE", 2**62)
    store.flush()
    assert not list((tmp_path / "gallery" / "crops-1" / OWN).glob("outlines-*"))
    monkeypatch.undo()
    name, (_, vector) = next(iter(truth.items()))
    assert store.search(vector[None], Filter(), 1)[0][0].id == name
    assert isinstance(store, EdgeByCamera)
    store.close()
    backend.close()

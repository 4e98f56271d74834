"""Adding takes turns with a network that computes on the same cores, and goes on beside one that does not."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery_fakes import Fake, noise
from numpy.typing import NDArray

from resight.gallery import adding
from resight.gallery.adding import BATCH, add_crops
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.stores.edge import EdgeStore
from resight.gallery.stores.store import Layout, Record
from resight.imaging import Pixels

COUNT = 7 * BATCH + 5


class Watched(Fake):
    """Notes how many crops it has described, and whether anything else went on meanwhile."""

    def __init__(self, on_cpu: bool) -> None:
        super().__init__()
        self.on_cpu = on_cpu
        self.working = self.disturbed = 0

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        with_others = super().preprocess(pictures)
        self.disturbed += self.working
        return with_others

    def __call__(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        self.working = 1
        time.sleep(0.02)
        found = super().__call__(pictures)
        self.working = 0
        return found


@pytest.fixture(params=[True, False], ids=["in turns", "beside"])
def embedder(request: pytest.FixtureRequest) -> Watched:
    return Watched(request.param)


def test_all_is_stored_and_told_of_in_order(embedder: Watched, tmp_path: Path, monkeypatch: Any) -> None:
    store = EdgeStore(tmp_path / "store", Layout(48))
    put = store.put

    def noted(records: Sequence[Record]) -> None:
        put(records)
        embedder.disturbed += embedder.working

    monkeypatch.setattr(store, "put", noted)
    crops = [NewCrop(noise(at), name=str(at)) for at in range(COUNT)]
    crops[70] = NewCrop(b"nothing")
    told: list[str | None] = []
    stored: list[int] = []

    def tell(batch: adding.Added) -> None:
        told.extend(batch.ids)
        stored.append(len(store.get([one for one in told if one])))

    added = add_crops(store.get, store.put, embedder, iter([*crops, crops[0]]), tell)
    store.close()
    assert told == list(added.ids)
    assert told[0] == told[-1]
    assert [told.index(None), told.count(None)] == [70, 1]
    assert (added.new, added.known, [name for name, _ in added.refused]) == (COUNT - 1, 1, ["a picture"])
    assert stored == sorted(stored)
    assert stored[-1] == COUNT - 1
    assert all(count >= BATCH * turn - 1 for turn, count in enumerate(stored[:-1], 1))
    assert bool(embedder.disturbed) != embedder.on_cpu


@pytest.mark.parametrize(("long", "most"), [(0.0, BATCH), (60.0, adding.MAX_BATCHES * BATCH)])
def test_a_slow_network_reports_often(
    long: float, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more crops are taken than those of the next turn before the last one is stored."""
    monkeypatch.setattr(adding, "LONG_ENOUGH", long)
    taken = told = 0
    waiting = []

    def crops() -> Any:
        nonlocal taken
        for at in range(3 * adding.MAX_BATCHES * BATCH):
            taken += 1
            yield NewCrop(noise(at % 50), name=str(at))

    def tell(batch: adding.Added) -> None:
        nonlocal told
        told += len(batch.ids)
        waiting.append(taken - told)

    store = EdgeStore(tmp_path / "store", Layout(48))
    add_crops(store.get, store.put, Watched(True), crops(), tell)
    store.close()
    assert told == taken
    assert max(waiting) == most


@pytest.mark.parametrize("apart", [1, 2 * BATCH])
def test_a_picture_that_cannot_be_read_is_refused_each_time(
    apart: int, embedder: Watched, tmp_path: Path
) -> None:
    crops = [NewCrop(noise(at)) for at in range(3 * BATCH)]
    crops[0], crops[apart] = NewCrop(b"nothing", name="a.jpg"), NewCrop(b"nothing", name="b.jpg")
    store = EdgeStore(tmp_path / "store", Layout(48))
    added = add_crops(store.get, store.put, embedder, crops)
    assert (added.new, added.known) == (3 * BATCH - 2, 0)
    assert [name for name, _ in added.refused] == ["a.jpg", "b.jpg"]
    assert [at for at, identity in enumerate(added.ids) if identity is None] == [0, apart]
    store.close()


@pytest.mark.parametrize("held", [0, 2000, 1 << 30])
def test_however_much_is_read_ahead_all_is_added(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "READ_AHEAD_BYTES", held)
    store = EdgeStore(tmp_path / "store", Layout(48))
    added = add_crops(store.get, store.put, Watched(True), [NewCrop(noise(at)) for at in range(COUNT)])
    assert added.new == len(set(added.ids)) == store.count(Filter()) == COUNT
    store.close()

"""The interface of storage engines: one suite for the engine in this process, and for a cluster."""

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gallery_fakes import START, Somewhere
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from resight.errors import UserError
from resight.gallery.crops import Filter, NewCrop, to_payload
from resight.gallery.stores import cluster
from resight.gallery.stores.store import Layout, Record, StorageBackend, Store, search_effort

WIDTH, COUNT = 16, 60


@pytest.fixture
def backend(somewhere: Somewhere) -> Iterator[StorageBackend]:
    made = somewhere()
    yield made
    made.close()


def identity(number: int) -> str:
    return str(uuid.UUID(int=number))


def records() -> list[Record]:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((COUNT, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = []
    for number, vector in enumerate(vectors):
        crop = NewCrop(
            b"",
            camera=None if number % 10 == 9 else f"cam{number % 4}",
            time=None if number % 7 == 6 else START.replace(minute=number),
            source=f"video{number % 2}",
            name=f"crop {number}",
            person=f"p{number // 6}" if number % 3 else None,
            tags=("red", "bag") if number % 5 == 0 else ("red",) if number % 2 else (),
            box=(1, 2, 3, 4),
        )
        payload = to_payload(crop, (20, 10), START)
        found.append(Record(identity(number), payload, vector, b"picture %d" % number))
    return found


@pytest.fixture
def store(backend: StorageBackend) -> Iterator[Store]:
    made = backend.make_store("crops-1", Layout(WIDTH))
    made.put(records())
    yield made
    made.close()


def numbers(found: list[Record]) -> list[int]:
    return [uuid.UUID(record.id).int for record in found]


def test_records_come_back_as_they_were_put(store: Store) -> None:
    given_ones = records()[3:5]
    found = store.get([record.id for record in given_ones], "picture", "vector")
    assert set(found) == {record.id for record in given_ones}
    for record in given_ones:
        again = found[record.id]
        assert again.payload == record.payload
        assert again.picture == record.picture
        assert again.vector is not None
        np.testing.assert_allclose(again.vector, record.vector, atol=1e-6)


def test_pictures_and_vectors_come_only_when_asked_for(store: Store) -> None:
    (record,) = store.get([identity(3)]).values()
    assert record.picture is None
    assert record.payload["name"] == "crop 3"
    assert record.vector is None


def test_ids_that_are_not_there_are_left_out(store: Store) -> None:
    assert set(store.get([identity(3), identity(1000)])) == {identity(3)}
    assert store.get([]) == {}


def test_the_nearest_come_first_with_their_cosine(store: Store) -> None:
    vectors = np.stack([record.vector for record in records()])
    queries = vectors[[4, 9]]
    for query, found in zip(queries, store.search(queries, Filter(), 7), strict=True):
        expected = np.argsort(-(vectors @ query), kind="stable")[:7]
        assert numbers(found) == expected.tolist()
        np.testing.assert_allclose([record.score for record in found], (vectors @ query)[expected], atol=1e-5)


FILTERS = st.builds(
    Filter,
    cameras=st.lists(st.sampled_from(["cam0", "cam1", "cam2", "cam3"]), unique=True, max_size=4).map(tuple),
    not_cameras=st.lists(st.sampled_from(["cam0", "cam1", "cam9"]), unique=True, max_size=2).map(tuple),
    after=st.none() | st.integers(0, 30).map(lambda minute: START.replace(minute=minute)),
    before=st.none() | st.integers(31, 59).map(lambda minute: START.replace(minute=minute)),
    tags=st.sampled_from([(), ("red",), ("red", "bag")]),
    persons=st.sampled_from([(), ("p1", "p2", "p3")]),
    sources=st.sampled_from([(), ("video0",)]),
    ids=st.sampled_from([(), tuple(identity(number) for number in range(0, 60, 2))]),
    not_ids=st.sampled_from([(), (identity(0), identity(4), identity(777))]),
    labelled=st.booleans(),
)


def fits(record: Record, where: Filter) -> bool:
    """Say plainly what a filter means."""
    payload = record.payload
    camera, time, person = payload.get("camera"), payload.get("time"), payload.get("person")
    return (
        (not where.cameras or camera in where.cameras)
        and camera not in where.not_cameras
        and (where.after is None or (time is not None and time >= where.after.timestamp()))
        and (where.before is None or (time is not None and time < where.before.timestamp()))
        and set(where.tags) <= set(payload.get("tags", ()))
        and (not where.persons or person in where.persons)
        and (not where.sources or payload["source"] in where.sources)
        and (not where.ids or record.id in where.ids)
        and record.id not in where.not_ids
        and (not where.labelled or person is not None)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=FILTERS, limit=st.integers(1, 70), query=st.integers(0, COUNT - 1))
def test_filters_keep_what_they_say(store: Store, where: Filter, limit: int, query: int) -> None:
    kept = [record for record in records() if fits(record, where)]
    vector = records()[query].vector
    assert vector is not None
    best = sorted(kept, key=lambda record: -float(np.dot(record.vector, vector)))  # type: ignore[arg-type]
    (found,) = store.search(vector[None], where, limit)
    assert numbers(found) == numbers(best[:limit])
    assert store.count(where) == len(kept)


def test_scanning_and_paging_meet_every_record_once(store: Store) -> None:
    where = Filter(cameras=("cam0", "cam1"))
    expected = numbers([record for record in records() if fits(record, where)])
    scanned = [number for batch in store.scan(where, "picture", batch=7) for number in numbers(batch)]
    assert scanned == sorted(expected)
    paged, after = [], None
    while True:
        page, after = store.page(where, 7, after)
        assert len(page) <= 7
        paged += numbers(page)
        if after is None:
            break
    assert paged == sorted(expected)


def test_values_are_counted(store: Store) -> None:
    cameras = [record.payload.get("camera") for record in records()]
    assert store.values("camera", Filter()) == {
        name: cameras.count(name) for name in ("cam0", "cam1", "cam2", "cam3")
    }
    assert store.values("tags", Filter(tags=("bag",))) == {"red": 12, "bag": 12}
    assert store.values("person", Filter(cameras=("none",))) == {}


def test_the_ends_of_times_are_found(store: Store) -> None:
    times = [
        record.payload["time"]
        for record in records()
        if record.payload.get("camera") == "cam1" and "time" in record.payload
    ]
    assert store.value_range(Filter(cameras=("cam1",)), "time") == (min(times), max(times))
    assert store.value_range(Filter(cameras=("none",)), "time") is None


def test_fields_are_set_and_removed(store: Store) -> None:
    store.change([identity(1), identity(2)], {"person": "new", "tags": ["blue"]})
    store.change([identity(2)], {"person": None})
    found = store.get([identity(1), identity(2)])
    assert found[identity(1)].payload["person"] == "new"
    assert "person" not in found[identity(2)].payload
    assert store.count(Filter(tags=("blue",))) == 2
    assert numbers(store.page(Filter(persons=("new",)), 9)[0]) == [1]


def test_what_is_deleted_is_gone(store: Store) -> None:
    store.delete(Filter(cameras=("cam1",)))
    assert store.count(Filter()) == sum(record.payload.get("camera") != "cam1" for record in records())
    assert "cam1" not in store.values("camera", Filter())
    assert store.get([identity(1)]) == {}
    vector = records()[1].vector
    assert vector is not None
    assert 1 not in numbers(store.search(vector[None], Filter(), COUNT)[0])


def test_records_of_the_same_id_are_replaced(store: Store) -> None:
    one = records()[5]
    store.put([Record(one.id, one.payload | {"name": "again"}, -one.vector)])  # type: ignore[operator]
    assert store.count(Filter()) == COUNT
    assert store.get([one.id])[one.id].payload["name"] == "again"


def test_counts_follow_what_is_added(store: Store) -> None:
    assert store.count(Filter(cameras=("cam1",))) == 12
    extra = records()[1]
    store.put([Record(identity(500), extra.payload, extra.vector)])
    assert store.count(Filter(cameras=("cam1",))) == 13


def test_what_is_said_of_a_gallery_is_replaced(backend: StorageBackend) -> None:
    assert backend.read() is None
    backend.write("first")
    backend.write("second")
    assert (backend.read() or "").strip() == "second"


def test_stores_are_listed_and_dropped(backend: StorageBackend, store: Store) -> None:
    backend.make_store("crops-2", Layout(8)).close()
    assert backend.stores() == {"crops-1", "crops-2"}
    backend.drop_store("crops-2")
    backend.drop_store("crops-2")
    assert backend.stores() == {"crops-1"}
    with pytest.raises(UserError, match="damaged"):
        backend.open_store("crops-2")


def test_compaction_keeps_everything(backend: StorageBackend) -> None:
    store = backend.make_store("crops-3", Layout(WIDTH, graph_from=20))
    store.put(records())
    store.compact()
    assert store.count(Filter()) == COUNT
    vectors = np.stack([record.vector for record in records()])
    (found,) = store.search(vectors[:1], Filter(not_cameras=("cam1",)), 5, exact=False)
    kept = [number for number, record in enumerate(records()) if record.payload.get("camera") != "cam1"]
    assert numbers(found) == sorted(kept, key=lambda number: -float(vectors[number] @ vectors[0]))[:5]
    store.close()


@pytest.mark.parametrize(("count", "effort"), [(0, 160), (100_000, 160), (200_000, 269), (1_000_000, 900)])
def test_the_effort_of_a_graph_grows_with_it(count: int, effort: int) -> None:
    assert search_effort(count) == effort


def test_a_graph_on_a_cluster_is_led_by_the_effort_that_its_size_calls_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[models.QueryRequest] = []
    client = QdrantClient(":memory:")
    store = cluster.ClusterBackend(client, "test", "memory").make_store("crops-1", Layout(WIDTH))
    store.put(records())
    answer = client.query_batch_points

    def noting(name: str, requests: list[models.QueryRequest]) -> Any:
        asked.extend(requests)
        return answer(name, requests)

    monkeypatch.setattr(client, "query_batch_points", noting)
    query = records()[0].vector
    assert query is not None
    for limit, exact in ((3, False), (200, False), (3, True)):
        (found,) = store.search(query[None], Filter(), limit, exact=exact)
        assert found[0].id == identity(0)
    efforts = [(request.params.hnsw_ef, request.params.exact) for request in asked if request.params]
    assert efforts == [(160, False), (200, False), (3, True)]
    client.close()

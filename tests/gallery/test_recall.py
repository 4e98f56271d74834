"""Approximate searches find the nearest, whichever filter keeps whatever share of the crops."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from resight.gallery.crops import Filter, NewCrop, to_payload
from resight.gallery.stores.edge import EdgeStore
from resight.gallery.stores.store import Layout, Record

CROPS, WIDTH, EACH, PARTS = 4000, 64, 20, 100
SHARES = (1, 5, 25, 50, 95)
START = 1.7e9


def people(seed: int) -> NDArray[np.float32]:
    """Draw unit vectors [CROPS, WIDTH]: twenty in a row about the same mean, as of one person."""
    means = np.random.default_rng(0).standard_normal((CROPS // EACH, WIDTH)).repeat(EACH, 0)
    vectors = means + np.random.default_rng(seed).standard_normal((CROPS, WIDTH))
    vectors *= (1 + np.arange(WIDTH) / 8) ** -0.75
    vectors += 0.5 * np.linalg.norm(vectors, axis=1).mean() / np.sqrt(WIDTH)
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


VECTORS, QUERIES = people(1), people(2)[:: CROPS // 20]
PART = {
    field: np.random.default_rng(seed).permutation(CROPS) % PARTS
    for seed, field in enumerate(("camera", "source", "tag"))
}
PERSON = np.arange(CROPS) // EACH
TIME = np.random.default_rng(9).permutation(CROPS)


def identity(row: int) -> str:
    return str(uuid.UUID(int=row))


def names(field: str, first: int, last: int) -> tuple[str, ...]:
    return tuple(f"{field} {part}" for part in range(first, last))


def record(row: int) -> Record:
    taken = datetime.fromtimestamp(START + TIME[row], UTC)
    camera, source, tag = (f"{field} {part[row]}" for field, part in PART.items())
    tags = (tag, *(f"up to {share}" for share in SHARES if PART["tag"][row] < share))
    crop = NewCrop(b"", camera, taken, source, "", f"person {PERSON[row]}", tags)
    return Record(identity(row), to_payload(crop, (2, 1), taken), VECTORS[row])


def filters(share: int) -> dict[str, tuple[Filter, NDArray[np.bool_]]]:
    """Return each kind of filter that keeps so many of a hundred crops, and which rows these are."""
    kept = CROPS * share // 100
    rows = np.arange(CROPS)
    ids = tuple(identity(int(row)) for row in np.flatnonzero(kept > TIME))
    others = tuple(identity(int(row)) for row in np.flatnonzero(kept <= TIME))
    end = datetime.fromtimestamp(START + kept, UTC)
    persons = CROPS // EACH * share // 100
    return {
        "camera": (Filter(cameras=names("camera", 0, share)), PART["camera"] < share),
        "not camera": (Filter(not_cameras=names("camera", share, PARTS)), PART["camera"] < share),
        "source": (Filter(sources=names("source", 0, share)), PART["source"] < share),
        "tag": (Filter(tags=(f"up to {share}",)), PART["tag"] < share),
        "person": (Filter(persons=names("person", 0, persons)), persons > PERSON),
        "time": (Filter(before=end), kept > TIME),
        "ids": (Filter(ids=ids), kept > TIME),
        "not ids": (Filter(not_ids=others), kept > TIME),
        "none": (Filter(), rows >= 0),
    }


def recall(store: EdgeStore, where: Filter, kept: NDArray[np.bool_]) -> float:
    """Return the share of the first ten that are found."""
    rows = np.flatnonzero(kept)
    best = [rows[np.argsort(-(VECTORS[rows] @ query))[:10]].tolist() for query in QUERIES]
    found = store.search(QUERIES, where, 10, exact=False)
    hits = [
        len({uuid.UUID(one.id).int for one in some} & set(row)) for some, row in zip(found, best, strict=True)
    ]
    return sum(hits) / sum(map(len, best))


@pytest.fixture(scope="module", params=["without a graph", "by a graph"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeStore]:
    graph_from = None if request.param == "without a graph" else 1000
    made = EdgeStore(tmp_path_factory.mktemp("gallery") / "store", Layout(WIDTH, graph_from))
    made.put([record(row) for row in range(CROPS)])
    made.compact()
    assert (made.facts()["indexed"] == CROPS) == (graph_from is not None)
    yield made
    made.close()


@pytest.mark.parametrize("share", SHARES)
def test_the_nearest_are_found_behind_every_filter(store: EdgeStore, share: int) -> None:
    found = {kind: recall(store, where, kept) for kind, (where, kept) in filters(share).items()}
    assert min(found.values()) >= 0.98, found
    assert found["none"] >= 0.995


@pytest.mark.parametrize("share", SHARES[::-1])
def test_the_nearest_labelled_crops_are_found(store: EdgeStore, share: int) -> None:
    labelled = CROPS * share // 100 > TIME
    store.change([identity(int(row)) for row in np.flatnonzero(~labelled)], {"person": None})
    assert store.count(Filter(labelled=True)) == labelled.sum()
    assert recall(store, Filter(labelled=True), labelled) >= 0.98

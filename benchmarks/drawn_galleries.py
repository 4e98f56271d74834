"""Galleries of drawn vectors, and filters that keep given shares of them."""

import json
import shutil
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.gallery.crops import Filter, NewCrop, to_payload
from resight.gallery.metadata import Metadata, ModelIdentity
from resight.gallery.stores.folder import FolderBackend
from resight.gallery.stores.store import Record

EACH, CAMERAS, SPREAD = 20, 20, 1.0
SHARES = (1, 5, 25, 50, 95)
PICTURE = np.random.default_rng(0).bytes(3000)
"""As large as the JPEG file of a crop of 128 x 64, and as little to be compressed."""
BATCH, START = 256, 1.7e9

Array = NDArray[np.float32]
Rows = NDArray[np.int64]


def draw(crops: int, width: int, seed: int, start: int = 0, spread: float = SPREAD) -> Array:
    """Draw unit vectors [crops, width], of the persons of crops ``start`` on, shuffled.

    As a trained network's lie: on CUHK03, han-small-fast's had a mean of length 0.57, variances about it that
    fall as (1 + place / 8) ** -1.5, and cosines of 0.71 +- 0.13 between crops of one person (here 0.67 +-
    0.06), 0.33 +- 0.09 between those of two (here 0.34 +- 0.10). Independent numbers would leave no crop near
    another person's, and a graph nothing to choose between.
    """
    means = np.random.default_rng([1, start]).standard_normal((crops // EACH + 1, width), np.float32)
    vectors = np.random.default_rng([seed, start]).standard_normal((crops, width), np.float32)
    vectors *= spread
    vectors += means[persons(crops)]
    deviation = (1 + np.arange(width, dtype=np.float32) / 8) ** -0.75
    vectors *= deviation
    shared = np.random.default_rng(2).standard_normal(width, np.float32)
    vectors += shared * np.linalg.norm(deviation) / np.linalg.norm(shared) * np.sqrt((1 + spread**2) / 2)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def persons(crops: int) -> Rows:
    """Return the person of each crop of a part, from 0."""
    return np.random.default_rng(0).permutation(crops) // EACH


def camera(row: int) -> str:
    """Return the camera of a crop: one of 20, the last of which shares its crops with one of 1 %."""
    return "rare" if row % 100 == 99 else f"cam{row % CAMERAS}"


def cameras(count: int) -> tuple[str, ...]:
    """Return the first of the 20 cameras."""
    return tuple(f"cam{number}" for number in range(count))


def filters(crops: int, share: int) -> dict[str, tuple[Filter, NDArray[np.bool_]]]:
    """Return each kind of filter that keeps so many of a hundred crops, and which rows of one part these are.

    Those by person keep crops that lie close together; the others do not depend on the vectors.
    """
    row, kept, person = np.arange(crops), crops * share // 100, persons(crops)
    by_camera = ("rare",) if share == 1 else cameras(share // 5)
    other_cameras = tuple(sorted({"rare", *cameras(CAMERAS)} - set(by_camera)))
    in_camera = np.isin([camera(number) for number in range(100)], by_camera)[row % 100]
    tagged, labelled = row // 11 % 100 < share, row // 11 % 100 < 95
    some = person < share * (crops // EACH) // 100
    ids = [str(uuid.UUID(int=number)) for number in range(crops)]
    return {
        "camera": (Filter(cameras=by_camera), in_camera),
        "not camera": (Filter(not_cameras=other_cameras), in_camera),
        "tag": (Filter(tags=(f"up to {share}",)), tagged),
        "source": (Filter(sources=tuple(f"video {part}" for part in range(share))), row // 7 % 100 < share),
        "person": (
            Filter(persons=tuple(f"p{number}" for number in np.unique(person[some]))),
            some & labelled,
        ),
        "time": (Filter(before=datetime.fromtimestamp(START + kept, UTC)), row < kept),
        "ids": (Filter(ids=tuple(ids[:kept])), row < kept),
        "not ids": (Filter(not_ids=tuple(ids[kept:])), row < kept),
        "labelled": (Filter(labelled=True, tags=(f"up to {share}",)), tagged & labelled),
    }


def build(
    folder: Path,
    parts: Iterable[Array],
    *,
    width: int,
    graph_from: int | None = None,
    picture: bytes = PICTURE,
    camera_normalise: bool = False,
) -> dict[str, float]:
    """Make a gallery of vectors, and its graph, unless it is there; return what that took.

    Args:
        folder: of the gallery.
        parts: the vectors, so many at a time.
        width: numbers a vector.
        graph_from: of the gallery.
        picture: kept with each.
        camera_normalise: of the gallery.
    """
    told = folder.with_suffix(".json")
    if told.exists():
        known: dict[str, float] = json.loads(told.read_text())
        return known
    shutil.rmtree(folder, ignore_errors=True)
    backend = FolderBackend(folder, create=True)
    model = ModelIdentity(fingerprint="0" * 32, name="drawn", width=width)
    metadata = Metadata(
        created=datetime.now(UTC), model=model, graph_from=graph_from, camera_normalise=camera_normalise
    )
    store = backend.make_store(metadata.store, metadata.layout)
    crops, seconds = 0, 0.0
    for vectors in parts:
        begin, person = time.perf_counter(), persons(len(vectors)) + crops // EACH
        for start in range(0, len(vectors), BATCH):
            rows = range(start, min(start + BATCH, len(vectors)))
            store.put([record(crops + row, int(person[row]), vectors[row], picture) for row in rows])
        seconds += time.perf_counter() - begin
        crops += len(vectors)
    begin = time.perf_counter()
    store.flush()
    found = {"adding_ms_a_crop": 1000 * (seconds + time.perf_counter() - begin) / crops}
    if graph_from is not None:
        begin, cpu = time.perf_counter(), time.process_time()
        store.compact()
        found["building_s"] = time.perf_counter() - begin
        found["building_cpu_s"] = time.process_time() - cpu
    store.close()
    backend.write(metadata.model_dump_json())
    backend.close()
    told.write_text(json.dumps(found))
    return found


def record(row: int, person: int, vector: Array, picture: bytes) -> Record:
    """Return a crop as a gallery keeps it; see ``filters``."""
    taken = datetime.fromtimestamp(START + row, UTC)
    part = row // 11 % 100
    tags: Sequence[str] = [f"up to {share}" for share in SHARES if part < share]
    label = f"p{person}" if part < 95 else None
    crop = NewCrop(b"", camera(row), taken, f"video {row // 7 % 100}", f"frame {row}", label, tuple(tags))
    return Record(str(uuid.UUID(int=row)), to_payload(crop, (128, 64), taken), vector, picture)

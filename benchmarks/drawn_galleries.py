"""Galleries of drawn vectors, to be searched by the benchmarks."""

import json
import resource
import shutil
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.gallery.crops import NewCrop, to_payload
from resight.gallery.metadata import Metadata, ModelIdentity
from resight.gallery.stores.folder import FolderBackend
from resight.gallery.stores.store import Record

EACH, CAMERAS, SPREAD = 20, 20, 1.0
PICTURE = np.random.default_rng(0).bytes(3000)
"""As large as the JPEG file of a crop of 128 x 64, and as little to be compressed."""
BATCH = 256
NEVER = 10**9

Array = NDArray[np.float32]


def draw(crops: int, width: int, seed: int, start: int = 0, spread: float = SPREAD) -> Array:
    """Draw unit vectors [crops, width], of the persons of crops ``start`` on, shuffled.

    As a trained network's lie: on CUHK03, han-small-fast's had a mean of length 0.57, variances about it that
    fall as (1 + place / 8) ** -1.5, and cosines of 0.71 +- 0.13 between crops of one person (here 0.67 +-
    0.06), 0.33 +- 0.09 between those of two (here 0.34 +- 0.10). Independent numbers would leave no crop near
    another person's, and a graph nothing to choose between.
    """
    persons = np.random.default_rng(0).permutation(crops) // EACH
    means = np.random.default_rng([1, start]).standard_normal((crops // EACH + 1, width), np.float32)
    vectors = np.random.default_rng([seed, start]).standard_normal((crops, width), np.float32)
    vectors *= spread
    vectors += means[persons]
    deviation = (1 + np.arange(width, dtype=np.float32) / 8) ** -0.75
    vectors *= deviation
    shared = np.random.default_rng(2).standard_normal(width, np.float32)
    vectors += shared * np.linalg.norm(deviation) / np.linalg.norm(shared) * np.sqrt((1 + spread**2) / 2)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def build(
    folder: Path,
    parts: Iterable[Array],
    *,
    width: int,
    graph_from: int = NEVER,
    picture: bytes = PICTURE,
    compacted: bool = True,
) -> dict[str, float]:
    """Make a gallery of vectors, and its graph, unless it is there; return what that took.

    Args:
        folder: of the gallery.
        parts: the vectors, so many at a time.
        width: numbers a vector.
        graph_from: of the gallery.
        picture: kept with each.
        compacted: build the graph.
    """
    told = folder.with_suffix(".json")
    if told.exists():
        known: dict[str, float] = json.loads(told.read_text())
        return known
    shutil.rmtree(folder, ignore_errors=True)
    backend = FolderBackend(folder, create=True)
    model = ModelIdentity(fingerprint="0" * 32, name="drawn", width=width)
    metadata = Metadata(created=datetime.now(UTC), model=model, graph_from=graph_from)
    store = backend.make_store(metadata.store, metadata.layout)
    crops, seconds = 0, 0.0
    for vectors in parts:
        begin = time.perf_counter()
        for start in range(0, len(vectors), BATCH):
            rows = range(start, min(start + BATCH, len(vectors)))
            store.put([record(crops + row, vectors[row], picture) for row in rows])
        seconds += time.perf_counter() - begin
        crops += len(vectors)
    begin = time.perf_counter()
    store.flush()
    found = {"adding_ms_a_crop": 1000 * (seconds + time.perf_counter() - begin) / crops}
    if graph_from < crops and compacted:
        begin, cpu = time.perf_counter(), time.process_time()
        store.compact()
        found["building_s"] = time.perf_counter() - begin
        found["building_cpu_s"] = time.process_time() - cpu
    store.close()
    backend.write(metadata.model_dump_json())
    backend.close()
    found["filling_peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    told.write_text(json.dumps(found))
    return found


def record(row: int, vector: Array, picture: bytes) -> Record:
    """Return a crop as a gallery keeps it."""
    taken = datetime.fromtimestamp(1.7e9 + row, UTC)
    crop = NewCrop(b"", f"cam{row % CAMERAS}", taken, "video.mp4", f"frame {row}", f"p{row // EACH}")
    return Record(str(uuid.UUID(int=row)), to_payload(crop, (128, 64), taken), vector, picture)

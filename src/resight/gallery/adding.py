"""Adding crops: reading their files, decoding, describing and storing them.

Beside a GPU, all of it goes on at the same time. On a CPU all of it needs the same cores, and each layer of a
network ends with the last of its threads, so one that makes room for others holds up all: only files are read
while a network describes; decoding and storing wait.
"""

import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from resight.data.cache import workers
from resight.errors import UserError
from resight.gallery.crops import NewCrop, to_payload
from resight.gallery.metadata import now
from resight.gallery.pictures import Contents
from resight.gallery.stores.store import Record
from resight.imaging import Pixels
from resight.inference.embedder import SupportsEmbedding, unit
from resight.threads import computing_threads

T = TypeVar("T")
U = TypeVar("U")

BATCH = 64

MAX_BATCHES, LONG = 16, 1.0
"""Batches that are decoded before a CPU describes them at most; seconds of describing from which on their
number no longer grows."""

READ_AHEAD_BYTES = 4 * 2**20
"""Bytes of files that one thread reads ahead: hundreds of crops, or a photograph or two."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of crops that were to be added.

    Attributes:
        ids: of each, in order; None for those refused.
        new: how many were added.
        known: how many were in the gallery already.
        refused: name and reason of those that could not be read.
    """

    ids: tuple[str | None, ...] = ()
    new: int = 0
    known: int = 0
    refused: tuple[tuple[str, str], ...] = ()


Reading = tuple[list[NewCrop], list[Future[list[Contents | str | None]]]]
"""Crops, and their files' contents in shares. Of a file that cannot be read, why; None: not read yet."""


@dataclass(frozen=True, slots=True)
class PreparedCrop:
    """A crop that can be described."""

    id: str
    payload: dict[str, Any]
    pixels: Pixels
    jpeg: bytes


def add_crops(
    known: Callable[[Sequence[str]], Container[str]],
    put: Callable[[Sequence[Record]], None],
    embedder: SupportsEmbedding,
    crops: Iterable[NewCrop],
    stored: Callable[[Added], None] = lambda some: None,
) -> Added:
    """Add crops to a store.

    Args:
        known: returns which of these ids the store has.
        put: stores records of unit vectors.
        embedder: describes the crops.
        crops: may be endless.
        stored: called with each part of the crops when it is on the disk.

    Raises:
        UserError: the disk is full; the parts that ``stored`` was called with are in the store.
    """
    source, on_cpu, batches = iter(crops), embedder.on_cpu, 1
    outcomes: dict[str, str | None] = {}  # of the pictures that are new: None, or why one cannot be read
    storing: list[tuple[Future[None], Added]] = []
    total: list[Added] = []
    with (
        computing_threads(workers(), 1, "reader") as readers,
        ThreadPoolExecutor(1) as ahead,
        ThreadPoolExecutor(1) as storer,
    ):

        def read() -> Reading:
            some = list(islice(source, batches * BATCH))
            return some, _shares(readers, _read, some)

        def prepare(reading: Reading) -> tuple[list[PreparedCrop], Added]:
            some = reading[0]
            read = (one for share in reading[1] for one in share.result())
            contents = [one or _content(crop) for crop, one in zip(some, read, strict=True)]
            there = known([one.id for one in contents if isinstance(one, Contents)])
            new: dict[str, tuple[NewCrop, Contents]] = {}
            for crop, one in zip(some, contents, strict=True):
                if isinstance(one, Contents) and one.id not in there and one.id not in outcomes:
                    new.setdefault(one.id, (crop, one))
            shares = _shares(readers, lambda share: _prepare(embedder, share), list(new.values()))
            prepared = [one for share in shares for one in share.result()]
            for name, result in zip(new, prepared, strict=True):
                outcomes[name] = result if isinstance(result, str) else None
            ready = [one for one in prepared if isinstance(one, PreparedCrop)]
            reasons = [one if isinstance(one, str) else outcomes.get(one.id) for one in contents]
            ids = tuple(
                one.id if isinstance(one, Contents) and reason is None else None
                for one, reason in zip(contents, reasons, strict=True)
            )
            refused = tuple((_name(crop), why) for crop, why in zip(some, reasons, strict=True) if why)
            return ready, Added(ids, len(ready), len(some) - len(ready) - len(refused), refused)

        def settle() -> None:
            while storing:
                future, added = storing.pop()
                future.result()
                stored(added)
                total.append(added)

        reading = read()
        following = None if on_cpu else ahead.submit(prepare, reading)
        while reading[0]:
            ready, added = prepare(reading) if following is None else following.result()
            reading = read()
            following = None if on_cpu else ahead.submit(prepare, reading)
            begin = time.monotonic()
            records = _describe(embedder, ready)
            if on_cpu and time.monotonic() - begin < LONG:
                batches = min(2 * batches, MAX_BATCHES)
            settle()
            storing.append((storer.submit(put, records), added))
            if on_cpu:
                settle()
        settle()
    return Added(
        tuple(identity for some in total for identity in some.ids),
        sum(some.new for some in total),
        sum(some.known for some in total),
        tuple(refusal for some in total for refusal in some.refused),
    )


def _shares(readers: Executor, work: Callable[[Sequence[T]], U], items: Sequence[T]) -> list[Future[U]]:
    """Give each thread a share of the items: handing over one by one costs more than reading a file."""
    each = -(-len(items) // workers()) or 1
    return [readers.submit(work, items[first : first + each]) for first in range(0, len(items), each)]


def _read(crops: Sequence[NewCrop]) -> list[Contents | str | None]:
    """Read files, the first ``READ_AHEAD_BYTES`` bytes of them; None: read it later."""
    found: list[Contents | str | None] = []
    held = 0
    for crop in crops:
        one = None if held > READ_AHEAD_BYTES else _content(crop)
        found.append(one)
        held += len(one.raw) if isinstance(one, Contents) else 0
    return found


def _content(crop: NewCrop) -> Contents | str:
    try:
        return Contents.of(crop.picture)
    except UserError as error:
        return str(error)


def _prepare(
    embedder: SupportsEmbedding, some: Sequence[tuple[NewCrop, Contents]]
) -> list[PreparedCrop | str]:
    """Decode and preprocess pictures; of those that cannot be read, return why."""
    found: list[tuple[str, dict[str, Any], bytes] | str] = []
    when = now()

    def decoded() -> Iterator[Pixels]:
        for crop, contents in some:
            try:
                pixels = contents.pixels()
            except UserError as error:
                found.append(str(error))
            else:
                payload = to_payload(crop, pixels.shape[:2], when)
                found.append((contents.id, payload, contents.jpeg(pixels)))
                yield pixels

    ready = iter(embedder.preprocess(decoded()))
    return [
        one if isinstance(one, str) else PreparedCrop(one[0], one[1], next(ready), one[2]) for one in found
    ]


def _describe(embedder: SupportsEmbedding, ready: Sequence[PreparedCrop]) -> list[Record]:
    parts = [ready[first : first + BATCH] for first in range(0, len(ready), BATCH)]
    vectors = (vector for part in parts for vector in unit(embedder([one.pixels for one in part])))
    return [Record(one.id, one.payload, vector, one.jpeg) for one, vector in zip(ready, vectors, strict=True)]


def _name(crop: NewCrop) -> str:
    return crop.name or (str(crop.picture) if isinstance(crop.picture, Path) else "a picture")

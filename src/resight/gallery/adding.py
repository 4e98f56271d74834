"""Adding crops: they are read, described and stored, all at once beside a GPU, in turns on a CPU.

On a CPU all need the same cores, and each layer of a network ends with the last of its threads: one that
makes room for others holds up all. So batches are described, while files of the next ones are read, no more;
then stored, and then the next ones are decoded: both hold the interpreter, and side by side take longer,
unless another process keeps the store.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from resight.data.cache import workers
from resight.errors import UserError
from resight.gallery.crops import NewCrop, to_payload
from resight.gallery.metadata import now
from resight.gallery.pictures import Contents
from resight.gallery.stores.store import Record, Store
from resight.imaging import Pixels
from resight.inference.embedder import Embedder, unit
from resight.threads import computing_threads

T = TypeVar("T")
U = TypeVar("U")

BATCH = 64

TURN, LONG = 16, 1.0
"""Batches that are decoded before a CPU describes them at most; seconds from which on a turn of describing is
long enough."""

READ_AHEAD_BYTES = 4 * 2**20
"""Bytes of files that are read ahead, of one thread's share of a batch: a photograph or two."""


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


Reading = list[Future[list[Contents | str | None]]]
"""Contents of the files of a batch; of those that cannot be read, why; None: not read yet."""


class Seen:
    """Ids that several threads meet."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._lock = Lock()

    def first(self, identity: str) -> bool:
        """Tell whether this is the first time."""
        with self._lock:
            count = len(self._ids)
            self._ids.add(identity)
            return len(self._ids) > count


class Looked(NamedTuple):
    """A batch whose files were read.

    Attributes:
        crops: all of it.
        contents: of each; of those that cannot be read, why.
        new: those that are not in the store yet.
        known: how many are.
    """

    crops: Sequence[NewCrop]
    contents: list[Contents | str]
    new: list[tuple[NewCrop, Contents]]
    known: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A crop that can be described."""

    id: str
    payload: dict[str, Any]
    pixels: Pixels
    jpeg: bytes


def add_crops(
    store: Store,
    embedder: Embedder,
    crops: Iterable[NewCrop],
    stored: Callable[[Added], None] = lambda batch: None,
) -> Added:
    """Add crops to a store.

    Args:
        store: of unit vectors.
        embedder: describes them.
        crops: may be endless.
        stored: is told of each batch when it is on the disk.

    Raises:
        UserError: the disk is full; what was told of before is in the store.
    """
    told: list[Added] = []
    storing: list[tuple[Future[None], Added]] = []
    seen = Seen()
    source = iter(crops)
    turn = 1
    with (
        computing_threads(workers(), 1, "reader") as readers,
        ThreadPoolExecutor(2) as ahead,  # while one waits for its readers, the other does its own part
        ThreadPoolExecutor(1) as behind,
    ):

        def read() -> list[tuple[list[NewCrop], Reading]]:
            some = list(islice(source, turn * BATCH))
            parts = (some[first : first + BATCH] for first in range(0, len(some), BATCH))
            return [(part, _shares(readers, _contents, part)) for part in parts]

        def look(parts: list[tuple[list[NewCrop], Reading]]) -> list[Future[Looked]]:
            return [ahead.submit(_look, store, *part, seen) for part in parts]

        def prepare(looked: list[Future[Looked]]) -> list[Future[tuple[list[Ready], Added]]]:
            return [ahead.submit(_prepare, embedder, one, readers) for one in looked]

        def settle() -> None:
            for put, batch in storing:
                put.result()
                stored(batch)
                told.append(batch)
            storing.clear()

        following = prepare(look(read()))
        while following:
            prepared = [one.result() for one in following]
            if embedder.on_cpu:
                settle()
            reading = read()
            if not embedder.on_cpu:
                following = prepare(look(reading))
            begin = time.monotonic()
            described = [(_describe(embedder, ready), batch) for ready, batch in prepared]
            if time.monotonic() - begin < LONG and embedder.on_cpu:
                turn = min(2 * turn, TURN)
            settle()
            if embedder.on_cpu:
                looked = look(reading)
                wait(looked)  # a store elsewhere would answer only when it has put what it gets now
            storing += [(behind.submit(store.put, records), batch) for records, batch in described]
            if embedder.on_cpu:
                if not store.elsewhere:
                    settle()
                following = prepare(looked)
        settle()
    return Added(
        tuple(identity for batch in told for identity in batch.ids),
        sum(batch.new for batch in told),
        sum(batch.known for batch in told),
        tuple(refusal for batch in told for refusal in batch.refused),
    )


def _look(store: Store, crops: Sequence[NewCrop], reading: Reading, seen: Seen) -> Looked:
    """Tell which pictures of a batch are not in the store yet."""
    read = [one for share in reading for one in share.result()]
    contents = [one or _content(crop) for crop, one in zip(crops, read, strict=True)]
    found = store.get([one.id for one in contents if isinstance(one, Contents)])
    new: list[tuple[NewCrop, Contents]] = []
    known = 0
    for crop, one in zip(crops, contents, strict=True):
        if isinstance(one, Contents):
            if one.id in found or not seen.first(one.id):
                known += 1
            else:
                new.append((crop, one))
    return Looked(crops, contents, new, known)


def _prepare(embedder: Embedder, looked: Future[Looked], readers: Executor) -> tuple[list[Ready], Added]:
    """Decode the new pictures of a batch."""
    crops, contents, new, known = looked.result()
    shares = _shares(readers, lambda share: _ready(embedder, share), new)
    prepared = [one for share in shares for one in share.result()]
    refused = {
        id(crop): reason for (crop, _), reason in zip(new, prepared, strict=True) if isinstance(reason, str)
    }
    refused |= {id(crop): one for crop, one in zip(crops, contents, strict=True) if isinstance(one, str)}
    ready = [one for one in prepared if isinstance(one, Ready)]
    ids = tuple(
        one.id if isinstance(one, Contents) and id(crop) not in refused else None
        for crop, one in zip(crops, contents, strict=True)
    )
    reasons = tuple((_name(crop), refused[id(crop)]) for crop in crops if id(crop) in refused)
    return ready, Added(ids, len(ready), known, reasons)


def _shares(readers: Executor, work: Callable[[Sequence[T]], U], items: Sequence[T]) -> list[Future[U]]:
    """Give each thread a share of the items: handing over one by one costs more than reading a file."""
    each = -(-len(items) // workers()) or 1
    return [readers.submit(work, items[first : first + each]) for first in range(0, len(items), each)]


def _contents(crops: Sequence[NewCrop]) -> list[Contents | str | None]:
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


def _ready(embedder: Embedder, some: Sequence[tuple[NewCrop, Contents]]) -> list[Ready | str]:
    """Decode pictures and make them ready; of those that cannot be read, return why."""
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
    return [one if isinstance(one, str) else Ready(one[0], one[1], next(ready), one[2]) for one in found]


def _describe(embedder: Embedder, ready: Sequence[Ready]) -> list[Record]:
    if not ready:
        return []
    vectors = unit(embedder([one.pixels for one in ready]))
    return [Record(one.id, one.payload, vector, one.jpeg) for one, vector in zip(ready, vectors, strict=True)]


def _name(crop: NewCrop) -> str:
    return crop.name or (str(crop.picture) if isinstance(crop.picture, Path) else "a picture")

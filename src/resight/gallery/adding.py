"""Adding crops: reading, decoding, embedding and storing them.

With a GPU, all of this happens at the same time. On a CPU all steps need the same cores, and each layer of a
network waits for its slowest thread, so other work would slow the whole network down: during embedding only
files are read; decoding and storing wait.
"""

import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from resight.data.cache import workers
from resight.errors import UserError
from resight.gallery.corrections import Difference
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

MAX_BATCHES, LONG_ENOUGH = 16, 1.0
"""Most batches that are decoded before a CPU embeds them; their number grows until embedding them takes this
many seconds."""

READ_AHEAD_BYTES = 4 * 2**20
"""Bytes of files that one thread reads ahead: hundreds of crops, or one or two photographs."""


@dataclass(frozen=True, slots=True)
class Added:
    """The result of adding crops.

    Attributes:
        ids: id of each crop, in order; None for refused ones.
        new: number of crops added.
        known: number of crops that were already in the gallery.
        refused: name and reason of each crop that could not be read.
        erased: name of each crop that was left out because its picture was deleted from the gallery.
        differences: of crops that were already in the gallery, from how they were to be added.
        expired: number of crops that were added although they are older than the retention period.
    """

    ids: tuple[str | None, ...] = ()
    new: int = 0
    known: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    erased: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    expired: int = 0

    @classmethod
    def total(cls, parts: Sequence["Added"]) -> "Added":
        """Return the result of all parts."""
        return cls(
            tuple(identity for part in parts for identity in part.ids),
            sum(part.new for part in parts),
            sum(part.known for part in parts),
            tuple(refusal for part in parts for refusal in part.refused),
            tuple(name for part in parts for name in part.erased),
            tuple(difference for part in parts for difference in part.differences),
            sum(part.expired for part in parts),
        )


Reading = tuple[list[NewCrop], list[Future[list[Contents | str | None]]]]
"""Crops, and the contents of their files in shares: a string says why a file cannot be read, None means not
read yet."""


@dataclass(frozen=True, slots=True)
class PreparedCrop:
    """A crop that is ready to be embedded."""

    id: str
    name: str
    payload: dict[str, Any]
    pixels: Pixels
    jpeg: bytes


Prepared = tuple[list[PreparedCrop], list[tuple[str, NewCrop]], Added]
"""New crops; those that are in the store already, with their ids; and the result once they are stored."""


def add_crops(
    known: Callable[[Sequence[str]], Container[str]],
    put: Callable[[Sequence[Record]], None],
    embedder: SupportsEmbedding,
    crops: Iterable[NewCrop],
    stored: Callable[[Added], None] = lambda some: None,
    *,
    erased: Callable[[Sequence[str]], Container[str]] = lambda ids: (),
    compare: Callable[[Sequence[tuple[str, NewCrop]]], Sequence[Difference]] = lambda known: (),
    expired_before: float | None = None,
) -> Added:
    """Add crops to a store.

    Args:
        known: returns those of the given ids that are in the store.
        put: stores records with unit vectors.
        embedder: embeds the crops.
        crops: may be endless.
        stored: called with the result of each part of the crops once it is on the disk.
        erased: returns those of the given ids that were deleted, and are left out.
        compare: called with the crops that are in the store already; returns their differences.
        expired_before: seconds since 1970 before which crops are older than the retention period.

    Raises:
        UserError: the disk is full; the parts that ``stored`` was called with remain in the store.
    """
    source, on_cpu, batches = iter(crops), embedder.on_cpu, 1
    outcomes: dict[str, str | None] = {}  # of each new picture: None, or why it cannot be read
    storing: list[Future[Added]] = []
    total: list[Added] = []
    with (
        computing_threads(workers(), 1, "reader") as readers,
        ThreadPoolExecutor(1) as ahead,
        ThreadPoolExecutor(1) as storer,
    ):

        def read() -> Reading:
            some = list(islice(source, batches * BATCH))
            return some, _shares(readers, _read, some)

        def prepare(reading: Reading) -> Prepared:
            some = reading[0]
            read = (one for share in reading[1] for one in share.result())
            contents = [one or _content(crop) for crop, one in zip(some, read, strict=True)]
            ids = [one.id for one in contents if isinstance(one, Contents)]
            there = known(ids)
            gone = erased([identity for identity in ids if identity not in there])
            new: dict[str, tuple[NewCrop, Contents]] = {}
            again: list[tuple[str, NewCrop]] = []
            for crop, one in zip(some, contents, strict=True):
                if not isinstance(one, Contents) or one.id in gone:
                    continue
                if one.id in there or one.id in outcomes or one.id in new:
                    again.append((one.id, crop))
                else:
                    new[one.id] = crop, one
            shares = _shares(readers, lambda share: _prepare(embedder, share), list(new.values()))
            prepared = [one for share in shares for one in share.result()]
            for name, result in zip(new, prepared, strict=True):
                outcomes[name] = result if isinstance(result, str) else None
            ready = [one for one in prepared if isinstance(one, PreparedCrop)]
            reasons = [one if isinstance(one, str) else outcomes.get(one.id) for one in contents]
            kept = tuple(
                one.id if isinstance(one, Contents) and reason is None and one.id not in gone else None
                for one, reason in zip(contents, reasons, strict=True)
            )
            refused = tuple((_name(crop), why) for crop, why in zip(some, reasons, strict=True) if why)
            deleted = tuple(
                _name(crop)
                for crop, one in zip(some, contents, strict=True)
                if isinstance(one, Contents) and one.id in gone
            )
            old = sum(one.payload["since"] < (expired_before or 0) for one in ready)
            count = len(some) - len(ready) - len(refused) - len(deleted)
            return ready, again, Added(kept, len(ready), count, refused, deleted, expired=old)

        def store(records: Sequence[Record], again: Sequence[tuple[str, NewCrop]], added: Added) -> Added:
            put(records)
            return replace(added, differences=tuple(compare(again))) if again else added

        def settle() -> None:
            while storing:
                total.append(storing.pop().result())
                stored(total[-1])

        reading = read()
        following = None if on_cpu else ahead.submit(prepare, reading)
        while reading[0]:
            ready, again, added = prepare(reading) if following is None else following.result()
            reading = read()
            following = None if on_cpu else ahead.submit(prepare, reading)
            begin = time.monotonic()
            records = _embed(embedder, ready)
            if on_cpu and time.monotonic() - begin < LONG_ENOUGH:
                batches = min(2 * batches, MAX_BATCHES)
            settle()
            storing.append(storer.submit(store, records, again, added))
            if on_cpu:
                settle()
        settle()
    return Added.total(total)


def _shares(readers: Executor, work: Callable[[Sequence[T]], U], items: Sequence[T]) -> list[Future[U]]:
    """Give each thread a share of the items: passing them one by one would cost more than reading a file."""
    each = -(-len(items) // workers()) or 1
    return [readers.submit(work, items[first : first + each]) for first in range(0, len(items), each)]


def _read(crops: Sequence[NewCrop]) -> list[Contents | str | None]:
    """Read about ``READ_AHEAD_BYTES`` bytes of files; None marks those to read later."""
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
    """Decode and preprocess pictures; return the reason for those that cannot be read."""
    found: list[tuple[str, str, dict[str, Any], bytes] | str] = []
    when = now()

    def decoded() -> Iterator[Pixels]:
        for crop, contents in some:
            try:
                pixels = contents.pixels()
            except UserError as error:
                found.append(str(error))
            else:
                payload = to_payload(crop, pixels.shape[:2], when)
                found.append((contents.id, _name(crop), payload, contents.jpeg(pixels)))
                yield pixels

    ready = iter(embedder.preprocess(decoded()))
    return [one if isinstance(one, str) else PreparedCrop(*one[:3], next(ready), one[3]) for one in found]


def _embed(embedder: SupportsEmbedding, ready: Sequence[PreparedCrop]) -> list[Record]:
    records = []
    for first in range(0, len(ready), BATCH):
        part = ready[first : first + BATCH]
        pictures = [one.pixels for one in part]
        vectors = unit(embedder(pictures), pictures, [one.name for one in part])
        records += [
            Record(one.id, one.payload, vector, one.jpeg) for one, vector in zip(part, vectors, strict=True)
        ]
    return records


def _name(crop: NewCrop) -> str:
    return crop.name or (str(crop.picture) if isinstance(crop.picture, Path) else "a picture")

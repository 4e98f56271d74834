"""Adding crops: read, describe, store, each stage a batch ahead of the next."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from resight.data.cache import workers
from resight.errors import UserError
from resight.gallery.about import now
from resight.gallery.crops import NewCrop, Pixels, to_payload
from resight.gallery.embedder import Embedder, unit
from resight.gallery.pictures import Contents, to_text
from resight.gallery.store import PICTURE, Record, Store

BATCH = 64


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


@dataclass(frozen=True, slots=True)
class Ready:
    """A crop that can be described."""

    crop: NewCrop
    id: str
    pixels: Pixels
    jpeg: bytes
    size: tuple[int, int]


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
    seen: set[str] = set()
    with (
        ThreadPoolExecutor(workers()) as readers,
        ThreadPoolExecutor(1) as ahead,
        ThreadPoolExecutor(1) as behind,
    ):
        last: Future[None] | None = None
        for ready, batch in _ahead(ahead, lambda part: _prepare(store, embedder, part, seen, readers), crops):
            records = _describe(embedder, ready)
            if last is not None:
                last.result()
                stored(told[-1])
            last = behind.submit(store.put, records)
            told.append(batch)
        if last is not None:
            last.result()
            stored(told[-1])
    return Added(
        tuple(identity for batch in told for identity in batch.ids),
        sum(batch.new for batch in told),
        sum(batch.known for batch in told),
        tuple(refusal for batch in told for refusal in batch.refused),
    )


def _ahead(
    executor: Executor,
    prepare: Callable[[Sequence[NewCrop]], tuple[list[Ready], Added]],
    crops: Iterable[NewCrop],
) -> Iterator[tuple[list[Ready], Added]]:
    """Yield prepared batches, while the next one is being prepared."""
    source = iter(crops)
    following: Future[tuple[list[Ready], Added]] | None = None
    while part := list(islice(source, BATCH)):
        current, following = following, executor.submit(prepare, part)
        if current is not None:
            yield current.result()
    if following is not None:
        yield following.result()


def _prepare(
    store: Store, embedder: Embedder, crops: Sequence[NewCrop], seen: set[str], readers: Executor
) -> tuple[list[Ready], Added]:
    """Read the pictures of a batch, and decode those that are not in the store yet."""
    contents = list(readers.map(_contents, crops))
    found = store.get([one.id for one in contents if isinstance(one, Contents)])
    new: list[tuple[NewCrop, Contents]] = []
    known = 0
    for crop, one in zip(crops, contents, strict=True):
        if isinstance(one, Contents):
            if one.id in found or one.id in seen:
                known += 1
            else:
                seen.add(one.id)
                new.append((crop, one))
    prepared = list(readers.map(lambda pair: _ready(embedder, *pair), new))
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


def _contents(crop: NewCrop) -> Contents | str:
    try:
        return Contents.of(crop.picture)
    except UserError as error:
        return str(error)


def _ready(embedder: Embedder, crop: NewCrop, contents: Contents) -> Ready | str:
    try:
        pixels = contents.pixels()
    except UserError as error:
        return str(error)
    size = pixels.shape[0], pixels.shape[1]
    return Ready(crop, contents.id, embedder.ready(pixels), contents.jpeg(pixels), size)


def _describe(embedder: Embedder, ready: Sequence[Ready]) -> list[Record]:
    if not ready:
        return []
    vectors = unit(embedder([one.pixels for one in ready]))
    when = now()
    return [
        Record(one.id, to_payload(one.crop, one.size, when) | {PICTURE: to_text(one.jpeg)}, vector)
        for one, vector in zip(ready, vectors, strict=True)
    ]


def _name(crop: NewCrop) -> str:
    return crop.name or (str(crop.picture) if isinstance(crop.picture, Path) else "a picture")

"""Copying crops to a new store: to drop all traces of forgotten crops, or to change the model."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from resight.gallery.cameras import MEAN
from resight.gallery.crops import Filter
from resight.gallery.stores.store import Record, Store
from resight.imaging import decode
from resight.inference.embedder import SupportsEmbedding, unit

BATCH = 64


def copy_crops(
    old: Store,
    new: Store,
    changing: AbstractContextManager[object],
    embedder: SupportsEmbedding | None = None,
    done: Callable[[int], None] = lambda crops: None,
    change: Callable[[list[Record]], list[Record]] = list,
) -> int:
    """Copy all crops that a store lacks from another one, and delete those that the other one does not have.

    Meanwhile, crops may be changed and deleted in both stores, and added to the old one.

    Args:
        old: store to copy from.
        new: store to copy to.
        changing: lock for changes of crops.
        embedder: embeds the pictures again; None copies the vectors.
        done: called with the number of further crops of the old store that were processed.
        change: applied to the records before they are put into the new store.

    Returns:
        number of crops copied.
    """
    count = 0
    for records in old.scan(Filter(), batch=BATCH):
        there = new.get([record.id for record in records])
        missing = [record.id for record in records if record.id not in there]
        embedded = [] if embedder is None else _embedded(old.get(missing, "picture").values(), embedder)
        with changing:
            if embedder is None:
                copies = change(list(old.get(missing, "vector").values()))
            else:
                left = old.get(missing)
                copies = change(
                    [replace(one, payload=_fields(left[one.id])) for one in embedded if one.id in left]
                )
            new.put(copies)
        count += len(copies)
        done(len(records))
    with changing:
        if new.count(Filter()) > old.count(Filter()):  # a process was killed while deleting crops in both
            for records in new.scan(Filter()):
                left = old.get([record.id for record in records])
                if gone := tuple(record.id for record in records if record.id not in left):
                    new.delete(Filter(ids=gone))
    new.flush()
    return count


def _fields(record: Record) -> dict[str, Any]:
    """Return the fields of a record without that of its old vector."""
    return {field: value for field, value in record.payload.items() if field != MEAN}


def _embedded(records: Iterable[Record], embedder: SupportsEmbedding) -> list[Record]:
    """Return the records that have a picture, with new vectors."""
    some = [(record, record.picture) for record in records if record.picture]
    if not some:
        return []
    pictures = embedder.preprocess(decode(picture) for _, picture in some)
    vectors = unit(embedder(pictures), pictures, [f"the crop {record.id}" for record, _ in some])
    return [replace(record, vector=vector) for (record, _), vector in zip(some, vectors, strict=True)]

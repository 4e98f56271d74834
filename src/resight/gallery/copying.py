"""Copying crops into a new store: without what is left of forgotten ones, or for another model."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace

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
) -> int:
    """Put every crop of a store into another one that lacks it, and delete there what the first one lacks.

    Crops may be changed and deleted in both meanwhile, and added to the first.

    Args:
        old: store of crops.
        new: store that they go to.
        changing: held by whoever changes crops.
        embedder: describes the pictures anew; None keeps the vectors.
        done: called with how many more crops of the old store were looked at.

    Returns:
        how many were copied.
    """
    count = 0
    for records in old.scan(Filter(), batch=BATCH):
        there = new.get([record.id for record in records])
        missing = [record.id for record in records if record.id not in there]
        described = [] if embedder is None else _described(old.get(missing, "picture").values(), embedder)
        with changing:
            if embedder is None:
                copies = list(old.get(missing, "vector").values())
            else:
                left = old.get(missing)
                copies = [replace(one, payload=left[one.id].payload) for one in described if one.id in left]
            new.put(copies)
        count += len(copies)
        done(len(records))
    with changing:
        if new.count(Filter()) > old.count(Filter()):  # a process died while it deleted crops in both
            for records in new.scan(Filter()):
                left = old.get([record.id for record in records])
                if gone := tuple(record.id for record in records if record.id not in left):
                    new.delete(Filter(ids=gone))
    new.flush()
    return count


def _described(records: Iterable[Record], embedder: SupportsEmbedding) -> list[Record]:
    """Return the records that have a picture, with its vector."""
    some = [(record, record.picture) for record in records if record.picture]
    if not some:
        return []
    vectors = unit(embedder(embedder.preprocess(decode(picture) for _, picture in some)))
    return [replace(record, vector=vector) for (record, _), vector in zip(some, vectors, strict=True)]

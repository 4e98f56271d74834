"""Re-embedding: the kept pictures, described by another model, into a new store beside the old one."""

from collections.abc import Callable
from dataclasses import replace

from resight.errors import UserError
from resight.gallery.adding import BATCH
from resight.gallery.crops import Filter
from resight.gallery.stores.store import Store
from resight.imaging import decode
from resight.inference.embedder import SupportsEmbedding, unit


def reembed_crops(
    old: Store, new: Store, embedder: SupportsEmbedding, done: Callable[[int], None] = lambda crops: None
) -> int:
    """Describe every crop of a store that another one does not have yet, and put it there.

    Args:
        old: store of crops with pictures.
        new: store that they go to.
        embedder: of the new model.
        done: is told how many crops of the old store were looked at.

    Returns:
        how many were described.
    """
    count = 0
    for records in old.scan(Filter(), "picture", batch=BATCH):
        there = new.get([record.id for record in records])
        missing = [record for record in records if record.id not in there and record.picture]
        if missing:
            pictures = (decode(record.picture or b"") for record in missing)
            vectors = unit(embedder(embedder.preprocess(pictures)))
            new.put([replace(record, vector=vector) for record, vector in zip(missing, vectors, strict=True)])
        count += len(missing)
        done(len(records))
    new.flush()
    return count


def next_name(name: str) -> str:
    """Return the name of the store after this one: ``crops-2`` after ``crops-1``."""
    kind, _, number = name.rpartition("-")
    return f"{kind}-{int(number) + 1}"


def refuse_same(fingerprint: str, wanted: str, place: str) -> None:
    """Refuse to change a gallery to the model that it is of."""
    if fingerprint == wanted:
        raise UserError(f"The gallery {place} is of this model already.")

"""Ids of deleted crops, remembered so that the same pictures do not come back when they are added again.

An id is derived from a picture, so whoever has the picture can compute it. What is kept is the id's HMAC
under a random key of the gallery: without the key, it does not tell which picture was deleted.
"""

import hmac
import uuid
from collections.abc import Iterable, Sequence
from functools import cached_property

from resight.gallery.stores.store import ErasureStore


class ErasedIds:
    """The ids of a gallery's deleted crops.

    Args:
        store: of the key and the HMACs.
    """

    def __init__(self, store: ErasureStore) -> None:
        self._store = store

    def remember(self, ids: Iterable[str]) -> None:
        """Remember ids; on return, they survive the end of this process."""
        self._store.add_erased([self._hmac(identity) for identity in ids])

    def among(self, ids: Sequence[str]) -> set[str]:
        """Return those of the given ids that are remembered."""
        given = {self._hmac(identity): identity for identity in ids}
        return {given[found] for found in self._store.read_erased(list(given))}

    def drop(self, ids: Iterable[str]) -> None:
        """Remember these ids no longer."""
        self._store.remove_erased([self._hmac(identity) for identity in ids])

    @cached_property
    def _key(self) -> bytes:
        return self._store.erasure_key()

    def _hmac(self, identity: str) -> bytes:
        """Return the first 16 bytes of an id's HMAC-SHA256."""
        return hmac.digest(self._key, uuid.UUID(identity).bytes, "sha256")[:16]

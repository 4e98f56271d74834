"""Random streams that depend on names, not on the order of calls, so each can be repeated alone."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed for the named stream: ``derive_seed(seed, "augment", step)``."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1

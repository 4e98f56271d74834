"""Pickles as Python 2 wrote them: what CIFAR-100's archive for Python is made of."""

import struct
from typing import Any

import numpy as np


def python2_pickle(content: Any) -> bytes:
    """Return a pickle of protocol 2 with text as bytes and NumPy's old names."""
    return b"\x80\x02" + _emit(content) + b"."


def _emit(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_emit(key) + _emit(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_emit, value)) + b"e"
    if isinstance(value, np.ndarray):
        made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + _emit(b"b") + b"\x87R"
        kind = b"cnumpy\ndtype\n" + _emit(value.dtype.str[1:]) + b"K\x00K\x01\x87R"
        kind += b"(K\x03" + _emit("|") + b"NNN" + _emit(-1) + _emit(-1) + b"K\x00tb"
        shape = b"(" + b"".join(map(_emit, value.shape)) + b"t"
        return made + b"(K\x01" + shape + kind + b"\x89" + _emit(value.tobytes()) + b"tb"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    raw = value if isinstance(value, bytes) else value.encode("ascii")
    return b"T" + struct.pack("<i", len(raw)) + raw

"""Reading pickles of plain data without running any code that they name.

A pickle is a program: the ordinary reader calls any function that the file names. Some data sets are still
published as pickles, of dictionaries, lists, text, numbers and arrays of bytes. This reads only these. Arrays
are read by a class of this module: not even NumPy's functions are called with arguments from the file.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import UserError


def read_plain_pickle(path: Path) -> dict[str, Any]:
    """Return the dictionary that the file holds: keys as text, arrays as uint8, text of Python 2 as bytes.

    Raises:
        UserError: the file cannot be read, is cut short, has other contents, or names a class or function
            that plain data do not need (which is not called).
    """
    try:
        with path.open("rb") as file:
            content = _PlainUnpickler(file, encoding="bytes").load()
    except UserError as error:
        raise UserError(f"{path} {error}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except Exception as error:  # a damaged pickle makes the reader raise nearly anything
        raise UserError(f"{path} is cut short, damaged, or no pickle of plain data: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no dictionary, but {type(content).__name__}.")
    return {
        as_text(key): value.values if isinstance(value, _Array) else value for key, value in content.items()
    }


def as_text(value: object) -> str:
    """Return text that Python 2 may have stored as bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class _Bytes:
    """Replaces ``numpy.dtype``; accepts only uint8."""

    def __init__(self, name: object, *_: object) -> None:
        if name not in (b"u1", "u1"):
            raise ValueError(f"its array is of {name!r}; bytes (u1) were expected")

    def __setstate__(self, state: object) -> None:
        """Ignore the byte order: each number has one byte."""


class _Array:
    """Replaces an array; the file creates it empty and then sets its state."""

    def __init__(self, *_: object) -> None:
        self.values = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[object, tuple[int, ...], object, object, object]) -> None:
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Bytes) or not isinstance(data, bytes):
            raise ValueError("its array is not one of bytes")
        self.values = np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


PLAIN: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # as NumPy 2 writes it
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Bytes,
}
"""What a file may name -> what replaces it."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PLAIN:
            raise UserError(
                f"names {module}.{name}, which plain data do not need: another program that reads this file "
                "might run it. Nothing was run here. Take the archive again from its owners."
            )
        return PLAIN[module, name]

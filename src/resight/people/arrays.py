"""Names for NumPy arrays by content; shapes are in the docstrings."""

from typing import Any

import numpy.typing as npt

Floats = npt.NDArray[Any]
Integers = npt.NDArray[Any]
Flags = npt.NDArray[Any]

"""Names for numpy arrays by what they hold; shapes stand in the docstrings."""

from typing import Any

import numpy.typing as npt

Floats = npt.NDArray[Any]
Integers = npt.NDArray[Any]
Flags = npt.NDArray[Any]

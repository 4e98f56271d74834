"""Reading MATLAB files, up to version 7."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError


def open_matlab(path: Path) -> tuple[list[str], Callable[[str], NDArray[Any]]]:
    """Return the names of the arrays in a file, and the function that reads one of them.

    Raises:
        UserError: the file is no MATLAB file, damaged, or of version 7.3.
    """
    from scipy.io import loadmat, whosmat  # takes a while to import

    try:
        names = [name for name, _, _ in whosmat(path)]
    except NotImplementedError:  # SciPy's answer to the HDF5 of version 7.3
        raise UserError(
            f"{path} has the format of MATLAB 7.3, which is not read. Save it with save(..., '-v7'), or by "
            "scipy.io.savemat."
        ) from None
    except Exception as error:  # the reader of a damaged file raises nearly anything
        raise UserError(f"{path} is not a .mat file, or it is damaged: {error}.") from error

    def read(name: str) -> NDArray[Any]:
        if name not in names:
            raise UserError(f"{path} has no array '{name}'. It has: {', '.join(names) or 'none'}.")
        return np.asarray(loadmat(path, variable_names=[name])[name])

    return names, read


def read_matlab(path: Path, name: str) -> NDArray[Any]:
    """Return an array of a file.

    Raises:
        UserError: as by ``open_matlab``; or there is no array of this name.
    """
    return open_matlab(path)[1](name)

"""Feature files from any toolkit: .npz archives, and folders of memory-mapped .npy files."""

import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError

if TYPE_CHECKING:
    from resight.evaluation.embedded import Embedded

LABELS = ("persons", "cameras", "items", "clothes")
FINGERPRINT = "fingerprint"
WHY = {
    "features": "there is nothing to compare",
    "persons": "the persons of its crops are unknown, and they cannot be scored",
}
HELP = (
    "Give an .npz archive with the arrays features [N, D] and persons [N] and, if known, cameras [N] and "
    "items [N]; or a folder with features.npy, persons.npy and so on."
)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return features as floats [N, D] and labels as int64 [N] from an archive or a folder.

    Features in a folder are memory-mapped if they are contiguous floats in this machine's byte order. No file
    can execute code: arrays of Python objects are refused.

    Args:
        path: an .npz archive; or a folder with features.npy, persons.npy and, if known, cameras.npy and
            items.npy; or the features.npy in it.

    Raises:
        UserError: there is no such file, it is damaged, an array is missing, or has the wrong type or shape.
    """
    if path.is_dir() or (path.name == "features.npy" and path.is_file()):
        arrays = _read_folder(folder_of(path))
    else:
        arrays = _read_archive(path)
    features = _features(path, arrays.pop("features"))
    labels = {name: _labels(path, name, array, len(features)) for name, array in arrays.items()}
    return {"features": features, **labels}


def read_features(path: Path) -> NDArray[Any]:
    """Return only features, memory-mapped, from a .npy file or from features.npy in a folder."""
    file = path / "features.npy" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"There is no file {file}. Give a .npy file of features [N, D], or a folder of one.")
    if zipfile.is_zipfile(file):
        raise UserError(f"{file} is an archive. Give a .npy file of features [N, D], or a folder of one.")
    return _features(file, _load(file, "features", file))


def read_fingerprint(path: Path) -> str | None:
    """Return the fingerprint of the model that computed the features; None if the file has none.

    It is in ``info.json`` of a folder of ``resight embed``, or may be the array ``fingerprint`` of an
    archive.

    Raises:
        UserError: ``resight embed`` has not finished the folder, or the array is not a string.
    """
    from resight.features.folder import read_info

    folder = folder_of(path)
    if folder.is_dir():
        info = read_info(folder)
        return None if info is None else str(info["fingerprint"])
    if not zipfile.is_zipfile(path):
        return None
    with np.load(path, allow_pickle=False) as archive:
        if FINGERPRINT not in archive:
            return None
        found = _guarded(partial(archive.__getitem__, FINGERPRINT), FINGERPRINT, path)
    if found.size != 1 or found.dtype.kind not in "US":
        raise UserError(f"'{FINGERPRINT}' in {path} must be one string; got {found.dtype} {found.shape}.")
    return str(found.astype(str).item())


def refuse_mixed(*paths: Path) -> None:
    """Refuse feature files of different models.

    Raises:
        UserError: two fingerprints differ; or ``resight embed`` has not finished a folder.
    """
    known = {path: name for path in paths if (name := read_fingerprint(path)) is not None}
    for path, name in known.items():
        first, expected = next(iter(known.items()))
        if name != expected:
            raise UserError(
                f"{first} and {path} are of different models (fingerprints {expected[:8]} and {name[:8]}), "
                "so distances between them are meaningless. Embed both with the same run, views and "
                "branches: resight embed RUN --data DATA --out DIR"
            )


def folder_of(path: Path) -> Path:
    """Return the folder of a features.npy; other paths are returned unchanged."""
    return path.parent if path.name == "features.npy" else path


def embed(arrays: dict[str, NDArray[Any]]) -> "Embedded":
    """Return arrays as tensors that share their memory or memory map."""
    import torch

    from resight.evaluation.embedded import Embedded

    return Embedded(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def _read_folder(folder: Path) -> dict[str, NDArray[Any]]:
    files = {name: folder / f"{name}.npy" for name in ("features", *LABELS)}
    for name in ("features", "persons"):
        if not files[name].is_file():
            raise UserError(f"There is no {name}.npy in {folder}, so {WHY[name]}. {HELP}")
    return {name: _load(file, name, folder) for name, file in files.items() if file.is_file()}


def _load(file: Path, name: str, named: Path) -> NDArray[Any]:
    def read() -> NDArray[Any]:
        array: NDArray[Any] = np.load(file, mmap_mode="c", allow_pickle=False)
        return array

    return _guarded(read, name, named)


def _read_archive(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise UserError(f"There is no file {path}. {HELP}")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not an .npz archive, or it is cut short. {HELP}")
    arrays = {}
    with np.load(path, allow_pickle=False) as archive:
        for name in ("features", *LABELS):
            if name in archive:
                arrays[name] = _guarded(partial(archive.__getitem__, name), name, path)
            elif name in ("features", "persons"):
                there = ", ".join(f"'{name}'" for name in archive.files) or "none"
                raise UserError(f"{path} has no array '{name}'; there are: {there}. {HELP}")
    return arrays


def _guarded(read: Callable[[], NDArray[Any]], name: str, path: Path) -> NDArray[Any]:
    try:
        return read()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"'{name}' in {path} is damaged, or contains Python objects instead of numbers. {HELP}"
        ) from error


def _features(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim != 2:
        raise UserError(f"'features' in {path} must be [N, D], a row per crop; got the shape {array.shape}.")
    # small integers (quantised features) are converted to floats; other types are refused
    kind = np.result_type(array.dtype, np.float16) if array.dtype.kind in "iuf" else array.dtype
    if kind not in (np.float16, np.float32, np.float64):
        raise UserError(f"'features' in {path} must be numbers of up to 64 bits; got the type {array.dtype}.")
    return np.ascontiguousarray(array, kind)  # does not copy if nothing changes


def _labels(path: Path, name: str, array: NDArray[Any], crops: int) -> NDArray[np.int64]:
    if array.shape != (crops,):
        raise UserError(
            f"'{name}' in {path} must be [N], one entry for each of the {crops:,} features; "
            f"got the shape {array.shape}."
        )
    if array.dtype.kind not in "iu" or not np.can_cast(array.dtype, np.int64):
        raise UserError(f"'{name}' in {path} must be whole numbers (int64); got the type {array.dtype}.")
    return array.astype(np.int64)

"""Features from any toolkit, checked: floats and whole numbers, one row for each crop."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.commands.feature_formats import HELP, NamedArrays, open_arrays
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.evaluation.embedded import Embedded

Arrays = dict[str, NDArray[Any]]
FINGERPRINT = "fingerprint"


def read_arrays(path: Path) -> Arrays:
    """Return features as floats [N, D] and labels as int64 [N] from a file or folder (see ``open_arrays``).

    Features in ``.npy`` files are memory-mapped if they are contiguous floats in this machine's byte order.

    Raises:
        UserError: there is no such file, it is damaged, an array is missing, or has the wrong type or shape.
    """
    arrays = _read_side(open_arrays(folder_of(path)), "gallery")
    _number_names([arrays], [path])
    return arrays


def read_sides(query: Path, gallery: Path | None) -> tuple[Arrays, Arrays]:
    """Return the arrays of queries and gallery, as ``read_arrays`` does, with labels that fit each other.

    Args:
        query: file or folder of the queries.
        gallery: file or folder of the gallery; None if the first one has both. If both are the same and it
            has one side, each query is the gallery crop of its row.

    Raises:
        UserError: see ``read_arrays``; or labels are names in one of them and numbers in the other.
    """
    paths = folder_of(query), folder_of(query if gallery is None else gallery)
    files = [open_arrays(paths[0])]
    same = gallery is None or (paths[1].exists() and paths[0].samefile(paths[1]))
    files += [] if same else [open_arrays(paths[1])]
    if gallery is None and not files[0].has_both_sides:
        raise UserError(
            f"{query} does not have both queries and a gallery; there are: {files[0].describe()}. Give the "
            "gallery as a second file, or arrays such as query_features and gallery_features."
        )
    sides = _read_side(files[0], "query"), _read_side(files[-1], "gallery")
    if same and not files[0].has_both_sides:
        for side in sides:
            side["items"] = np.arange(len(side["features"]))
    _number_names(sides, paths)
    return sides


def read_features(path: Path) -> NDArray[Any]:
    """Return only features, memory-mapped, from a .npy file or from features.npy in a folder."""
    file = path / "features.npy" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"There is no file {file}. Give a .npy file of features [N, D], or a folder of one.")
    if zipfile.is_zipfile(file):
        raise UserError(f"{file} is an archive. Give a .npy file of features [N, D], or a folder of one.")
    load = NamedArrays(file, ["features"], lambda _: np.load(file, mmap_mode="c", allow_pickle=False)).load
    return _features(file, load("features"))


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
    if path.suffix.lower() in (".pt", ".pth") or not zipfile.is_zipfile(path):
        return None
    file = open_arrays(path)
    if FINGERPRINT not in file.names:
        return None
    found = file.load(FINGERPRINT)
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


def _read_side(file: NamedArrays, side: str) -> Arrays:
    """Return the arrays of a side; labels are int64 or text."""
    names = file.find(side)
    for name, reason in (
        ("features", "there is nothing to compare"),
        ("persons", "the persons of its crops are unknown, and they cannot be scored"),
    ):
        if name not in names:
            raise UserError(
                f"{file.path} has no array '{name}'; there are: {file.describe()}. So {reason}. {HELP}"
            )
    features = _features(file.path, file.load(names.pop("features")))
    labels = {
        name: _labels(file.path, own_name, file.load(own_name), len(features))
        for name, own_name in names.items()
    }
    return {"features": features, **labels}


def _features(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim != 2:
        raise UserError(f"'features' in {path} must be [N, D], a row per crop; got the shape {array.shape}.")
    # small integers (quantised features) are converted to floats; other types are refused
    kind = np.result_type(array.dtype, np.float16) if array.dtype.kind in "iuf" else array.dtype
    if kind not in (np.float16, np.float32, np.float64):
        raise UserError(f"'features' in {path} must be numbers of up to 64 bits; got the type {array.dtype}.")
    return np.ascontiguousarray(array, kind)  # does not copy if nothing changes


def _labels(path: Path, name: str, array: NDArray[Any], crops: int) -> NDArray[Any]:
    """Return labels as int64 [N], or as text."""
    if array.ndim == 2 and array.size == max(array.shape) == crops:
        array = array.reshape(-1)  # a row or a column of a matrix, as MATLAB has it
    if array.shape != (crops,):
        raise UserError(
            f"'{name}' in {path} must be [N], one entry for each of the {crops:,} features; "
            f"got the shape {array.shape}."
        )
    if array.dtype.kind == "O":  # cells of MATLAB, text of Parquet
        array = np.array([np.squeeze(cell).item() if np.size(cell) == 1 else "" for cell in array])
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "U":
        if len(empty := np.flatnonzero(np.char.strip(array) == "")):
            raise UserError(f"'{name}' in {path} is empty for {len(empty):,} crops, such as row {empty[0]}.")
        return array
    if array.dtype.kind not in "iuf":
        raise UserError(f"'{name}' in {path} must be whole numbers or text; got the type {array.dtype}.")
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    largest = 2**53 if array.dtype.kind == "f" else np.iinfo(np.int64).max
    if len(wrong := np.flatnonzero((whole != array) | (array > largest))):
        raise UserError(
            f"'{name}' in {path} must be whole numbers (int64) or text; got {array[wrong[0]]} in row "
            f"{wrong[0]}."
        )
    return whole


def _number_names(sides: Sequence[Arrays], paths: Sequence[Path]) -> None:
    """Replace labels that are text by numbers: their own, or if they are names, the same for all sides."""
    for name in ("persons", "cameras", "items", "clothes"):
        texts = [side[name] for side in sides if name in side and side[name].dtype.kind == "U"]
        unique = sorted({text.strip() for text in np.concatenate(texts).tolist()}) if texts else []
        numbers = {text: int(text) for text in unique if re.fullmatch(r"[-+]?\d{1,18}", text)}
        if len(numbers) < len(unique):
            if len(texts) < sum(name in side for side in sides):
                strange = next(text for text in unique if text not in numbers)
                raise UserError(
                    f"'{name}' are numbers in one of {' and '.join(map(str, paths))}, and names such as "
                    f"'{strange}' in the other. Give numbers or the same names in both."
                )
            kept = {
                text: number for text, number in numbers.items() if name == "persons" and number in (-1, 0)
            }
            named = [text for text in unique if text not in kept]
            numbers = kept | {text: number for number, text in enumerate(named, 1)}
            marks = (
                f" '{text}' marks {'junk' if number else 'distractors'}." for text, number in kept.items()
            )
            say(f"Note: '{name}' are {len(named):,} names, such as '{named[0]}'.{''.join(marks)}")
        for side in sides:
            if name in side and side[name].dtype.kind == "U":
                side[name] = np.array([numbers[text.strip()] for text in side[name].tolist()], np.int64)

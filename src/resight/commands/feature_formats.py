"""Files of features from other tools: arrays by name, each read when it is needed. No file can run code."""

import csv
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.data.matlab import open_matlab
from resight.errors import UserError
from resight.progress import say

Array = NDArray[Any]

ALIASES: Mapping[str, tuple[str, ...]] = {
    "features": ("features", "feature", "feats", "feat", "f", "embeddings", "embedding", "vectors"),
    "persons": ("persons", "person", "personids", "personid", "pids", "pid", "labels", "label"),
    "cameras": ("cameras", "camera", "cameraids", "cameraid", "camids", "camid", "cams", "cam"),
    "items": ("items",),
    "clothes": ("clothes", "clothesids", "clothesid", "clothids", "clothid"),
}
"""Array -> its names in other toolkits' files, without capitals and punctuation."""

SIDES: Mapping[str, tuple[str, ...]] = {"query": ("query", "q"), "gallery": ("gallery", "g")}
"""Side -> prefixes of its arrays' names, where one file has both sides."""

HELP = (
    "Give an .npz archive, a .mat, .pt, .csv or .parquet file, or a folder of .npy files, with the arrays "
    "features [N, D] and persons [N] and, if known, cameras [N] and items [N]."
)
NAMED = 8
"""Number of arrays that a message names."""


@dataclass(frozen=True, slots=True)
class NamedArrays:
    """The arrays in a file or folder.

    Attributes:
        path: the file or folder.
        names: their names there.
        read: reads the array of a name.
    """

    path: Path
    names: Sequence[str]
    read: Callable[[str], Array]

    def find(self, side: str) -> dict[str, str]:
        """Return the names of the arrays of a side, ``query`` or ``gallery``, by their names in ``ALIASES``.

        A file with only one side has them without a prefix.

        Raises:
            UserError: it has two arrays for the same purpose.
        """
        found = self._with_prefix(SIDES[side])
        return found if "features" in found else self._with_prefix(("",))

    @property
    def has_both_sides(self) -> bool:
        """Whether it has features of queries and of a gallery."""
        return all("features" in self._with_prefix(prefixes) for prefixes in SIDES.values())

    def load(self, name: str) -> Array:
        """Read an array.

        Raises:
            UserError: it is damaged, or contains objects instead of numbers and text.
        """
        try:
            return self.read(name)
        except UserError:
            raise
        except Exception as error:  # readers of damaged files raise nearly anything
            raise UserError(
                f"'{name}' in {self.path} is damaged, or contains Python objects instead of numbers. {HELP}"
            ) from error

    def describe(self) -> str:
        """Return the names of its arrays, for messages."""
        names = ", ".join(f"'{name}'" for name in self.names[:NAMED]) or "none"
        return names + (f" and {len(self.names) - NAMED} more" if len(self.names) > NAMED else "")

    def _with_prefix(self, prefixes: Iterable[str]) -> dict[str, str]:
        result = {}
        for kind, aliases in ALIASES.items():
            wanted = {prefix + alias for prefix in prefixes for alias in aliases}
            found = [name for name in self.names if _plain(name) in wanted]
            if kind in found:  # our own name
                found = [kind]
            if len(found) > 1:
                named = " and ".join(f"'{name}'" for name in found)
                raise UserError(f"{self.path} has several arrays of {kind}: {named}. Keep one of them.")
            if found:
                result[kind] = found[0]
        return result


def open_arrays(path: Path) -> NamedArrays:
    """Open a file or folder of features; which format it has follows from its suffix.

    Args:
        path: an ``.npz`` archive; a ``.mat``, ``.pt``, ``.csv`` or ``.parquet`` file; a folder of ``.npy``
            files; or an ``.npy`` file of features with its labels beside it, such as ``query_f.npy`` and
            ``query_label.npy``.

    Raises:
        UserError: there is no such file, it is damaged, or the package that reads it is not installed.
    """
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.npy"))}
        return _npy_files(path, files)
    if not path.is_file():
        raise UserError(f"There is no file {path}. {HELP}")
    readers = {
        ".npy": _beside,
        ".mat": _matlab,
        ".pt": _pytorch,
        ".pth": _pytorch,
        ".csv": _csv,
        ".parquet": _parquet,
    }
    return readers.get(path.suffix.lower(), _archive)(path)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _npy_files(path: Path, files: Mapping[str, Path]) -> NamedArrays:
    return NamedArrays(
        path, list(files), lambda name: np.load(files[name], mmap_mode="c", allow_pickle=False)
    )


def _beside(path: Path) -> NamedArrays:
    """Return the features in an ``.npy`` file, and the labels in files beside it with the same prefix."""
    stem = _plain(path.stem)
    starts = {stem, *(stem.removesuffix(alias) for alias in ALIASES["features"])}
    files = {"features": path}
    for file in sorted(path.parent.glob("*.npy")):
        for kind in ALIASES.keys() - {"features"}:
            if _plain(file.stem) in {start + alias for start in starts for alias in ALIASES[kind]}:
                files[kind] = file
    if "persons" not in files:
        raise UserError(
            f"There are no labels beside {path}. Expected a file of persons, such as "
            f"{path.stem}_persons.npy, and, if known, {path.stem}_cameras.npy."
        )
    return _npy_files(path, files)


def _archive(path: Path) -> NamedArrays:
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not an .npz archive, or it is cut short. {HELP}")
    with np.load(path, allow_pickle=False) as archive:
        names = archive.files

    def read(name: str) -> Array:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[name])

    return NamedArrays(path, names, read)


def _matlab(path: Path) -> NamedArrays:
    return NamedArrays(path, *open_matlab(path))


def _pytorch(path: Path) -> NamedArrays:
    import torch
    from numpy._core.multiarray import _reconstruct, scalar

    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "U1")
    harmless: list[Any] = [np.ndarray, np.dtype, *{type(np.dtype(kind)) for kind in kinds}]
    harmless += [_reconstruct, scalar]
    harmless += [(item, f"numpy.core.multiarray.{item.__name__}") for item in (_reconstruct, scalar)]
    try:
        with torch.serialization.safe_globals(harmless):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader of a damaged file raises nearly anything
        named = re.search(r"GLOBAL (\w+\.[\w.]+)", str(error))
        what = f"it contains {named[1]}, which might run code" if named else "it is damaged"
        raise UserError(f"{path} is not a .pt file of tensors by name, or {what}. {HELP}") from error
    if not isinstance(content, Mapping):
        raise UserError(
            f"{path} has a {type(content).__name__} instead of tensors by name. Save a dictionary: "
            "torch.save({'features': ..., 'persons': ...}, FILE)."
        )

    def read(name: str) -> Array:
        value = content[name]
        if isinstance(value, torch.Tensor):
            value = value.detach()
            return np.asarray(value.float() if value.dtype == torch.bfloat16 else value)
        return np.asarray(value)

    return NamedArrays(path, [name for name in content if isinstance(name, str)], read)


def _csv(path: Path) -> NamedArrays:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(",;\t", key=header.count)
            names = next(csv.reader([header], delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}.") from None
    if all(re.fullmatch(r"[-+.\deE]*", name) for name in names) and not _numbered(names):
        raise UserError(
            f"The first row of {path} must name the columns, such as person, camera, f0, f1, ...; got "
            f"'{header.strip()[:60]}'."
        )

    layout: dict[str, Any] = {
        "delimiter": delimiter,
        "quotechar": '"',
        "comments": None,
        "skiprows": 1,
        "encoding": "utf-8-sig",
    }

    def read(columns: Sequence[str], kind: type) -> Array:
        places = [names.index(column) for column in columns]
        try:
            return np.loadtxt(path, kind, usecols=places, ndmin=2, **layout)
        except (ValueError, UnicodeDecodeError) as error:
            said, comma = str(error).rstrip("."), re.search(r"'-?\d+,\d", str(error))
            hint = " Write numbers with a decimal point, such as 0.5, instead of a comma." if comma else ""
            raise UserError(f"{path} cannot be read: {said}. The first row of data is row 0.{hint}") from None

    return _table(path, names, lambda name: read([name], str)[:, 0], partial(read, kind=np.float32))


def _parquet(path: Path) -> NamedArrays:
    try:
        from pyarrow import ArrowException
        from pyarrow.compute import list_flatten, list_value_length
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError(f"PyArrow is needed to read {path}: pip install 'resight[parquet]'") from None
    try:
        file = ParquetFile(path)
        names = file.schema_arrow.names
    except (ArrowException, OSError) as error:
        raise UserError(f"{path} is not a Parquet file, or it is damaged: {error}.") from error

    def array(name: str, column: Any) -> Array:
        if column.null_count:
            raise UserError(f"The column '{name}' of {path} is empty in {column.null_count:,} rows.")
        if column.type.num_fields != 1:  # not lists
            return np.array(column.to_numpy())  # a copy, as Arrow's memory cannot be written to
        lengths = set(list_value_length(column).to_pylist())
        if len(lengths) > 1:
            raise UserError(f"The lists in the column '{name}' of {path} have different lengths.")
        return np.array(list_flatten(column).to_numpy()).reshape(len(column), -1)

    def read(columns: Sequence[str]) -> list[Array]:
        table = file.read(columns=columns)
        return [array(name, table[name]) for name in columns]

    return _table(path, names, lambda name: read([name])[0], lambda columns: np.stack(read(columns), axis=1))


def _table(
    path: Path,
    names: Sequence[str],
    read: Callable[[str], Array],
    read_numbers: Callable[[Sequence[str]], Array],
) -> NamedArrays:
    """Return the columns of a table; columns with numbered names are the features, unless one has lists."""
    own = NamedArrays(path, names, read).find("query")
    columns = [] if "features" in own else _numbered(names)
    used = {*own.values(), *columns}
    if columns and (unused := [name for name in names if name not in used]):
        say(f"Note: these columns of {path} are not used: {NamedArrays(path, unused, read).describe()}.")

    def array(name: str) -> Array:
        return read_numbers(columns) if name == "features" and columns else read(name)

    return NamedArrays(path, ["features", *own.values()] if columns else names, array)


def _numbered(names: Sequence[str]) -> list[str]:
    """Return the columns of features in order: of those whose names end in numbers, the largest group."""
    groups: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        if found := re.fullmatch(r"(.*?)(\d{1,9})", name.strip()):
            groups[found[1]][int(found[2])] = name
    group = max(groups.values(), key=len, default={})
    first = min(group, default=0)
    if first > 1 or sorted(group) != list(range(first, first + len(group))):
        return []
    return [group[number] for number in sorted(group)]

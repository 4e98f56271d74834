"""CUHK03's original file, cuhk-03.mat (MATLAB 7.3, which is HDF5): its images, persons and given splits."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from resight.data.crop import Crop
from resight.errors import UserError
from resight.files import cache_folder
from resight.folders import list_images
from resight.progress import track
from resight.seeds import derive_seed

if TYPE_CHECKING:
    import h5py

PLACES = ("cuhk-03.mat", "cuhk03_release/cuhk-03.mat")
KEYS = {"labelled": "labeled", "detected": "detected"}
"""Names of the boxes in the file: cells, one a pair of cameras, of persons x 10 images, five of each view."""

SPLIT_ADDRESS = "https://github.com/zhunzhong07/person-re-ranking"


@dataclass(frozen=True, slots=True)
class Original:
    """Contents of the file for one kind of boxes.

    Attributes:
        crops: all of them; persons are numbered from 1 over all pairs of cameras, cameras 1 and 2 are the
            views.
        names: ``PAIR_PERSON`` of each person, as the file has them.
        test_sets: persons of each given split.
        folder: where the images were unpacked to.
    """

    crops: tuple[Crop, ...]
    names: dict[int, str]
    test_sets: tuple[set[int], ...]
    folder: Path

    @classmethod
    def open(cls, path: Path, boxes: str) -> "Original":
        """Read the file, and write its images into the cache once, as PNG files ``P_NNN_V_II.png``.

        Raises:
            UserError: h5py is missing, the file is not CUHK03's, or the cache cannot be written.
        """
        try:
            import h5py
        except ImportError as error:
            raise UserError(
                f"Reading {path} needs h5py, as it is a MATLAB 7.3 file. Install it with: "
                "pip install 'resight[cuhk03]'. The folders of cuhk03-np need nothing."
            ) from error
        if not h5py.is_hdf5(path):
            raise UserError(
                f"{path} is no MATLAB 7.3 (HDF5) file, or is cut short. Take cuhk-03.mat from the owners' "
                "archive again; the small .mat files with splits are other files."
            )
        try:
            with h5py.File(path, "r") as file:
                starts, test_sets, folder = _read(file, path, boxes)
        except (OSError, RuntimeError) as error:  # h5py's errors for a file that is cut short or damaged
            raise UserError(
                f"{path} is cut short or damaged: {error}. Take cuhk-03.mat from the owners' archive again."
            ) from error
        return cls(
            tuple(_crop(image, starts) for image in list_images(folder)),
            {
                int(starts[pair] + person): f"{pair + 1}_{person:03}"
                for pair, size in enumerate(np.diff(starts))
                for person in range(1, size + 1)
            },
            test_sets,
            folder,
        )


def find_original(root: Path) -> Path | None:
    """Return the original file in the folder, or None."""
    return next((root / place for place in PLACES if (root / place).is_file()), None)


def read_new_split(root: Path, original: Path, boxes: str) -> dict[str, list[str]]:
    """Return the names of the unpacked images of each part of the new protocol.

    Raises:
        UserError: the file of the split is missing, or it is another file.
    """
    from scipy.io import loadmat  # takes a while to import

    name = f"cuhk03_new_protocol_config_{KEYS[boxes]}.mat"
    path = next((folder / name for folder in (root, original.parent) if (folder / name).is_file()), None)
    if path is None:
        raise UserError(
            f"The new protocol needs the split {name} next to {original}: its authors publish it at "
            f"{SPLIT_ADDRESS}. Or use the folders of cuhk03-np, or protocol=old."
        )
    try:
        content = loadmat(path)
        files = [
            str(entry.item() if isinstance(entry, np.ndarray) else entry)
            for entry in content["filelist"].ravel()
        ]
        return {
            part: [files[int(index) - 1] for index in content[f"{part}_idx"].ravel()]
            for part in ("train", "query", "gallery")
        }
    except Exception as error:  # damaged files make SciPy raise nearly anything
        raise UserError(
            f"{path} is not the split of the new protocol, with filelist, train_idx, query_idx and "
            f"gallery_idx: {error}"
        ) from error


def _read(
    file: "h5py.File", path: Path, boxes: str
) -> tuple[np.ndarray[Any, Any], tuple[set[int], ...], Path]:
    """Return the number before each pair's first person, the given test sets, and the folder of images."""
    missing = [key for key in (*KEYS.values(), "testsets") if key not in file]
    if missing:
        raise UserError(
            f"{path} is not CUHK03: it has no {', '.join(missing)}; it has "
            f"{', '.join(list(file)[:10]) or 'nothing'}."
        )
    try:
        starts = np.cumsum([0, *(file[pair].shape[1] for pair in _references(file, KEYS[boxes]))])
        test_sets = tuple(
            {int(starts[int(pair) - 1] + person) for pair, person in np.asarray(file[split]).T}
            for split in _references(file, "testsets")
        )
        return starts, test_sets, _unpack(file, path, boxes)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not laid out as CUHK03: expected are cells of images of each pair of "
            f"cameras in {' and '.join(KEYS.values())}, and testsets of (pair, person). {error}"
        ) from error


def _references(file: "h5py.File", key: str) -> Iterator[Any]:
    return iter(np.asarray(file[key]).ravel())


def _unpack(file: "h5py.File", path: Path, boxes: str) -> Path:
    """Write the images, unless this was done before, and return their folder."""
    known = path.stat()
    key = derive_seed(str(path.resolve()), known.st_size, known.st_mtime_ns)
    folder = cache_folder() / "unpacked" / f"cuhk03-{boxes}-{key:x}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".cuhk03-", dir=folder.parent))
        try:
            for pair, reference in enumerate(_references(file, KEYS[boxes]), 1):
                _unpack_pair(file, pair, np.asarray(file[reference]), temporary)
            temporary.chmod(0o755)  # mkdtemp made it private
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if error.errno is None:  # of h5py: the file is damaged
            raise
        if not folder.is_dir():  # or else another process was first
            raise UserError(
                f"The images of {path} cannot be unpacked to {folder}: {error.strerror or error}. Free some "
                "space (2 GB), or set RESIGHT_CACHE to a folder that can be written."
            ) from error
    return folder


def _unpack_pair(file: "h5py.File", pair: int, cells: np.ndarray[Any, Any], folder: Path) -> None:
    images, persons = cells.shape
    for person in track(range(persons), f"Unpacking pair {pair} of cameras", persons):
        for image in range(images):
            pixels = np.asarray(file[cells[image, person]])
            if pixels.ndim != 3:  # an empty cell
                continue
            if pixels.dtype != np.uint8 or pixels.shape[0] != 3:
                raise ValueError(f"An image is {pixels.dtype} {pixels.shape}; uint8 [3, W, H] was expected.")
            name = f"{pair}_{person + 1:03}_{1 if image < 5 else 2}_{image + 1:02}.png"
            Image.fromarray(np.ascontiguousarray(pixels.T)).save(folder / name, compress_level=1)


def _crop(path: Path, starts: np.ndarray[Any, Any]) -> Crop:
    pair, person, view, _ = map(int, path.stem.split("_"))
    return Crop(path, int(starts[pair - 1]) + person, view)

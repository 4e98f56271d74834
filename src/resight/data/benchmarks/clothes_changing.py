"""Sets with labels of clothes: LTCC, PRCC and VC-Clothes.

Their crops know their clothes. ``--cross-clothes`` ignores matches in the query's own clothes.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from resight.data.benchmark import Benchmark, DataSource, Protocol
from resight.data.benchmarks.folder import Folder
from resight.data.crop import Crop
from resight.data.opening import READERS
from resight.errors import UserError
from resight.folders import list_images, sub_folders

LTCC_NAMES = r"/(?P<person>\d+)_(?P<clothes>\d+)_c(?P<camera>\d+)_\d+\.\w+$"
VC_NAMES = r"/(?P<person>\d{4})-(?P<camera>\d+)-(?P<clothes>\d+)-\d+\.\w+$"

CHANGED = "Clothes are known: --cross-clothes ignores matches in the query's own clothes."


class _Named:
    """A set with the folders train, query and gallery (or test), whose file names are labels."""

    source: DataSource
    names: str
    folders: tuple[str, ...]

    def recognises(self, root: Path) -> bool:
        """Return whether the folders are there, with pictures of such names in the first."""
        if not all((root / folder).is_dir() for folder in self.folders):
            return False
        names = list_images(root / self.folders[0]).names[:1]
        return bool(names) and re.search(self.names, names[0]) is not None

    def read(self, root: Path) -> Benchmark:
        """Return the parts as they are on the disk.

        Raises:
            UserError: names are of another form.
        """
        found = Folder(pattern=self.names).read(root)
        return replace(found, notes=(*found.notes, CHANGED))


@READERS.register("ltcc")
class LTCC(_Named):
    """LTCC (long-term cloth-changing): 152 persons in 478 sets of clothes, 12 cameras."""

    source = DataSource(
        "LTCC",
        "https://naiq.github.io/LTCC_Perosn_ReID.html",
        "For academic research only, under an agreement that the owners send.",
    )
    names, folders = LTCC_NAMES, ("train", "query", "test")


@READERS.register("vc-clothes")
class VCClothes(_Named):
    """VC-Clothes (virtually changing clothes): 512 drawn persons, 4 cameras."""

    source = DataSource(
        "VC-Clothes", "https://wanfb.github.io/dataset.html", "For academic research; see the page."
    )
    names, folders = VC_NAMES, ("train", "query", "gallery")


@READERS.register("prcc")
class PRCC:
    """PRCC: 221 persons, cameras A and B in the same clothes, camera C in others.

    Args:
        queries: of camera C, in other clothes than the gallery's (changed), or of camera B (same). The
            gallery is camera A's.
    """

    source = DataSource(
        "PRCC",
        "https://www.isee-ai.cn/~yangqize/clothing.html",
        "For academic research only; see the page.",
    )

    def __init__(self, *, queries: Literal["changed", "same"] = "changed") -> None:
        self.queries = queries

    def recognises(self, root: Path) -> bool:
        """Return whether the folders of the test's cameras are there."""
        return all((_pictures(root) / "test" / camera).is_dir() for camera in "ABC")

    def read(self, root: Path) -> Benchmark:
        """Return crops of ``rgb``; persons keep their numbers. The part ``val`` is not read.

        Raises:
            UserError: a folder is missing, or a person's folder has no number.
        """
        folder = _pictures(root)
        views = {camera: _crops(folder / "test" / camera, camera) for camera in "ABC"}
        return Benchmark(
            name=root.resolve().name,
            root=root,
            train=_crops(folder / "train", None),
            query=views["C" if self.queries == "changed" else "B"],
            gallery=views["A"],
            protocol=Protocol(f"prcc, {self.queries} clothes", cmc="single-shot", draws=10),
            notes=(
                f"Queries wear {'other clothes than' if self.queries == 'changed' else 'the clothes of'} the "
                "gallery (queries=changed or same); rank-k is of ten draws of one gallery crop a person.",
            ),
        )


def _pictures(root: Path) -> Path:
    return root / "rgb" if (root / "rgb").is_dir() else root


def _crops(folder: Path, camera: str | None) -> tuple[Crop, ...]:
    """Return the crops in the folders of persons; without ``camera``, it is the first letter of the names."""
    if not folder.is_dir():
        raise UserError(f"PRCC has the folders train and test/A, B, C; there is no {folder}.")
    crops = []
    for person in sub_folders(folder):
        if not person.name.isdecimal():
            raise UserError(f"{person} is no person of PRCC: its name is no number.")
        for path in list_images(person):
            place = (camera or path.name[0]).upper()
            if place not in "ABC":
                raise UserError(f"{path} is not named as in PRCC: A, B or C, the camera, comes first.")
            crops.append(Crop(path, int(person.name), "ABC".index(place) + 1, 2 if place == "C" else 1))
    return tuple(crops)

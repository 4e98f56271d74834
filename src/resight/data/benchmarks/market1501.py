"""Market-1501 layout (Zheng et al., ICCV 2015), and every set that is named like it."""

import re
from pathlib import Path

from resight.data.benchmark import Benchmark
from resight.data.crop import Crop
from resight.data.images import examples, list_images
from resight.data.opening import READERS
from resight.errors import UserError

NAME = re.compile(r"(?P<person>-1|\d+)_c(?P<camera>\d+)s\d+_\d+_\d+\.(?:jpg|jpeg|png|bmp)", re.IGNORECASE)
"""``PPPP_cCsS_FFFFFF_BB.jpg``: person, camera, sequence, frame, box. -1 is junk, 0000 a distractor."""

PARTS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


@READERS.register("market-1501")
class Market1501:
    """Folders bounding_box_train, query, bounding_box_test, some may be missing; or one folder of crops."""

    def recognises(self, root: Path) -> bool:
        """Tell whether a part is there, or crops with such names lie in the folder itself."""
        parts = (root / PARTS["train"], root / PARTS["gallery"])
        if any(part.is_dir() and list_images(part) for part in parts):
            return True
        return any(NAME.fullmatch(path.name) for path in list_images(root))

    def read(self, root: Path, pattern: str | None) -> Benchmark:
        """Return the parts that are there; crops in the folder itself are the training part.

        Raises:
            UserError: names are of another form.
        """
        folders = {part: root / name for part, name in PARTS.items() if (root / name).is_dir()}
        files = {part: list_images(folder) for part, folder in (folders or {"train": root}).items()}
        _refuse_other_names([path for part in files.values() for path in part], root)
        crops = {part: tuple(map(_crop, paths)) for part, paths in files.items()}
        notes = []
        if ("query" in crops) != ("gallery" in crops):
            there, missing = ("query", "gallery") if "query" in crops else ("gallery", "query")
            notes.append(
                f"There is a folder {PARTS[there]} but none named {PARTS[missing]}: it cannot be tested on."
            )
        return Benchmark(
            name=root.resolve().name,
            root=root,
            train=crops.get("train", ()),
            query=crops.get("query", ()),
            gallery=crops.get("gallery", ()),
            notes=tuple(notes),
        )


def _crop(path: Path) -> Crop:
    found = NAME.fullmatch(path.name)
    assert found is not None  # other names were refused before
    return Crop(path, int(found["person"]), int(found["camera"]))


def _refuse_other_names(paths: list[Path], root: Path) -> None:
    others = [path for path in paths if not NAME.fullmatch(path.name)]
    if others:
        raise UserError(
            f"{len(others)} of {len(paths)} images in {root} are not named PPPP_cCsS_FFFFFF_BB.jpg (person, "
            f"camera, sequence, frame, box), for instance {examples(others, root)}. Rename or move them, or "
            r"say how to read all of them, such as --pattern '(?P<person>\d+)_c(?P<camera>\d+)'."
        )

"""VIPeR (Gray et al., PETS 2007)."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from resight.data.benchmark import Benchmark, DataSource, Published, PublishedCounts
from resight.data.crop import Crop
from resight.data.drawing import SINGLE_SHOT, draw_persons
from resight.data.opening import READERS
from resight.errors import UserError
from resight.folders import examples, list_images

NAME = re.compile(r"(?P<person>\d+)_\d+\.(?:bmp|png|jpg)", re.IGNORECASE)
"""``PPP_AA.bmp``: person and angle of view; the folder is the camera."""

CAMERAS = {1: "cam_a", 2: "cam_b"}
PERSONS = 632


@READERS.register("viper")
class VIPeR:
    """VIPeR: 632 persons, one crop in each of two cameras; half of the persons train, half test.

    Args:
        test_persons: papers use half of them.
        split: number of the seeded halves; the set has none of its own.
        swap: queries from the second camera, gallery from the first.
    """

    source = DataSource(
        "VIPeR",
        "https://vision.soe.ucsc.edu/node/178",
        "For research; see the page and the archive's readme.",
    )

    def __init__(
        self,
        *,
        test_persons: Annotated[int, Field(ge=1, lt=PERSONS)] = 316,
        split: Annotated[int, Field(ge=0)] = 0,
        swap: bool = False,
    ) -> None:
        self.test_persons = test_persons
        self.split = split
        self.swap = swap

    def recognises(self, root: Path) -> bool:
        """Return whether the two cameras' folders are there."""
        folders = [root / folder for folder in CAMERAS.values()]
        if not all(folder.is_dir() for folder in folders):
            return False
        return any(NAME.fullmatch(path.name) for folder in folders for path in list_images(folder))

    def read(self, root: Path) -> Benchmark:
        """Return half of the persons for training, the others as queries and gallery.

        Raises:
            UserError: a folder is missing, names are of another form, or too few persons are in both cameras.
        """
        missing = [folder for folder in CAMERAS.values() if not (root / folder).is_dir()]
        if missing:
            raise UserError(
                f"VIPeR has the folders cam_a and cam_b; {root} has no {' and no '.join(missing)}."
            )
        views = {camera: _read(root / folder, camera) for camera, folder in CAMERAS.items()}
        both = set(views[1]) & set(views[2])
        test = draw_persons(both, self.test_persons, "viper", self.split)
        rest = PERSONS - self.test_persons
        shots = PublishedCounts(self.test_persons, self.test_persons)
        counts = {"train": PublishedCounts(2 * rest, rest), "query": shots, "gallery": shots}
        query, gallery = (2, 1) if self.swap else (1, 2)
        return Benchmark(
            name=root.resolve().name,
            root=root,
            train=tuple(
                views[camera][person]
                for camera in CAMERAS
                for person in sorted(views[camera])
                if person not in test
            ),
            query=tuple(views[query][person] for person in sorted(test)),
            gallery=tuple(views[gallery][person] for person in sorted(test)),
            protocol=SINGLE_SHOT,
            notes=(f"Split {self.split} of seeded halves: papers average ten.",),
            published=Published(self.source, counts),
        )


def _read(folder: Path, camera: int) -> dict[int, Crop]:
    """Return the camera's crop of each person; persons are numbered from 1, the set's from 0."""
    files = list_images(folder)
    strange = [path for path in files if not NAME.fullmatch(path.name)]
    if strange:
        raise UserError(
            f"{len(strange)} of {len(files)} images in {folder} are not named PPP_AA.bmp (person, angle), "
            f"for instance {examples(strange, folder)}. Move them away."
        )
    persons = [int(path.name.partition("_")[0]) + 1 for path in files]
    return {person: Crop(path, person, camera) for person, path in zip(persons, files, strict=True)}

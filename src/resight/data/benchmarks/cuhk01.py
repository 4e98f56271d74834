"""CUHK01 (Li et al., ACCV 2012)."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from resight.data.benchmark import Benchmark, DataSource, Published, PublishedCounts
from resight.data.crop import Crop
from resight.data.drawing import draw_persons, single_shot
from resight.data.opening import READERS, is_named
from resight.errors import UserError
from resight.folders import examples, list_images

NAME = re.compile(r"(?P<person>\d{4})(?P<image>\d{3})\.(?:png|jpg|bmp)", re.IGNORECASE)
"""``PPPPIII.png``: person, and image from 1; the first two are of one camera, the others of the other."""

PERSONS = 971


@READERS.register("cuhk01")
class CUHK01:
    """CUHK01: 971 persons, two crops in each of two cameras; 486 or 100 test persons, single-shot.

    Args:
        test_persons: papers use 486 (after pre-training on CUHK03) or 100; the others train.
        split: number of a seeded split; the set has none of its own, and papers average ten.
        draws: how often query and gallery crops are drawn.
    """

    source = DataSource(
        "CUHK01",
        "https://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html",
        "For academic research only, on request to the owners; no redistribution.",
    )

    def __init__(
        self,
        *,
        test_persons: Annotated[int, Field(ge=1, lt=PERSONS)] = 486,
        split: Annotated[int, Field(ge=0)] = 0,
        draws: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        self.test_persons = test_persons
        self.split = split
        self.draws = draws

    def recognises(self, root: Path) -> bool:
        """Return whether a folder campus, or one named after the set, has crops with its names."""
        here = is_named(root, "cuhk01") or root.resolve().name == "campus"
        return _images(root) != [] and (here or (root / "campus").is_dir())

    def read(self, root: Path) -> Benchmark:
        """Return the training persons, and the test persons: queries from camera 1, gallery from camera 2.

        Raises:
            UserError: there are no such images, names are of another form, or persons are missing.
        """
        files = list_images(root / "campus" if (root / "campus").is_dir() else root)
        strange = [path for path in files if not NAME.fullmatch(path.name)]
        if strange or not files:
            shown = f"such as {examples(strange, root)}" if strange else "there is none"
            raise UserError(
                f"{root} should hold the images of CUHK01, named PPPPIII.png (person, image), in itself or "
                f"in campus/; {len(strange)} of {len(files)} have other names ({shown})."
            )
        crops = [_crop(path) for path in files]
        test = draw_persons((crop.person for crop in crops), self.test_persons, "cuhk01", self.split)
        rest = PERSONS - self.test_persons
        shots = PublishedCounts(2 * self.test_persons, self.test_persons)
        benchmark = Benchmark(
            name=root.resolve().name,
            root=root,
            train=tuple(crop for crop in crops if crop.person not in test),
            query=tuple(crop for crop in crops if crop.person in test and crop.camera == 1),
            gallery=tuple(crop for crop in crops if crop.person in test and crop.camera == 2),
            published=Published(
                self.source, {"train": PublishedCounts(4 * rest, rest), "query": shots, "gallery": shots}
            ),
        )
        note = f"Split {self.split} of seeded splits into {rest} and {self.test_persons} persons."
        drawn = single_shot(benchmark, self.draws, self.split)
        return replace(drawn, notes=(*drawn.notes, note))


def _images(root: Path) -> list[Path]:
    folder = root / "campus" if (root / "campus").is_dir() else root
    return [path for path in list_images(folder) if NAME.fullmatch(path.name)]


def _crop(path: Path) -> Crop:
    found = NAME.fullmatch(path.name)
    assert found is not None  # other names were refused before
    return Crop(path, int(found["person"]), 1 if int(found["image"]) <= 2 else 2)

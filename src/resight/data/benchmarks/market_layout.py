"""Market-1501's layout (Zheng et al., ICCV 2015), which many data sets use."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from resight.data.benchmark import Benchmark, DataSource, Protocol
from resight.data.crop import DISTRACTOR, Crop
from resight.data.opening import READERS
from resight.errors import UserError
from resight.folders import examples, list_images

NAME = re.compile(r"(?P<person>-1|\d+)_c(?P<camera>\d+)s\d+_\d+_\d+\.(?:jpg|jpeg|png|bmp)", re.IGNORECASE)
"""``PPPP_cCsS_FFFFFF_BB.jpg``: person, camera, sequence, frame, box. -1 is junk, 0000 a distractor."""

PARTS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
QUERY_POOL = "gt_bbox"
DISTRACTORS = ("distractors_500k", "images")
"""Folders that the archive distractors_500k.zip has been unpacked into."""


@READERS.register("market-layout")
class MarketLayout:
    """Folders bounding_box_train, query, bounding_box_test, some may be missing; or one folder of crops.

    Args:
        queries: single: each query crop alone. average, max: the features of all crops of its person
            under its camera in gt_bbox, pooled ("multi-query").
        distractors: add the crops in distractors_500k to the gallery, each as a distractor.
    """

    source: DataSource | None = None

    def __init__(
        self, *, queries: Literal["single", "average", "max"] = "single", distractors: bool = False
    ) -> None:
        self.queries = queries
        self.distractors = distractors

    def recognises(self, root: Path) -> bool:
        """Return whether a part is there, or the folder itself has crops with such names."""
        return bool(first_names(root)) or any(NAME.fullmatch(path.name) for path in list_images(root))

    def read(self, root: Path) -> Benchmark:
        """Return the parts that are there; crops in the folder itself are the training part.

        Raises:
            UserError: names are of another form; or there is no gt_bbox to pool, or no distractors to add.
        """
        benchmark = read_parts(root, NAME, "PPPP_cCsS_FFFFFF_BB.jpg (person, camera, sequence, frame, box)")
        if self.queries != "single":
            pool = _query_pool(benchmark)
            protocol = Protocol(f"market-1501, queries pooled ({self.queries})", pooling=self.queries)
            benchmark = replace(benchmark, query_pool=pool, protocol=protocol)
        if self.distractors:
            benchmark = replace(benchmark, gallery=(*benchmark.gallery, *_distractors(root)))
        return benchmark


def first_names(root: Path) -> list[str]:
    """Return the name of the first image of the training part and of the gallery, if there is one."""
    folders = (root / PARTS[part] for part in ("train", "gallery"))
    files = (list_images(folder) for folder in folders if folder.is_dir())
    return [paths[0].name for paths in files if paths]


def read_parts(root: Path, name: re.Pattern[str], form: str) -> Benchmark:
    """Return the crops of the parts that are there, or else of the folder itself as the training part.

    Args:
        root: the folder of the parts.
        name: what file names match, with groups ``person`` and ``camera``.
        form: the same as text, for messages.

    Raises:
        UserError: there is no image, or names do not match.
    """
    folders = {part: root / folder for part, folder in PARTS.items() if (root / folder).is_dir()}
    files = {part: list_images(folder) for part, folder in (folders or {"train": root}).items()}
    everything = [path for part in files.values() for path in part]
    if not everything:
        raise UserError(f"{root} holds no images: neither in {', '.join(PARTS.values())}, nor in itself.")
    others = [path for path in everything if not name.fullmatch(path.name)]
    if others:
        raise UserError(
            f"{len(others)} of {len(everything)} images in {root} are not named {form}, for instance "
            f"{examples(others, root)}. Rename or move them, or give a pattern for all of them, such as "
            r"--pattern '(?P<person>\d+)_c(?P<camera>\d+)'."
        )
    crops = {part: tuple(crop_of(path, name) for path in paths) for part, paths in files.items()}
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


def crop_of(path: Path, name: re.Pattern[str]) -> Crop:
    """Return the crop that a file name describes; the name must match."""
    found = name.fullmatch(path.name)
    assert found is not None  # other names were refused before
    return Crop(path, int(found["person"]), int(found["camera"]))


def _query_pool(benchmark: Benchmark) -> tuple[Crop, ...]:
    """Return the crops in gt_bbox of each query's person under its camera."""
    folder = benchmark.root / QUERY_POOL
    files = list_images(folder) if folder.is_dir() else []
    views = {(crop.person, crop.camera) for crop in benchmark.query}
    crops = (crop_of(path, NAME) for path in files if NAME.fullmatch(path.name))
    pool = tuple(crop for crop in crops if (crop.person, crop.camera) in views)
    if not pool:
        raise UserError(
            f"Pooled queries need the folder {folder} with further crops of the queries' persons under "
            f"their cameras; {f'none of its {len(files)} images is one' if files else 'there is none'}. Take "
            "it from the archive that held the other folders, or use queries=single."
        )
    return pool


def _distractors(root: Path) -> tuple[Crop, ...]:
    for folder in (root / name for name in DISTRACTORS):
        if folder.is_dir() and (files := list_images(folder, deep=True)):
            return tuple(Crop(path, DISTRACTOR, _camera(path)) for path in files)
    raise UserError(
        f"There are no distractors to add: neither {' nor '.join(DISTRACTORS)} in {root} holds images. "
        "Unpack distractors_500k.zip there, or leave out the option distractors."
    )


def _camera(path: Path) -> int:
    found = re.search(r"_c(\d+)", path.name)
    return int(found[1]) if found else 0  # a distractor shows no person, so its camera is never compared

"""CUHK03 (Li et al., CVPR 2014): the original file, or folders of its new protocol (Zhong et al. 2017)."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from resight.data.benchmark import Benchmark, DataSource, Protocol, Published, PublishedCounts
from resight.data.benchmarks.cuhk03_mat import Original, find_original, read_new_split
from resight.data.benchmarks.market_layout import first_names, read_parts
from resight.data.crop import Crop
from resight.data.drawing import draw_persons, single_shot
from resight.data.opening import READERS
from resight.errors import UserError

Boxes = Literal["labelled", "detected"]
NAME = re.compile(r"(?P<person>\d+)_c(?P<camera>\d+)_\d+\.(?:png|jpg)", re.IGNORECASE)
"""``PPPP_cC_N.png``: person, view and image, of cuhk03-np."""

FOLDERS = {"labelled": ("labeled", "labelled"), "detected": ("detected",)}
NEW = {
    "labelled": {
        "train": PublishedCounts(7368, 767),
        "query": PublishedCounts(1400, 700),
        "gallery": PublishedCounts(5328, 700),
    },
    "detected": {
        "train": PublishedCounts(7365, 767),
        "query": PublishedCounts(1400, 700),
        "gallery": PublishedCounts(5332, 700),
    },
}
ALL = {"labelled": 14096, "detected": 14097}
PERSONS, TEST_PERSONS = 1467, 100


@READERS.register("cuhk03")
class CUHK03:
    """CUHK03: 1,467 persons, two views each, in five pairs of cameras; cuhk-03.mat, or folders of cuhk03-np.

    Args:
        boxes: drawn by hand (labelled) or found by a detector.
        protocol: new: 767 persons train, 700 test by Market-1501's rules. old: 1,367 train, 100 test in each
            of 20 given splits, each picture is a query against the other view; needs cuhk-03.mat.
        split: number of the old protocol's split, from 0.
        validation: number of the old protocol's training persons to draw for validation (Sharp: 100).
        part: test on the test persons, or on those for validation.
        probes: in the old protocol. all: rank-k uses one gallery picture per person, drawn for every query,
            and mAP all gallery pictures (Sharp's mAP is below its rank-1, so it cannot use one). one: one
            query and one gallery picture per person, from different views (SN).
        draws: how often pictures are drawn in the old protocol.
    """

    source = DataSource(
        "CUHK03",
        "https://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html",
        "For academic research only, on request to the owners; no redistribution.",
    )

    def __init__(
        self,
        *,
        boxes: Boxes = "detected",
        protocol: Literal["new", "old"] = "new",
        split: Annotated[int, Field(ge=0, lt=20)] = 0,
        validation: Annotated[int, Field(ge=0, lt=PERSONS - TEST_PERSONS)] = 0,
        part: Literal["test", "validation"] = "test",
        probes: Literal["all", "one"] = "all",
        draws: Annotated[int, Field(ge=1)] = 20,
    ) -> None:
        self.boxes = boxes
        self.protocol = protocol
        self.split = split
        self.validation = validation
        self.part = part
        self.probes = probes
        self.draws = draws

    def recognises(self, root: Path) -> bool:
        """Return whether the original file or folders of the new protocol are there."""
        if find_original(root) is not None:
            return True
        return any(map(NAME.fullmatch, self._first_names(root)))

    def read(self, root: Path) -> Benchmark:
        """Return the parts of the chosen boxes and protocol; cameras are numbered 1 and 2, the two views.

        The images of the original file are written into the cache as PNG files, once.

        Raises:
            UserError: neither form, or not the chosen boxes or protocol, is there; the file is not CUHK03's;
                or h5py (for the new protocol also SciPy) is missing.
        """
        path = find_original(root)
        if path is None and not self._first_names(root):
            raise UserError(
                f"{root} holds neither cuhk-03.mat nor folders of cuhk03-np (labeled or detected, with "
                "bounding_box_train, query and bounding_box_test in it). Name the folder that holds one."
            )
        if self.protocol == "old":
            if path is None:
                raise UserError(
                    f"The old protocol of CUHK03 needs the original file cuhk-03.mat, which {root} lacks: "
                    "folders of cuhk03-np hold the new split only. Use protocol=new."
                )
            return self._old(root, path)
        if self.validation or self.part != "test":
            raise UserError("The new protocol of CUHK03 has no validation part: protocol=old has one.")
        return self._folders(root) if path is None or self._first_names(root) else self._new(root, path)

    def _folders(self, root: Path) -> Benchmark:
        folder = next((root / name for name in FOLDERS[self.boxes] if (root / name).is_dir()), root)
        other: Boxes = "detected" if self.boxes == "labelled" else "labelled"
        if folder == root and (_named(root, other) or any((root / name).is_dir() for name in FOLDERS[other])):
            raise UserError(
                f"The {self.boxes} boxes of CUHK03 are wanted, but {root} holds the {other} ones. Name the "
                f"folder of the others, or use boxes={other}."
            )
        benchmark = read_parts(folder, NAME, "PPPP_cC_N.png (person, view, image)")
        return replace(benchmark, name=root.resolve().name, root=root, published=self._published_new())

    def _new(self, root: Path, path: Path) -> Benchmark:
        original = Original.open(path, self.boxes)
        numbers = read_new_split(root, path, self.boxes)
        crops = {crop.path.name: crop for crop in original.crops}
        missing = [name for names in numbers.values() for name in names if name not in crops]
        if missing:
            raise UserError(
                f"{len(missing)} images of the new split are not in {path}, such as {missing[0]}. Are the "
                f"split and the file of the same release, and the split that of the {self.boxes} boxes?"
            )
        train, query, gallery = (
            tuple(crops[name] for name in numbers[part]) for part in ("train", "query", "gallery")
        )
        return Benchmark(
            name=root.resolve().name,
            root=root,
            train=train,
            query=query,
            gallery=gallery,
            unpacked=original.folder,
            names=original.names,
            published=self._published_new(),
        )

    def _old(self, root: Path, path: Path) -> Benchmark:
        original = Original.open(path, self.boxes)
        if self.split >= len(original.test_sets):
            raise UserError(f"{path} has {len(original.test_sets)} splits; there is no split {self.split}.")
        test = original.test_sets[self.split]
        learn = {crop.person for crop in original.crops} - test
        held = draw_persons(learn, self.validation, "cuhk03 validation", self.split)
        if self.part == "validation" and not held:
            raise UserError("There is no validation part to test on: add validation=100.")
        learn -= held
        tested = test if self.part == "test" else held
        shots = _of(original.crops, tested)
        persons = PublishedCounts(persons=TEST_PERSONS if self.part == "test" else self.validation)
        rest = PERSONS - TEST_PERSONS - self.validation
        counts = {"train": PublishedCounts(persons=rest), "query": persons, "gallery": persons}
        benchmark = Benchmark(
            name=root.resolve().name,
            root=root,
            train=_of(original.crops, learn),
            query=shots,
            gallery=shots,
            names=original.names,
            unpacked=original.folder,
            published=Published(self.source, counts),
            protocol=Protocol("cuhk03-old", gallery_side="opposite", cmc="single-shot", draws=self.draws),
        )
        if self.probes == "one":
            benchmark = single_shot(benchmark, self.draws, self.split)
        note = (
            f"Split {self.split} of 20: {len(learn)} persons train, {len(held)} are for validation, "
            f"{len(test)} test; papers average over the splits."
        )
        notes = [*benchmark.notes, note]
        if len(original.crops) != ALL[self.boxes]:  # the published count is of the whole set, not of a split
            notes.append(f"{path} holds {len(original.crops):,} {self.boxes} crops of {ALL[self.boxes]:,}.")
        return replace(benchmark, notes=tuple(notes))

    def _published_new(self) -> Published:
        other = "detected" if self.boxes == "labelled" else "labelled"
        mixup = f"These are the counts of the {other} boxes, not of the {self.boxes} ones."
        return Published(self.source, NEW[self.boxes], {mixup: NEW[other]})

    def _first_names(self, root: Path) -> list[str]:
        folders = (root, *(root / name for names in FOLDERS.values() for name in names))
        return [name for folder in folders if folder.is_dir() for name in first_names(folder)]


def _of(crops: tuple[Crop, ...], persons: set[int]) -> tuple[Crop, ...]:
    return tuple(crop for crop in crops if crop.person in persons)


def _named(root: Path, boxes: Boxes) -> bool:
    return root.resolve().name in FOLDERS[boxes]

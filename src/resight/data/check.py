"""Checking a data set before training: counts, and everything that would spoil a run or a score."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.data.benchmark import Benchmark
from resight.data.cache import content_digest, workers
from resight.data.crop import DISTRACTOR, JUNK, Crop
from resight.data.matching import MatchCounts, count_matches, persons_in_both
from resight.data.published import compare, counts, describe
from resight.errors import UserError
from resight.imaging import decode
from resight.progress import track


@dataclass(frozen=True, slots=True)
class PartSummary:
    """Counts of one split.

    Attributes:
        crops: all of them, junk and distractors included.
        persons, cameras: numbers of different ones; 0 cameras if they are not known.
        junk, distractors: crops with these labels.
        cross_camera_pairs: pairs of crops of one person under two cameras.
        single_image: persons with one crop in this part.
        single_camera: persons with two crops or more, all under one camera (0 where cameras are not known).
        smallest, median, largest: height and width of the images in pixels, taken separately; None if no
            image could be read.
    """

    crops: int
    persons: int
    cameras: int
    junk: int
    distractors: int
    cross_camera_pairs: int
    single_image: int
    single_camera: int
    smallest: tuple[int, int] | None
    median: tuple[int, int] | None
    largest: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    Attributes:
        benchmark: what was checked.
        parts: counts of ``train``, ``query`` and ``gallery``, empty ones left out.
        matches: of query and gallery; None without queries.
        unreadable: path and reason of each unreadable image.
        duplicates: groups of files with equal contents.
        in_train_and_test: persons that are in both.
        problems: sentences about what makes the set unusable.
        warnings: sentences about what else a user should know.
    """

    benchmark: Benchmark
    parts: dict[str, PartSummary]
    matches: MatchCounts | None
    unreadable: tuple[tuple[Path, str], ...]
    duplicates: tuple[tuple[Crop, ...], ...]
    in_train_and_test: tuple[int, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data: paths relative to the set's folder, persons by their labels."""
        benchmark = self.benchmark
        draws = [len(draw.query) for draw in benchmark.draws]
        return {
            "name": benchmark.name,
            "path": str(benchmark.root),
            "protocol": benchmark.protocol.name,
            "usable": not self.problems,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "notes": list(benchmark.notes),
            "published": (
                describe(benchmark.published, counts(benchmark)) if benchmark.published is not None else None
            ),
            "left_out": benchmark.left_out.as_list(),
            "parts": {name: asdict(part) for name, part in self.parts.items()},
            "draws": {"number": len(draws), "queries": draws[0] if draws else 0},
            "matches": None if self.matches is None else asdict(self.matches),
            "persons_in_train_and_test": [_name(benchmark, person) for person in self.in_train_and_test],
            "unreadable": [
                {"path": benchmark.relative(path), "reason": reason} for path, reason in self.unreadable
            ],
            "duplicates": [
                {
                    "paths": [benchmark.relative(crop.path) for crop in group],
                    "persons": sorted({_name(benchmark, crop.person) for crop in group}),
                }
                for group in self.duplicates
            ],
        }


def check_benchmark(benchmark: Benchmark) -> Check:
    """Read every image of the data set, count, and find problems."""
    splits = {"train": benchmark.train, "query": benchmark.query, "gallery": benchmark.gallery}
    crops = {
        crop.path: crop for split in splits.values() for crop in split
    }  # a crop may be query and gallery
    with ThreadPoolExecutor(workers()) as pool:
        looks = dict(zip(crops, track(pool.map(_look, crops), "Reading images", len(crops)), strict=True))
    sizes = {path: look.size for path, look in looks.items() if look.size is not None}
    unreadable = tuple((path, look.reason) for path, look in looks.items() if look.size is None)
    same: dict[str, list[Crop]] = defaultdict(list)
    for path in sizes:
        same[looks[path].digest].append(crops[path])
    duplicates = tuple(tuple(group) for group in same.values() if len(group) > 1)
    both = persons_in_both(benchmark)
    parts = {name: _count(split, sizes) for name, split in splits.items() if split}
    matches = count_matches(benchmark) if benchmark.query else None
    return Check(
        benchmark,
        parts,
        matches,
        unreadable,
        duplicates,
        both,
        problems=tuple(_problems(benchmark, parts, matches, unreadable, both)),
        warnings=(*compare(benchmark), *_warnings(benchmark, parts, matches, duplicates)),
    )


@dataclass(frozen=True, slots=True)
class _Look:
    digest: str = ""
    size: tuple[int, int] | None = None
    reason: str = ""


def _look(path: Path) -> _Look:
    try:
        data = path.read_bytes()
        height, width, _ = decode(data).shape
    except OSError as error:
        return _Look(reason=f"cannot be read: {error.strerror}.")
    except UserError as error:
        return _Look(reason=str(error))
    return _Look(content_digest(data), (height, width))


def _count(crops: Sequence[Crop], sizes: dict[Path, tuple[int, int]]) -> PartSummary:
    views: dict[int, Counter[int | None]] = defaultdict(Counter)
    for crop in crops:
        if crop.person > 0:
            views[crop.person][crop.camera] += 1
    cameras = {crop.camera for crop in crops} - {None}
    known = np.array([sizes[crop.path] for crop in crops if crop.path in sizes])
    pairs = sum(view.total() ** 2 - sum(count**2 for count in view.values()) for view in views.values()) // 2

    def of_sizes(percentile: int) -> tuple[int, int] | None:
        if not len(known):
            return None
        height, width = np.percentile(known, percentile, axis=0, method="lower")
        return int(height), int(width)

    return PartSummary(
        crops=len(crops),
        persons=len(views),
        cameras=len(cameras),
        junk=sum(crop.person == JUNK for crop in crops),
        distractors=sum(crop.person == DISTRACTOR for crop in crops),
        cross_camera_pairs=pairs,
        single_image=sum(view.total() == 1 for view in views.values()),
        single_camera=sum(view.total() > 1 and len(view) == 1 for view in views.values()) if cameras else 0,
        smallest=of_sizes(0),
        median=of_sizes(50),
        largest=of_sizes(100),
    )


def _problems(
    benchmark: Benchmark,
    parts: dict[str, PartSummary],
    matches: MatchCounts | None,
    unreadable: tuple[tuple[Path, str], ...],
    both: tuple[int, ...],
) -> list[str]:
    found = []
    if unreadable:
        path, reason = unreadable[0]
        more = f" {len(unreadable) - 1} more cannot be read either." if len(unreadable) > 1 else ""
        found.append(
            f"{benchmark.relative(path)} {reason}{more} Repair or remove what is damaged, or leave it out "
            "with --skip-unreadable."
        )
    if both:
        names = ", ".join(_name(benchmark, person) for person in both[:3])
        found.append(
            f"{len(both)} persons are in both the training part and the test, such as {names}: a score would "
            "not tell how unseen people are recognised."
        )
    if not benchmark.train and not benchmark.query:
        found.append("There is nothing to train on, and no query to test with.")
    if "train" in parts and parts["train"].persons < 2:
        found.append(f"{parts['train'].persons} person to train on: two are needed.")
    if matches is not None and not matches.with_match:
        found.append(
            f"None of the {matches.queries} queries has a match in the gallery: {matches.why_none()}."
        )
    return found


def _warnings(
    benchmark: Benchmark,
    parts: dict[str, PartSummary],
    matches: MatchCounts | None,
    duplicates: tuple[tuple[Crop, ...], ...],
) -> list[str]:
    found = []
    if (train := parts.get("train")) is None:
        found.append("There is no training part: the set can be tested on, not trained on.")
    else:
        if train.single_image:
            found.append(f"{train.single_image} of {train.persons} persons to train on have a single image.")
        if train.single_camera:
            found.append(
                f"{train.single_camera} of {train.persons} persons to train on are seen by one camera only: "
                "they teach nothing about how looks change between cameras."
            )
    if matches is not None and 0 < matches.with_match < matches.queries:
        found.append(
            f"{matches.queries - matches.with_match} of {matches.queries} queries have no match in the "
            f"gallery and will be left out: {matches.why_none()}."
        )
    if duplicates:
        copies = sum(len(group) - 1 for group in duplicates)
        found.append(f"{copies} images are exact copies of others.")
        training = set(benchmark.train)
        leaks = sum(0 < sum(crop in training for crop in group) < len(group) for group in duplicates)
        mixed = sum(len({crop.person for crop in group}) > 1 for group in duplicates)
        if leaks:
            found.append(f"{leaks} images are in both the training part and the test.")
        if mixed:
            found.append(f"{mixed} images are labelled as several persons.")
    return found


def _name(benchmark: Benchmark, person: int) -> str:
    return benchmark.names.get(person, str(person))

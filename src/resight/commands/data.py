"""``resight data``: look a data set over before training on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from resight.commands.output import print_json, print_table

if TYPE_CHECKING:
    from resight.data.check import Part


def check(
    path: Path,
    *,
    pattern: str | None = None,
    holdout: int | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Count the crops of a data set, and find what would spoil a run or a score.

    Every image is read. The exit status is 0 when the set can be used as it is, and 1 when not: unreadable
    images, persons in both training part and test, fewer than two persons to train on, no query with a match.

    Args:
        path: folder in Market-1501 layout, or with one sub-folder a person.
        pattern: regular expression with named groups person and/or camera, searched in each file's path.
        holdout: persons to hold out for testing; by default the set's own test part, or else the last fifth.
        json: print one JSON object.
    """
    from resight.data.check import check_benchmark
    from resight.data.opening import open_benchmark

    found = check_benchmark(open_benchmark(path, holdout=holdout, pattern=pattern))
    if json:
        print_json(found.as_dict())
    else:
        title = f"{found.benchmark.name}, protocol {found.benchmark.protocol.name}"
        print_table(*_table(found.parts), title=title)
        if found.matches is not None:
            right, total = found.matches.with_match, found.matches.queries
            print(f"{right:,} of {total:,} queries have a match; {found.matches.pairs:,} pairs.")
        for kind, sentences in (
            ("Note", found.benchmark.notes),
            ("Warning", found.warnings),
            ("Problem", found.problems),
        ):
            for sentence in sentences:
                print(f"{kind}: {sentence}")
        print("Not usable as it is." if found.problems else "Usable.")
    if found.problems:
        raise SystemExit(1)


def _table(parts: "dict[str, Part]") -> tuple[list[str], list[list[str]]]:
    rows = [
        [title, *(f"{getattr(part, field):,}" for part in parts.values())]
        for field, title in (
            ("crops", "Crops"),
            ("persons", "Persons"),
            ("cameras", "Cameras"),
            ("junk", "Junk"),
            ("distractors", "Distractors"),
            ("cross_camera_pairs", "Cross-camera pairs"),
            ("single_image", "Persons with a single image"),
            ("single_camera", "Persons under one camera only"),
        )
    ]
    rows.append(["Height x width", *map(_sizes, parts.values())])
    return ["", *parts], rows


def _sizes(part: "Part") -> str:
    if part.smallest is None or part.median is None or part.largest is None:
        return "none readable"
    smallest, median, largest = (f"{h} x {w}" for h, w in (part.smallest, part.median, part.largest))
    return median if smallest == largest else f"{smallest} to {largest},\nmedian {median}"

"""``resight data``: check a data set, list the readers, write a split."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.options import Flag, Json
from resight.commands.output import print_json, print_left_out, print_table, show

if TYPE_CHECKING:
    from resight.data.check import Check, PartSummary
    from resight.data.check_classification import ClassPart
    from resight.registry import Registry


def check(
    path: Path,
    *,
    reading: DataOptions = DEFAULT,
    json: Json = False,
) -> None:
    """Count the crops of a data set, and find problems for training and scoring.

    Every image is read. The exit status is 0 if the set is usable, and 1 if not: unreadable images, persons
    in both the training and the test part, fewer than two persons to train on, no query with a match, or, in
    a classification, a class without training pictures. The counts of a known data set are compared with the
    published ones.

    Args:
        path: folder of a known data set, in Market-1501 layout, or with one sub-folder per person.
    """
    from resight.data.check import Check, check_benchmark
    from resight.data.check_classification import check_classification
    from resight.data.classification import Classification
    from resight.data.opening import open_data

    opened = open_data(path, **reading.arguments())
    found = check_classification(opened) if isinstance(opened, Classification) else check_benchmark(opened)
    content = found.as_dict()
    if json:
        print_json(content)
    else:
        table = _table(found.parts) if isinstance(found, Check) else _class_table(found.parts)
        print_table(*table, title=f"{content['name']}, protocol {content['protocol']}")
        if isinstance(found, Check):
            _print_matches(found)
        if content["published"] is not None and content["published"]["as_published"]:
            print(f"The counts equal those published for {content['published']['name']}.")
        for kind in ("notes", "warnings", "problems"):
            for sentence in content[kind]:
                show(f"{kind.removesuffix('s').capitalize()}: {sentence}")
        print("Not usable as it is." if found.problems else "Usable.")
        if isinstance(found, Check):
            print_left_out(found.benchmark.left_out)
    if found.problems:
        raise SystemExit(1)


def readers(*, json: Flag = False) -> None:
    """List the readers of data sets with their options, the sets' publishers and terms of use.

    Choose a reader with --reader NAME,OPTION=VALUE,... if a folder is not recognised, or to set options.
    Nothing is downloaded.

    Args:
        json: print one JSON array.
    """
    from dataclasses import asdict

    from resight.data.classification import CLASSIFICATIONS
    from resight.data.opening import READERS

    found: list[dict[str, Any]] = []
    for name in sorted([*READERS.names(), *CLASSIFICATIONS.names()]):
        registry: Registry[Any] = READERS if name in READERS.names() else CLASSIFICATIONS
        reader = registry.get(name)
        source = registry.build(name).source
        schema = registry.settings(name).model_json_schema().get("properties", {})
        found.append(
            {
                "name": name,
                "description": (reader.__doc__ or "").partition("\n")[0],
                "options": {
                    option: {"default": entry.get("default"), "values": _values(entry)}
                    for option, entry in schema.items()
                },
                "source": None if source is None else asdict(source),
            }
        )
    if json:
        print_json(found)
        return
    for entry in found:
        print(f"{entry['name']}\n    {entry['description']}")
        for option, setting in entry["options"].items():
            print(f"    {option}={setting['default']}  ({setting['values']})")
        if entry["source"] is not None:
            print(f"    {entry['source']['address']}\n    {entry['source']['terms']}")
            if entry["source"]["note"]:
                print(f"    {entry['source']['note']}")


def split(
    path: Path,
    *,
    out: Path,
    reading: DataOptions = DEFAULT,
) -> None:
    """Write the crops of each part and random draw of a data set to a file, as relative paths.

    The file can be edited and used with --listing, even if the data set is moved.

    Args:
        path: folder of the data set.
        out: JSON file to write.
    """
    from resight.data.listing import save_listing
    from resight.data.opening import open_benchmark

    benchmark = open_benchmark(path, **reading.arguments())
    save_listing(benchmark, out)
    print(
        f"{out}: {len(benchmark.train):,} crops to train on, {len(benchmark.query):,} queries, "
        f"{len(benchmark.gallery):,} gallery crops, {len(benchmark.draws)} draws."
    )
    print_left_out(benchmark.left_out)


def _values(entry: dict[str, Any]) -> str:
    """Describe the allowed values of an option, from its JSON schema."""
    if "enum" in entry:
        return ", ".join(map(str, entry["enum"]))
    if "anyOf" in entry:
        return " or ".join(_values(part) for part in entry["anyOf"] if part.get("type") != "null")
    limits = [f"from {entry['minimum']}"] if "minimum" in entry else []
    if "exclusiveMaximum" in entry:
        limits.append(f"to {entry['exclusiveMaximum'] - 1}")
    words = {"integer": "whole number", "boolean": "true, false", "string": "text"}
    return " ".join([words.get(entry["type"], entry["type"]), *limits])


def _print_matches(found: "Check") -> None:
    if found.matches is not None:
        right, total = found.matches.with_match, found.matches.queries
        print(f"{right:,} of {total:,} queries have a match; {found.matches.pairs:,} pairs.")
    if draws := found.benchmark.draws:
        print(f"{len(draws)} draws of {len(draws[0].query):,} queries in {len(draws[0].gallery):,} crops.")


def _class_table(parts: "dict[str, ClassPart]") -> tuple[list[str], list[list[str]]]:
    rows = [
        ["Pictures", *(f"{part.pictures:,}" for part in parts.values())],
        ["Classes", *(f"{part.classes:,}" for part in parts.values())],
        ["Pictures of a class", *(_from_to(part.fewest, part.most) for part in parts.values())],
        ["Height x width", *(f"{part.height} x {part.width}" for part in parts.values())],
    ]
    return ["", *parts], rows


def _from_to(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _table(parts: "dict[str, PartSummary]") -> tuple[list[str], list[list[str]]]:
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
            ("single_camera", "Persons by one camera only"),
        )
    ]
    rows.append(["Height x width", *map(_sizes, parts.values())])
    return ["", *parts], rows


def _sizes(part: "PartSummary") -> str:
    if part.smallest is None or part.median is None or part.largest is None:
        return "none readable"
    smallest, median, largest = (f"{h} x {w}" for h, w in (part.smallest, part.median, part.largest))
    return median if smallest == largest else f"{smallest} to {largest},\nmedian {median}"

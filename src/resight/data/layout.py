"""Which part of a crop's path is its person and which its camera: inferred from evidence, or asked for.

Evidence is: folders named as cameras or persons, file names of a known form, equal sub-folder names under
every folder, and the numbers of folders, sub-folders and pictures. Where two readings fit, the error names
both, each with the option that chooses it.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resight.errors import UserError
from resight.names import readable

FORMS = {
    "Market-1501": r"(?P<person>-1|\d+)_c(?P<camera>\d+)s\d+_\d+_\d+",
    "PRW": r"(?P<person>-[12]|\d+)_c(?P<camera>\d+)s\d+_\d+",
    "DukeMTMC": r"(?P<person>-1|\d+)_c(?P<camera>\d+)_f\d+",
    "RandPerson": r"(?P<person>\d+)_(?P<camera>s\d+_?c\d+)(?:_[a-z]?\d+)*",  # ClonedPerson, UnrealPerson
    "VeRi": r"(?P<person>-1|\d+)_c(?P<camera>\d+)(?:_\d+)+",
    "LTCC": r"(?P<person>\d+)_(?P<clothes>\d+)_c(?P<camera>\d+)_\d+",
    "MARS": r"(?:00)?(?P<person>-1|\d{4})C(?P<camera>\d)T(?P<track>\d{4})F\d+",
    "CUHK-SYSU": r"p(?P<person>-?\d+)_s\d+(?:_\d+)?",
}
"""Names of files that hold the person and, if known, camera, clothes and track, without their ending."""

CAMERA = re.compile(
    r"cam(?:era)?s?([\W_]?\d\w*|[\W_]\w+)?|(?:c|ch|channel|view)[\W_]?\d{1,3}|\w+[\W_]cam(?:era)?", re.I
)
PERSON = re.compile(r"(?:p|pid|id|identity|persons?|people|subject)[\W_]?\d+", re.I)
PADDED = re.compile(r"-1|\d{4,}")
NOT_PERSONS = re.compile(
    r"(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:[012]\d|3[01])(?:[T\W_].*)?|(?:[012]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d{4}|"
    r"(?:track(?:let)?|clip|video|frame|sequence|seq|scene|shot|"
    r"session|day|date|hour)s?[\W_]?\d+",
    re.I,
)
HOUR = re.compile(r"[01]?\d|2[0-3]")
"""Names of folders that are cameras, that are persons, that may well be persons, that may well be dates or
pieces of videos, and that may be hours in folders of dates."""

PIECES = "are named as dates, hours or pieces of videos are"

MOST_CAMERAS, FEWEST_PICTURES = 32, 30
"""Up to so many folders, with so many pictures each or more, may as well be cameras as persons."""

SURELY_PERSONS = 20
"""So many folders or more, with sub-folders of different names, are persons with their tracks."""

NOBODY = "nobody is labelled, with 'embed' --unlabelled, with 'gallery add'"
CAMERAS = f"they are cameras and {NOBODY}"

Parts = tuple[str, ...]
"""A path below the named folder: its folders, then the file's name."""


@dataclass(frozen=True, slots=True)
class PathLayout:
    """Where the labels are in the paths of crops.

    Attributes:
        form: reads the file names; None: they are no labels.
        person: number of the folder that is the person, 0 for the outermost; None: the form reads it, or
            nobody is labelled.
        camera: number of the folder that is the camera; None: the form reads it, or it is not known.
        evidence: what was inferred from what, in a sentence.
    """

    form: re.Pattern[str] | None = None
    person: int | None = None
    camera: int | None = None
    evidence: str = ""


def infer(paths: Sequence[Parts], root: Path, outer: int, *, camera: int | None = None) -> PathLayout:
    """Infer the layout of crops.

    Args:
        paths: of all crops, at least one.
        root: the folder that they are in, for messages.
        outer: folders that are not looked at: 1 if the first one is a part of a split.
        camera: number of the folder that is known to be the camera; -1: the camera is known from file names.

    Raises:
        UserError: two readings fit, or none.
    """
    for form, text in FORMS.items():
        expression = re.compile(text + r"\.\w+", re.I)
        if all(expression.fullmatch(path[-1]) for path in paths):
            return _by_names(paths, root, outer, form, expression)
    inside = [path for path in paths if len(path) > outer + 1]
    names = [{path[level] for path in inside if len(path) > level + 1} for level in range(_depth(inside))]
    everywhere = min((len(path) - 1 for path in inside), default=0)
    evidence, given = [], camera is not None
    if not given:
        camera = next((at for at in range(outer, everywhere) if _all(CAMERA, names[at])), None)
        if camera is not None:
            evidence.append(f"Cameras are the folders {some(names[camera])}, by their names")
    levels = [level for level in range(outer, len(names)) if level != camera]
    if len(levels) > 1 and 2 * sum(len(path) > levels[1] + 1 for path in inside) < len(inside):
        levels = levels[:1]  # only some of the folders have sub-folders
    if not levels:
        return PathLayout(camera=camera, evidence=". ".join(evidence))
    person = levels[0]
    first, *second = (names[level] for level in levels[:2])
    if _all(NOT_PERSONS, first) and all(_all(NOT_PERSONS, one) or _all(HOUR, one) for one in second):
        fact = " and ".join(f"{len(one):,} folders ({some(one)})" for one in (first, *second))
        if given:
            how = folder_option(person, camera)
            return PathLayout(None, None, camera, f"{fact} {PIECES}, so nobody is labelled. Otherwise: {how}")
        raise _likely_nobody(root, f"{fact} {PIECES}, and may not be persons", levels[:2], camera)
    if len(levels) == 1:
        if camera is None:
            _refuse_likely_cameras(root, person, names[person], len(inside))
    else:
        person, within = _nested(inside, root, (levels[0], levels[1]), names, camera)
        if within is not None:
            camera = within
            evidence.append(
                f"Cameras are the folders {some(names[camera])}, as they have the same sub-folders"
            )
    evidence.append(f"Persons are the folders {some(names[person])}")
    return PathLayout(None, person, camera, ". ".join(evidence))


def unlabelled(root: Path, layout: PathLayout, paths: Sequence[Parts]) -> UserError:
    """Return the error for crops of which only the cameras are known."""
    level = layout.camera
    if level is None or level < 0:
        return UserError(
            f"Nothing in the paths of the {len(paths):,} images in {root} names the persons. Put each "
            "person's images into a folder, or give a --pattern with a group 'person'."
        )
    names = {path[level] for path in paths if len(path) > level + 1}
    return two_readings(
        root,
        f"{len(names):,} folders are named as cameras are ({some(names)}), and nothing names the persons",
        {
            CAMERAS: _camera_option(level),
            "the folders are the persons": folder_option(level),
        },
    )


def search(expression: re.Pattern[str], paths: Sequence[str], root: Path) -> list[re.Match[str] | None]:
    """Search each path below a folder; or, if not all have what is sought, with the folder's own name before.

    Args:
        expression: has the group ``person`` or ``camera``.
        paths: relative to ``root``, with slashes.
        root: the folder; what is above it does not count.
    """

    def found(before: str) -> list[re.Match[str] | None]:
        return [expression.search(before + path) for path in paths]

    def complete(matches: list[re.Match[str] | None]) -> bool:
        return all(match is not None and match.groupdict().get("camera", "") is not None for match in matches)

    below = found("")
    if complete(below) or not complete(named := found(f"{root.resolve().name}/")):
        return below
    return named


def level_of(matches: Sequence[re.Match[str] | None], paths: Sequence[str]) -> int:
    """Return the number of the folder that is the group ``camera`` of all matches; -1 if it is none."""
    levels = {
        match.string.count("/", 0, match.start("camera")) - match.string.count("/") + path.count("/")
        for match, path in zip(matches, paths, strict=True)
        if match is not None and match["camera"] is not None
    }
    level = levels.pop() if len(levels) == 1 else -1
    return level if level < min((path.count("/") for path in paths), default=0) else -1


def two_readings(root: Path, fact: str, readings: Mapping[str, str]) -> UserError:
    """Return the error for a folder that can be read in several ways.

    Args:
        root: the folder.
        fact: what does not tell them apart.
        readings: each with the option that chooses it.
    """
    ways = ". ".join(f"If {reading}: {option}" for reading, option in readings.items())
    return UserError(f"{root} can be read in {len(readings)} ways: {fact}. {ways}")


def folder_option(person: int, camera: int | None = None) -> str:
    """Return the option that reads these folders."""
    groups = {person: "(?P<person>[^/]+)"} | ({} if camera is None else {camera: "(?P<camera>[^/]+)"})
    return f"--pattern '^{''.join(groups.get(level, '[^/]+') + '/' for level in range(max(groups) + 1))}'"


def some(names: Iterable[str]) -> str:
    """Return the first of the names, for a sentence."""
    ordered = sorted(names)
    shown = ", ".join(map(readable, ordered[:3]))
    return shown + (f" and {len(ordered) - 3:,} more" if len(ordered) > 3 else "")


def _by_names(
    paths: Sequence[Parts], root: Path, outer: int, form: str, expression: re.Pattern[str]
) -> PathLayout:
    """Return the layout of files with names of a known form, in folders that agree with them or do not."""
    said = f"the file names, which have {form} form"
    known = "" if "camera" not in expression.groupindex else "cameras"
    folders: dict[str, set[str]] = defaultdict(set)
    persons: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        found = expression.fullmatch(path[-1])
        assert found is not None
        folder = path[outer] if len(path) > outer + 1 else ""
        folders[folder].add(found["person"])
        persons[found["person"]].add(folder)
    mixed = [folder for folder, there in folders.items() if len(there) > 1]
    spread = any(len(there) > 1 for there in persons.values())
    if not mixed and not spread:
        evidence = f"Persons are the folders {some(folders)}"
        return PathLayout(expression, outer, None, f"Cameras are read from {said}" if known else evidence)
    if not any(folders) or (mixed and spread) or _all(CAMERA, folders):
        return PathLayout(expression, None, None, f"Persons{known and f' and {known}'} are read from {said}")
    fact = f"the {len(folders):,} folders ({some(folders)}) are not the {len(persons):,} persons in {said}"
    text = expression.pattern.removesuffix(r"\.\w+")
    raise two_readings(
        root,
        fact,
        {
            "the names are right": f"--pattern '{text}'",
            "the folders are the persons": folder_option(outer),
        },
    )


def _nested(
    inside: Sequence[Parts],
    root: Path,
    levels: tuple[int, int],
    names: Sequence[set[str]],
    camera: int | None,
) -> tuple[int, int | None]:
    """Tell which of two levels of folders are the persons, and whether the outer ones are cameras."""
    first, second = levels
    outer, inner = len(names[first]), len(names[second])
    leaves = {(path[first], path[second]) for path in inside if len(path) > second + 1}
    shared = outer > 1 and 3 * inner <= 2 * len(leaves)
    cameras = first if shared and camera is None else None
    begun = _all(PADDED, names[first]) and all(within.startswith(name) for name, within in leaves)
    surely = outer > inner or len(leaves) == outer or begun or (outer >= SURELY_PERSONS and not shared)
    if _all(PERSON, names[first]) or outer == 1 or surely:
        return first, None
    if _all(PERSON, names[second]):
        return second, cameras
    if shared:
        fact = f"{outer:,} folders ({some(names[first])}) have sub-folders of the same names"
    else:
        fact = f"{outer:,} folders ({some(names[first])}) have {len(leaves):,} sub-folders"
    kept = None if camera is None or camera < 0 else camera
    raise two_readings(
        root,
        f"{fact} ({some(names[second])})",
        {
            "the folders are the persons": folder_option(first, kept),
            f"the sub-folders are the persons{', the folders cameras' if cameras is not None else ''}": (
                folder_option(second, kept if cameras is None else cameras)
            ),
        },
    )


def _likely_nobody(root: Path, fact: str, levels: Sequence[int], camera: int | None) -> UserError:
    """Return the error for folders of dates, hours or tracks: as persons, cameras would share them."""
    options = [folder_option(level, camera) for level in levels]
    which = ("the folders", "the sub-folders") if len(levels) > 1 else ("they",)
    nobody = f"--unlabelled, with 'adapt': {options[0]} --ignore-persons"
    return two_readings(
        root,
        fact,
        {f"{these} are persons": option for these, option in zip(which, options, strict=True)}
        | {NOBODY: nobody if camera is None else _camera_option(camera)},
    )


def _refuse_likely_cameras(root: Path, level: int, names: set[str], pictures: int) -> None:
    if len(names) > MOST_CAMERAS or pictures < FEWEST_PICTURES * len(names) or len(names) == 1:
        return
    if not _all(PERSON, names) and not _all(PADDED, names):
        raise two_readings(
            root,
            f"{len(names):,} folders ({some(names)}) hold {pictures:,} pictures, so they may be cameras as "
            "well as persons",
            {
                "they are persons": folder_option(level),
                CAMERAS: _camera_option(level),
            },
        )


def _camera_option(level: int) -> str:
    expression = f"'^{'[^/]+/' * level}(?P<camera>[^/]+)/'"
    return f"--camera-pattern {expression}, with 'adapt': --pattern {expression}"


def _all(expression: re.Pattern[str], names: Iterable[str]) -> bool:
    return all(expression.fullmatch(name) for name in names)


def _depth(paths: Sequence[Parts]) -> int:
    return max((len(path) for path in paths), default=1) - 1

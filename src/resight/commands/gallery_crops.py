"""Crops for ``resight gallery``: read from files, or selected by a filter."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from resight.commands.options import Timezone
from resight.data.layout import search
from resight.errors import UserError
from resight.files import readable
from resight.gallery.crops import FILTERS, Filter, NewCrop, make_filter
from resight.timestamps import find_zone, parse_time, time_in_name

if TYPE_CHECKING:
    from datetime import datetime, tzinfo
    from pathlib import Path

    from resight.features.crop_list import CropList


def _help(name: str) -> Parameter:
    return Parameter(help=f"{FILTERS[name][1]}.", negative="")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Options that select crops; see ``Filter``."""

    camera: Annotated[list[str] | None, _help("camera")] = None
    not_camera: Annotated[list[str] | None, _help("not_camera")] = None
    after: Annotated[str | None, _help("after")] = None
    before: Annotated[str | None, _help("before")] = None
    tag: Annotated[list[str] | None, _help("tag")] = None
    person: Annotated[list[str] | None, _help("person")] = None
    source: Annotated[list[str] | None, _help("source")] = None
    labelled: Annotated[bool, _help("labelled")] = False
    timezone: Timezone = field(default=None, compare=False)  # selects no crops

    def filter(self, ids: Sequence[str] = ()) -> Filter:
        """Return the filter, limited to crops with the given ids if there are any."""
        return make_filter(vars(self), self.zone, ids)

    @property
    def zone(self) -> "tzinfo":
        """The zone of times without one, and of times that are shown."""
        return find_zone(self.timezone)


EVERYTHING = FilterOptions()


def count_crops(found: "CropList") -> int:
    """Return the number of crops in a list that are not junk."""
    return len(found.paths) if found.persons is None else int((found.persons >= 0).sum())


def new_crops(
    found: "CropList",
    camera: str | None,
    camera_pattern: str | None,
    time: str | None,
    tags: Sequence[str],
) -> Iterator[NewCrop]:
    """Yield the crops of a list that are not junk.

    Args:
        found: the list.
        camera: of all crops, or None.
        camera_pattern: regular expression for the camera in a path, or None.
        time: time of all crops; ``name`` to read it from each file's name; or None.
        tags: of all crops.

    Raises:
        UserError: the pattern or the time is invalid, or a file's path does not match.
    """
    folder = (found.source if found.source.is_dir() else found.source.parent).absolute()
    names = [
        path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
        for path in found.paths
    ]
    cameras = _cameras(found, names, folder, camera_pattern)
    fixed = None if time is None or time == "name" else parse_time(time)
    for row, (path, name) in enumerate(zip(found.paths, names, strict=True)):
        person = 0 if found.persons is None else int(found.persons[row])
        if person < 0:
            continue
        yield NewCrop(
            path,
            camera=camera or cameras[row],
            time=_time_in_name(path.name) if time == "name" else fixed,
            source=readable(str(found.source.absolute())),
            name=readable(name),
            person=found.names.get(person, str(person)) if person > 0 else None,
            tags=tuple(tags),
        )


def _cameras(
    found: "CropList", names: Sequence[str], folder: "Path", camera_pattern: str | None
) -> Sequence[str | None]:
    """Return the camera of each crop, None if it is not known."""
    expression = _pattern(camera_pattern)
    if expression is not None:
        matches = search(expression, names, folder)
        cameras = [None if match is None else match["camera"] for match in matches]
        if None in cameras:
            raise UserError(f"The --camera-pattern does not match the path {names[cameras.index(None)]}.")
        return [camera and readable(camera) for camera in cameras]
    if found.cameras is None:
        return [None] * len(names)
    return [found.camera_names.get(number, str(number)) for number in found.cameras.tolist()]


def _pattern(text: str | None) -> "re.Pattern[str] | None":
    if text is None:
        return None
    try:
        expression = re.compile(text)
    except re.error as error:
        raise UserError(f"The --camera-pattern is not a regular expression: {error}.") from error
    if "camera" not in expression.groupindex:
        raise UserError("The --camera-pattern needs a group named camera, such as (?P<camera>[a-z]+).")
    return expression


def _time_in_name(name: str) -> "datetime":
    time = time_in_name(name)
    if time is None:
        raise UserError(
            f"The file name {name} contains no time, such as 2024-05-31_14-30-00 or seconds since 1970. "
            "Give one time for all crops, --time 2024-05-31T14:30, or leave --time out."
        )
    return time

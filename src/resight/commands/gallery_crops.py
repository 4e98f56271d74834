"""Which crops ``resight gallery`` takes: from files, and from a gallery."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from resight.errors import UserError
from resight.timestamps import parse_time, time_in_name

if TYPE_CHECKING:
    from datetime import datetime

    from resight.features.crop_list import CropList
    from resight.gallery.crops import Filter, NewCrop

Words = Annotated[list[str] | None, Parameter(negative="")]
"""An option that may be repeated."""


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Which crops.

    Args:
        camera: taken by this camera; may be repeated.
        not_camera: not taken by this camera; may be repeated.
        after: taken at that time or later, as 2024-05-31T14:30 in this machine's time zone, or with a zone.
        before: taken before that time.
        tag: having this tag; may be repeated, and all must be there.
        person: said to be this person; may be repeated.
        source: cut out of this video, stream or folder; may be repeated.
    """

    camera: Words = None
    not_camera: Words = None
    after: str | None = None
    before: str | None = None
    tag: Words = None
    person: Words = None
    source: Words = None

    def filter(self, ids: tuple[str, ...] = ()) -> "Filter":
        """Return it as the gallery takes it, for these crops alone if any are named."""
        from resight.gallery.crops import Filter

        return Filter(
            cameras=tuple(self.camera or ()),
            not_cameras=tuple(self.not_camera or ()),
            after=None if self.after is None else parse_time(self.after),
            before=None if self.before is None else parse_time(self.before),
            tags=tuple(self.tag or ()),
            persons=tuple(self.person or ()),
            sources=tuple(self.source or ()),
            ids=ids,
        )


def count_crops(found: "CropList") -> int:
    """Return how many crops of a list there are to add: all but junk."""
    return len(found.paths) if found.persons is None else int((found.persons >= 0).sum())


def new_crops(
    found: "CropList",
    camera: str | None,
    camera_pattern: str | None,
    time: str | None,
    tags: Sequence[str],
) -> Iterator["NewCrop"]:
    """Yield the crops of a list, but for junk.

    Args:
        found: crops.
        camera: what the camera of all is called, or None.
        camera_pattern: regular expression that finds it in a path, or None.
        time: when all were taken; ``name`` to read it in each file's name; or None.
        tags: of all.

    Raises:
        UserError: a pattern or a time is wrong, or does not fit a file.
    """
    from resight.gallery.crops import NewCrop

    expression = _pattern(camera_pattern)
    folder = found.source if found.source.is_dir() else found.source.parent
    fixed = None if time is None or time == "name" else parse_time(time)
    for row, path in enumerate(found.paths):
        person = 0 if found.persons is None else int(found.persons[row])
        if person < 0:
            continue
        name = (
            path.relative_to(folder.absolute()).as_posix()
            if path.is_relative_to(folder.absolute())
            else str(path)
        )
        yield NewCrop(
            path,
            camera=camera or _camera(found, row, name, expression),
            time=_time_in_name(path.name) if time == "name" else fixed,
            source=str(found.source.absolute()),
            name=name,
            person=found.names.get(person, str(person)) if person > 0 else None,
            tags=tuple(tags),
        )


def _camera(found: "CropList", row: int, name: str, expression: "re.Pattern[str] | None") -> str | None:
    if expression is not None:
        match = expression.search(name)
        if match is None:
            raise UserError(
                f"The --camera-pattern does not match {name}. It is searched in each file's path."
            )
        return match["camera"]
    return None if found.cameras is None else str(int(found.cameras[row]))


def _pattern(text: str | None) -> "re.Pattern[str] | None":
    if text is None:
        return None
    try:
        expression = re.compile(text)
    except re.error as error:
        raise UserError(f"The --camera-pattern is no regular expression: {error}.") from error
    if "camera" not in expression.groupindex:
        raise UserError("The --camera-pattern needs a group named camera, such as (?P<camera>[a-z]+).")
    return expression


def _time_in_name(name: str) -> "datetime":
    time = time_in_name(name)
    if time is None:
        raise UserError(
            f"There is no time in the name {name}. Known are 2024-05-31_14-30-00 and the like, and seconds "
            "since 1970. Give --time 2024-05-31T14:30:00 for all, or leave --time away."
        )
    return time

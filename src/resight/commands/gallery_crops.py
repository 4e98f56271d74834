"""Crops for ``resight gallery``: read from files, or selected by a filter."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from resight.commands.options import Timezone
from resight.data.layout import search
from resight.errors import UserError
from resight.gallery.crops import FILTERS, Filter, NewCrop, make_filter
from resight.gallery.pictures import read_pixels
from resight.image_files import exif_time, named_time
from resight.imaging import natural
from resight.left_out import LeftOut
from resight.names import readable
from resight.timestamps import find_zone, parse_time

if TYPE_CHECKING:
    from datetime import datetime, tzinfo
    from pathlib import Path

    from resight.features.crop_list import CropList
    from resight.gallery.gallery import Gallery


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


NO_CAMERA = "a path that the --camera-pattern does not match"
NO_TIME = "a file name without a time"


def count_crops(found: "CropList") -> int:
    """Return the number of crops in a list that are not junk."""
    return len(found.paths) if found.persons is None else int((found.persons >= 0).sum())


@dataclass(frozen=True, kw_only=True)
class NewCropOptions:
    """What is stored with the crops of data sets.

    Attributes:
        camera: of all crops; None: as in the data set.
        camera_pattern: regular expression for the camera in a path, or None.
        time: time of all crops; ``name`` to read it from each file's path; None: as in its EXIF data.
        zone: of times without one; None: the default zone.
        tags: of all crops.
        label_prefix: put before the label of each person; ``{source}`` stands for the data set's folder.

    Raises:
        UserError: the pattern or the time is invalid.
    """

    camera: str | None = None
    camera_pattern: str | None = None
    time: str | None = None
    zone: "tzinfo | None" = None
    tags: Sequence[str] = ()
    label_prefix: str = ""

    def __post_init__(self) -> None:
        if self.camera is not None and self.camera_pattern is not None:
            raise UserError("Give --camera or --camera-pattern, not both.")
        _ = self._expression, self._fixed_time

    def label(self, found: "CropList", person: int) -> str | None:
        """Return the label of a person of a data set; None for an unlabelled crop, whose person is 0."""
        if person <= 0:
            return None
        prefix = self.label_prefix.replace("{source}", found.source.absolute().name)
        return prefix + found.names.get(person, str(person))

    def labels(self, found: "CropList") -> set[str]:
        """Return the labels of all persons of a data set."""
        persons = set() if found.persons is None else set(found.persons.tolist())
        return {label for person in persons if (label := self.label(found, person)) is not None}

    def crops(self, found: "CropList", left_out: LeftOut) -> Iterator[NewCrop]:
        """Yield the crops of a list that are not junk; those without camera or time are left out."""
        folder = (found.source if found.source.is_dir() else found.source.parent).absolute()
        names = [
            path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
            for path in found.paths
        ]
        cameras = self._cameras(found, names, folder)
        for row, (path, name) in enumerate(zip(found.paths, names, strict=True)):
            person = 0 if found.persons is None else int(found.persons[row])
            if person < 0:
                continue
            if self._expression is not None and cameras[row] is None:
                left_out.add(NO_CAMERA, name)
                continue
            time, guessed = self._time(path)
            if time is None and self.time == "name":
                left_out.add(NO_TIME, name)
            else:
                yield NewCrop(
                    path,
                    camera=self.camera or cameras[row],
                    time=time,
                    source=readable(str(found.source.absolute())),
                    name=readable(name),
                    person=self.label(found, person),
                    tags=tuple(self.tags),
                    time_guessed=guessed,
                )

    def _time(self, path: "Path") -> "tuple[datetime | None, bool]":
        """Return the time of a crop, and whether it is a guess."""
        if self.time == "name":
            return named_time(path, self.zone)
        return exif_time(path, self.zone) if self.time is None else self._fixed_time, False

    def _cameras(self, found: "CropList", names: Sequence[str], folder: "Path") -> Sequence[str | None]:
        """Return the camera of each crop, None if it is not known or does not match the pattern."""
        if self._expression is not None:
            matches = search(self._expression, names, folder)
            return [None if match is None else readable(match["camera"] or "") or None for match in matches]
        if found.cameras is None:
            return [None] * len(names)
        return [found.camera_names.get(number, str(number)) for number in found.cameras.tolist()]

    @cached_property
    def _fixed_time(self) -> "datetime | None":
        return None if self.time in (None, "name") else parse_time(str(self.time), self.zone)

    @cached_property
    def _expression(self) -> "re.Pattern[str] | None":
        if self.camera_pattern is None:
            return None
        try:
            expression = re.compile(self.camera_pattern)
        except re.error as error:
            raise UserError(f"The --camera-pattern is not a regular expression: {error}.") from error
        if "camera" not in expression.groupindex:
            raise UserError("The --camera-pattern needs a group named camera, such as (?P<camera>[a-z]+).")
        return expression


def at_least_one(crops: Iterator[NewCrop], left_out: LeftOut) -> Iterator[NewCrop]:
    """Return the crops.

    Raises:
        UserError: there are none, because all were left out or cannot be read.
    """
    tried: list[NewCrop] = []
    reasons = LeftOut()
    for crop in crops:
        tried.append(crop)
        try:
            read_pixels(crop.picture)
        except UserError as error:
            reasons.add_unreadable(str(error).rstrip("."), error)
        else:
            return chain(tried, crops)
    reasons.update(left_out)
    remedies = ["Check the files; paths in a list are relative to the list's own folder."] * bool(tried)
    if left_out:
        remedies.append(
            "Change --camera-pattern or --time, or give one camera and one time for all: "
            "--camera lobby --time 2024-05-31T14:30."
        )
    listed = "; ".join(
        f"{row['reason']}: {row['count']:,}, such as {row['example']}" for row in reasons.as_list()
    )
    raise UserError(f"No crop can be added. Left out: {listed}. {' '.join(remedies)}")


def shared_labels(gallery: "Gallery", lists: Sequence["CropList"], options: NewCropOptions) -> Iterator[str]:
    """Yield a sentence for each data set whose labels persons of other sources have."""
    labelled: dict[str, str] = {}
    stored = gallery.values("person").keys()
    for found in lists:
        source, labels = readable(str(found.source.absolute())), options.labels(found)
        same = {label: labelled[label] for label in labels if labelled.get(label, source) != source}
        if there := labels & stored:
            where = Filter(persons=tuple(there))
            if others := tuple(name for name in gallery.values("source", where) if name != source):
                elsewhere = gallery.values("person", replace(where, sources=others))
                same |= dict.fromkeys(elsewhere, others[0])
        labelled |= dict.fromkeys(labels, source)
        if same:
            first = min(same, key=natural)
            yield (
                f"{len(same):,} persons of {source} have the same label as persons of other sources, such as "
                f"'{first}' of {same[first]}, and become one person with them. If these are other people, "
                "give a --label-prefix, such as '{source}-'."
            )

"""Sources of frames: a common interface to recorded videos, folders of frames and cameras."""

import math
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any, Protocol

from resight.errors import UserError
from resight.folders import list_images
from resight.image_files import exif_time
from resight.imaging import Pixels, natural, read_image
from resight.ingest.times import Start, start_of
from resight.left_out import LeftOut
from resight.names import readable
from resight.timestamps import confirmed, date_in_name, time_in_name

DEFAULT_RATE = 25.0
"""Default frame rate of a folder of frames, per second."""

Position = dict[str, Any]
"""A frame's position in its source, as data for JSON."""


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Attributes:
        index: its number in the source, from 0.
        time: when it was taken, in seconds since 1970.
        pixels: uint8 [H, W, 3].
        stamp: presentation timestamp in the units of its video stream, or None.
    """

    index: int
    time: float
    pixels: Pixels
    stamp: int | None = None

    def position(self) -> Position:
        """Return the position and a checksum, to find the frame again and verify it."""
        return {"index": self.index, "stamp": self.stamp, "sum": zlib.adler32(self.pixels.tobytes())}


class SourceLost(UserError):
    """The connection to a source was lost; all frames before were read."""


class FrameSource(Protocol):
    """A source of frames.

    Attributes:
        name: of the crops' source in the gallery.
        total: number of frames, if known.
        start: time of the first frame.
        stretch: factors of width and height by which recorded frames are enlarged, so that pixels are square.
        sure_until: times of frames after this are guesses; in seconds since 1970.
        live: whether frames arrive in real time and only once.
        identity: data that change if the source's frames change.
        notes: messages about problems so far.
        left_out: what cannot be read, so far.
    """

    name: str
    total: int | None
    start: Start
    stretch: tuple[float, float]
    sure_until: float
    live: bool
    identity: dict[str, Any]
    notes: list[str]
    left_out: LeftOut

    def frames(self, every: int, after: Position | None = None) -> Iterator[Frame | None]:
        """Yield every ``every``-th frame, starting after a position if given; yield None while waiting.

        Raises:
            UserError: there is no frame.
            SourceLost: the connection to the source was lost.
        """


class FrameFolder:
    """A folder of images, in the natural order of their names.

    Args:
        folder: of the images.
        start: seconds since 1970 of the first frame; by default, times come from the file names or EXIF data,
            or the start from the folder's name.
        rate: frames per second, if the names have no times.
        zone: of names without one; None: the default zone.

    Attributes:
        left_out: files that are no frames, by reason.

    Raises:
        UserError: the folder has no images.
    """

    live = False

    def __init__(
        self,
        folder: Path,
        start: float | None = None,
        rate: float | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        self.left_out = LeftOut()
        found = list_images(folder, left_out=self.left_out)
        self._paths = sorted(found, key=lambda path: natural(path.name))
        if not self._paths:
            raise UserError(f"{folder} has no frames. Image files are expected directly in it.")
        self.name = readable(str(folder.resolve()))
        self.total: int | None = len(self._paths)
        self.notes: list[str] = []
        self.stretch = 1.0, 1.0
        self._rate = rate or DEFAULT_RATE
        named = [time_in_name(path.name, zone) for path in self._paths]
        origin, taken = "its frames' names", exif_time(self._paths[0], zone) if None in named else None
        if taken is not None:
            named, origin = [exif_time(path, zone) for path in self._paths], "its frames' EXIF data"
        self._times: list[float] | None = None
        one = None not in named and len(set(named)) == 1 < len(named)  # of the recording, or a serial number
        if start is None and rate is None and None not in named and not one:
            times = [time.timestamp() for time in named if time is not None]
            sure = taken is not None or all(
                date_in_name(path.name, zone) or confirmed(time, (path.stat().st_mtime,))
                for path, time in zip(self._paths, times, strict=True)
            )
            if not sure:
                origin = "the numbers in its frames' names, as seconds since 1970, a guess: give --start"
            self._take_times(times, Start(min(times), origin, sure, zone))
        else:
            path = self._paths[0] if one and taken is None else folder
            metadata = None if taken is None else taken.isoformat()
            changed = self._paths[0].stat().st_mtime
            self.start = start_of(path.resolve().as_posix(), start, metadata, changed, zone)
        self._guessed = rate is None and self._times is None
        self.sure_until = -math.inf if self._guessed or not self.start.sure else math.inf
        names = "\n".join(path.name for path in self._paths)
        self.identity = {
            "frames": len(self._paths),
            "names": zlib.adler32(os.fsencode(names)),
            "fps": self._rate,
        }

    @property
    def numbers(self) -> list[int] | None:
        """Return the last number in each frame's name; None if one has none, or two have the same."""
        found = [re.findall(r"\d+", path.stem)[-1:] for path in self._paths]
        numbers = [int(digits) for each in found for digits in each if len(digits) <= 15]
        return numbers if len(set(numbers)) == len(self._paths) else None

    def _take_times(self, times: list[float], start: Start) -> None:
        """Use the frames' own times, in their order."""
        order = sorted(range(len(times)), key=times.__getitem__)
        moved = sum(new != old for old, new in enumerate(order))
        self._paths, self._times = [self._paths[old] for old in order], [times[old] for old in order]
        self.start = start
        if moved:
            self.notes.append(f"{moved:,} frames are in the order of their times, not of their names.")

    def frames(self, every: int, after: Position | None = None) -> Iterator[Frame | None]:
        """See ``FrameSource``."""
        first = 0 if after is None else after["index"] + every
        unreadable = 0
        for index in range(first, len(self._paths), every):
            try:
                pixels = read_image(self._paths[index])
            except UserError as error:
                unreadable += 1
                self.left_out.add_unreadable(readable(self._paths[index].name), error)
                if unreadable == 1:
                    self.notes.append(f"Left out: {error}")
                continue
            yield Frame(index, self._time(index), pixels)
        if unreadable:
            self.notes.append(f"{unreadable} of {len(self._paths)} frames could not be read.")
            if unreadable == len(range(0, len(self._paths), every)):
                raise UserError(f"No frame in {self.name} can be read. {self.notes[0]}")
        if self._guessed:
            self.notes.append(f"{self._rate:g} frames per second is a guess. Give --fps.")

    def _time(self, index: int) -> float:
        return self.start.seconds + index / self._rate if self._times is None else self._times[index]

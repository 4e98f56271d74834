"""The start time of a recording: from the user, its name, its metadata or the file system."""

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import PurePosixPath

from resight.errors import UserError
from resight.timestamps import (
    confirmed,
    date_in_name,
    from_seconds,
    in_zone,
    parse_time,
    seconds_in_name,
    show_time,
)


@dataclass(frozen=True)
class Start:
    """The start time of a recording.

    Attributes:
        seconds: since 1970.
        origin: where the time comes from, for messages.
        sure: False for a guess.
        zone: to show it in; None: the default zone.
    """

    seconds: float
    origin: str
    sure: bool = True
    zone: tzinfo | None = field(default=None, compare=False)

    def __str__(self) -> str:
        time = in_zone(from_seconds(self.seconds), self.zone)
        return f"starts at {show_time(time, self.zone)} {time:%Z} (from {self.origin})"


def start_of(
    path: str,
    start: float | None,
    metadata: str | None,
    changed: float | None,
    zone: tzinfo | None = None,
) -> Start:
    """Return the start time of a recording.

    Args:
        path: of its file, with ``/`` between folders.
        start: time given by the user, in seconds since 1970; it takes precedence.
        metadata: the container's ``creation_time``. A date in the file's name takes precedence, because
            cutting or converting a recording often changes this time. Seconds since 1970 in a name may be a
            serial number: they come after it, and are a guess unless another time is within a day.
        changed: start time by the file system, in seconds since 1970, or None.
        zone: of a name without one; None: the default zone.

    Raises:
        UserError: none of these gives a time.
    """
    if start is not None:
        return Start(start, "--start", zone=zone)
    if (named := date_in_name(path, zone)) is not None:
        return Start(named.timestamp(), "its name", zone=zone)
    try:
        created = 0.0 if metadata is None else parse_time(metadata, UTC).timestamp()
    except UserError:
        created = 0.0  # a clock that was never set also shows 1904 or 1970
    counted = seconds_in_name(path)
    number = 0.0 if counted is None else counted.timestamp()
    if number and confirmed(number, (created, changed)):
        return Start(number, "its name", zone=zone)
    if created > 0:
        return Start(created, "its metadata", zone=zone)
    if number:
        guess = f"the number {number:.0f} in its name, as seconds since 1970, a guess: give --start"
        return Start(number, guess, sure=False, zone=zone)
    if changed is None:
        raise UserError(
            f"The start time of {PurePosixPath(path).name} is not known: give --start 2024-05-31T14:30:00."
        )
    guess = "the file's modification time, a guess: give --start"
    return Start(max(0.0, changed), guess, sure=False, zone=zone)

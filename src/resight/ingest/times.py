"""The start time of a recording: from the user, its name, its metadata or the file system."""

from dataclasses import dataclass
from datetime import UTC

from resight.errors import UserError
from resight.timestamps import from_seconds, parse_time, show_time, time_in_name


@dataclass(frozen=True)
class Start:
    """The start time of a recording.

    Attributes:
        seconds: since 1970.
        origin: where the time comes from, for messages.
        sure: False for a guess.
    """

    seconds: float
    origin: str
    sure: bool = True

    def __str__(self) -> str:
        return f"starts at {show_time(from_seconds(self.seconds))} (from {self.origin})"


def start_of(name: str, start: float | None, metadata: str | None, changed: float | None) -> Start:
    """Return the start time of a recording.

    Args:
        name: of its file.
        start: time given by the user, in seconds since 1970; it takes precedence.
        metadata: the container's ``creation_time``. The file's name takes precedence, because cutting or
            converting a recording often changes this time.
        changed: start time by the file system, in seconds since 1970, or None.

    Raises:
        UserError: none of these gives a time.
    """
    if start is not None:
        return Start(start, "--start")
    if (named := time_in_name(name)) is not None:
        return Start(named.timestamp(), "its name")
    try:
        created = 0.0 if metadata is None else parse_time(metadata, UTC).timestamp()
    except UserError:
        created = 0.0
    if created > 0:  # a clock that was never set shows 1904 or 1970
        return Start(created, "its metadata")
    if changed is None:
        raise UserError(f"The start time of {name} is not known: give --start 2024-05-31T14:30:00.")
    return Start(max(0.0, changed), "the file's modification time, a guess: give --start", sure=False)

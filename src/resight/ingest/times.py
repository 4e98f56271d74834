"""When a recording begins: by the user, its name, its container or the file system."""

from dataclasses import dataclass
from datetime import UTC

from resight.errors import UserError
from resight.timestamps import from_seconds, parse_time, show_time, time_in_name


@dataclass(frozen=True)
class Start:
    """When a recording begins.

    Attributes:
        seconds: since 1970.
        origin: where this was read, for a message.
        sure: False where it is a guess.
    """

    seconds: float
    origin: str
    sure: bool = True

    def __str__(self) -> str:
        return f"begins at {show_time(from_seconds(self.seconds))} (from {self.origin})"


def start_of(name: str, start: float | None, metadata: str | None, changed: float | None) -> Start:
    """Return when a recording begins.

    Args:
        name: of its file.
        start: what the user gave, in seconds since 1970; it counts before all else.
        metadata: the container's ``creation_time``. The file's name counts before it: cutting or converting a
            recording often sets it to the time of that.
        changed: seconds since 1970 by the file system, or None.

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
        raise UserError(f"It is not known when {name} was recorded: give --start 2024-05-31T14:30:00.")
    return Start(
        max(0.0, changed), "the time at which the file was changed, a guess: give --start", sure=False
    )

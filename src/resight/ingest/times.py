"""When a picture was taken: what a user, a file's name, a container or the file system says."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from resight.errors import UserError

_DATE_AND_TIME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)[-_.T ]{0,3}"
    r"(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?:[.,](\d{1,6}))?(Z)?(?!\d)"
)
_SECONDS = re.compile(r"(?<!\d)(1\d{9})(?:[._]?(\d{3}))?(?!\d)")


@dataclass(frozen=True)
class Start:
    """When a video begins.

    Attributes:
        seconds: since 1970, UTC.
        origin: who says so, for a message.
        sure: False where it is a guess.
    """

    seconds: float
    origin: str
    sure: bool = True

    def __str__(self) -> str:
        begin = datetime.fromtimestamp(self.seconds).astimezone().isoformat(timespec="seconds")
        return f"begins {begin}, by {self.origin}"


def parse_time(text: str) -> float:
    """Return the time that a user wrote, as seconds since 1970.

    Raises:
        UserError: it is no time in ISO 8601, or before 1970.
    """
    try:
        seconds = datetime.fromisoformat(text).timestamp()  # without a zone it is this machine's
    except (ValueError, OverflowError, OSError):
        raise UserError(
            f"'{text}' is no time. Write it as 2024-05-31T14:30:00, with +02:00 or Z behind it where the "
            "time zone is not this machine's."
        ) from None
    if seconds < 0:
        raise UserError(f"The time '{text}' lies before 1970: the camera's clock is not set.")
    return seconds


def time_in_name(name: str) -> float | None:
    """Return the time that a file's name holds, as seconds since 1970, or None.

    Known are ``2024-05-31_14-30-00`` with other signs or none between the numbers, a fraction or ``Z`` behind
    (without ``Z`` it is in this machine's time zone), and ten digits (seconds since 1970) or thirteen
    (milliseconds).
    """
    for found in _DATE_AND_TIME.finditer(name):
        year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
        fraction = int((found[7] or "").ljust(6, "0"))
        zone = UTC if found[8] else None
        try:
            return datetime(year, month, day, hour, minute, second, fraction, zone).timestamp()
        except (ValueError, OverflowError, OSError):
            continue  # a number of 14 digits that is no date
    if digits := _SECONDS.search(name):
        return int(digits[1]) + int(digits[2] or 0) / 1000
    return None


def start_of(name: str, start: float | None, metadata: str | None, changed: float | None) -> Start:
    """Return when a recording begins.

    Args:
        name: of its file. start: what the user says, which counts before all else.
        metadata: the container's ``creation_time``. It counts after the file's name: cutting or converting a
            recording often sets it to the time of that.
        changed: what the file system suggests, or None.

    Raises:
        UserError: none of these says it.
    """
    if start is not None:
        return Start(start, "--start")
    if (named := time_in_name(name)) is not None:
        return Start(named, "its name")
    if metadata is not None:
        try:
            moment = datetime.fromisoformat(metadata)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            seconds = 0.0
        if seconds > 0:  # a clock that is not set says 1904 or 1970
            return Start(seconds, "its metadata")
    if changed is None:
        raise UserError(f"Nobody says when {name} was recorded: give --start 2024-05-31T14:30:00.")
    return Start(max(0.0, changed), "its file's time of change (a guess: give --start)", sure=False)

"""The one way to read, check and show times.

A time without a zone is in the caller's zone: the service's ``--timezone``, else this machine's.
"""

import os
import re
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from resight.errors import UserError

LOCAL_ZONE_FILE = Path("/etc/localtime")

_DATE_AND_TIME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)[-_.T ]{0,3}"
    r"(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?:[.,](\d{1,6}))?(Z)?(?!\d)"
)
_SECONDS = re.compile(r"(?<!\d)(1\d{9})(?:[._]?(\d{3}))?(?!\d)")


def parse_time(text: str, zone: tzinfo | None = None) -> datetime:
    """Return the time in a text in ISO 8601, with its zone.

    Args:
        text: such as ``2024-05-31T14:30``, ``2024-05-31 14:30:00.5+02:00``, ``20240531T143000Z`` or
            ``2024-05-31`` (midnight).
        zone: of a text without one; None: this machine's.

    Raises:
        UserError: it is not a time in ISO 8601, or lies before 1970.
    """
    try:
        time = _with_zone(datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError, OSError):
        raise UserError(
            f"'{text}' is not a time. Write it as 2024-05-31T14:30, or with a time zone: "
            "2024-05-31T14:30:00+02:00."
        ) from None
    check_time(time)
    return time


def check_time(time: datetime) -> None:
    """Refuse a time that a gallery cannot keep.

    Raises:
        UserError: it has no time zone, or lies before 1970.
    """
    if time.tzinfo is None:
        raise UserError(f"The time {time.isoformat()} has no time zone. Add one, such as +00:00.")
    if time.timestamp() < 0:
        raise UserError(f"The time {time.isoformat()} lies before 1970. Was the camera's clock set?")


def time_in_name(name: str, zone: tzinfo | None = None) -> datetime | None:
    """Return the time in a file's name, or None.

    It may be ``2024-05-31_14-30-00``, with other signs or none between the numbers, followed by a fraction or
    by ``Z``; or seconds (10 digits) or milliseconds (13 digits) since 1970.

    Args:
        name: of the file.
        zone: of a name without ``Z``; None: this machine's.
    """
    for match in _DATE_AND_TIME.finditer(name):
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        fraction = int((match[7] or "").ljust(6, "0"))
        try:
            time = datetime(year, month, day, hour, minute, second, fraction)
            return _with_zone(time, UTC if match[8] else zone)
        except (ValueError, OverflowError, OSError):
            continue  # 14 digits that are not a date
    if digits := _SECONDS.search(name):
        return from_seconds(int(digits[1]) + int(digits[2] or 0) / 1000)
    return None


def from_seconds(seconds: float) -> datetime:
    """Return the time, in UTC, that is this many seconds after 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def show_time(time: datetime, zone: tzinfo | None = None) -> str:
    """Return a time as text for people: ``2024-05-31 14:30:00`` in a zone; None: this machine's."""
    return f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def find_zone(name: str | None) -> tzinfo:
    """Return a time zone, with its daylight saving rules.

    Args:
        name: such as ``Europe/Berlin``; None: this machine's, from the variable ``TZ`` or the system.

    Raises:
        UserError: no zone has this name.
    """
    try:
        if name is not None:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UserError(f"There is no time zone '{name}'. Name one such as Europe/Berlin.") from error
    try:
        if variable := os.environ.get("TZ"):
            return ZoneInfo(variable.lstrip(":"))
        with LOCAL_ZONE_FILE.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        offset = datetime.now().astimezone().tzinfo  # without daylight saving rules
        assert offset is not None
        return offset


def _with_zone(time: datetime, zone: tzinfo | None) -> datetime:
    if time.tzinfo is not None:
        return time
    return time.astimezone() if zone is None else time.replace(tzinfo=zone)

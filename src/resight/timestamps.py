"""The one way to read, check and show times.

A time without a zone is in the caller's zone: that of ``--timezone``, else the default zone, which is
that of the variable ``RESIGHT_TIMEZONE``, else this machine's.
"""

import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from resight.errors import UserError

LOCAL_ZONE_FILE = Path("/etc/localtime")

_DATE = r"(?<!\d)(?P<year>(?:19|20)\d\d)[-_.:]?(?P<month>\d\d)[-_.:]?(?P<day>\d\d)"
_FRACTION = r"(?:[.,](?P<part>\d{1,6})|(?P<milli>\d{3}))?"
_CLOCK = rf"(?P<hour>\d\d)[-_.:h]?(?P<minute>\d\d)[-_.:m]?(?P<second>\d\d)s?{_FRACTION}"
_EAST = r"\+(?P<east>\d\d)(?:[-_.:]?(?P<east_minutes>\d\d))?"
_WEST = r"-(?P<west>\d\d):?(?P<west_minutes>\d\d)"
_IN_NAME = re.compile(
    rf"(?P<pixel>PXL_)?{_DATE}(?P<between>[-_.T ]{{0,3}}|\s?at ){_CLOCK}(?:(?P<utc>Z)|{_EAST}|{_WEST})?(?!\d)"
)
_FRIGATE = re.compile(
    rf"(?:^|/){_DATE}/(?P<hour>\d\d)/[^/]+/(?P<minute>\d\d)\.(?P<second>\d\d)\.\w+$",
)
_IN_FOLDER = re.compile(
    rf"(?:^|/){_DATE}/(?:[^/]+/){{0,3}}(?P<hour>\d\d)[-_.:](?P<minute>\d\d)[-_.:](?P<second>\d\d)(?!\d)[^/]*$"
)
_COUNTED = re.compile(r"(?<![^\W_])(?P<seconds>1\d{9})(?:\.(?P<part>\d{1,6})|[._]?(?P<milli>\d{3}))?(?!\d)")
_SERIAL = re.compile(r"(?:(?<![a-z])(?:sn|id|no|nr)|serial)[-_. ]*$", re.IGNORECASE)
_DAY = 86400.0
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)


def parse_time(text: str, zone: tzinfo | None = None) -> datetime:
    """Return the time in a text in ISO 8601, with its zone.

    Args:
        text: such as ``2024-05-31T14:30``, ``2024-05-31 14:30:00.5+02:00``, ``20240531T143000Z`` or
            ``2024-05-31`` (midnight).
        zone: of a text without one; None: the default zone.

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


def time_in_name(path: str, zone: tzinfo | None = None) -> datetime | None:
    """Return the time in a file's name, or None: see ``date_in_name`` and ``seconds_in_name``."""
    return date_in_name(path, zone) or seconds_in_name(path)


def date_in_name(path: str, zone: tzinfo | None = None) -> datetime | None:
    """Return the date and time of day in a file's name, or None.

    It may be ``2024-05-31_14-30-00``, with other signs or none between the numbers, followed by a fraction,
    by ``Z`` or by an offset such as ``+02:00``. Names of Pixel phones (``PXL_``) are in UTC. A folder may
    give the date: ``2024-05-31/14-30-00.mp4``, or Frigate's ``2024-05-31/14/CAMERA/30.00.mp4`` (UTC).

    Args:
        path: of the file, with ``/`` between folders.
        zone: of a name without one; None: the default zone.
    """
    for match in _IN_NAME.finditer(path.rpartition("/")[2]):
        time = _moment(match, zone)
        serial = re.match(r"\D*\d{14}", match[0]) and time and not _EARLIEST <= time <= _tomorrow()
        if time is not None and not serial:
            return time
    for pattern, its_zone in ((_FRIGATE, UTC), (_IN_FOLDER, zone)):
        if found := pattern.search(path):
            return _moment(found, its_zone)
    return None


def seconds_in_name(path: str) -> datetime | None:
    """Return the seconds (10 digits) or milliseconds (13 digits) since 1970 in a file's name, or None.

    Serial numbers may look the same: times after tomorrow, and digits that follow a letter or a word such as
    ``serial``, are not read.
    """
    name = path.rpartition("/")[2]
    for match in _COUNTED.finditer(name):
        time = from_seconds(float(f"{match['seconds']}.{match['part'] or match['milli'] or 0}"))
        if time <= _tomorrow() and not _SERIAL.search(name[: match.start()]):
            return time
    return None


def confirmed(seconds: float, others: Iterable[float | None]) -> bool:
    """Return whether seconds in a file's name are a time and no serial number: another time is within a day.

    Args:
        seconds: since 1970, as ``seconds_in_name`` reads them.
        others: what else is known of when the file was made, in seconds since 1970; None: not known.
    """
    return any(other is not None and abs(seconds - other) < _DAY for other in others)


def from_seconds(seconds: float) -> datetime:
    """Return the time, in UTC, that is this many seconds after 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def show_time(time: datetime, zone: tzinfo | None = None, guessed: bool = False) -> str:
    """Return a time as text for people: ``2024-05-31 14:30:00``, after ``~`` if it is a guess.

    Args:
        time: with its zone.
        zone: to show it in; None: the default zone.
        guessed: whether it is a guess.
    """
    return f"{'~' if guessed else ''}{in_zone(time, zone):%Y-%m-%d %H:%M:%S}"


def in_zone(time: datetime, zone: tzinfo | None = None) -> datetime:
    """Return a time in a zone; None: the default zone."""
    return time.astimezone(zone or (find_zone() if os.environ.get("RESIGHT_TIMEZONE") else None))


def find_zone(name: str | None = None) -> tzinfo:
    """Return a time zone, with its daylight saving rules.

    Args:
        name: such as ``Europe/Berlin``; None: the default zone, by the variable ``RESIGHT_TIMEZONE``, the
            variable ``TZ`` or the system.

    Raises:
        UserError: no zone has this name.
    """
    name = name or os.environ.get("RESIGHT_TIMEZONE")
    try:
        if name:
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


def _moment(match: re.Match[str], zone: tzinfo | None) -> datetime | None:
    found = match.groupdict("")
    names = "year", "month", "day", "hour", "minute", "second"
    year, month, day, hour, minute, second = (int(found[name]) for name in names)
    fraction = int((found.get("part") or found.get("milli") or "0").ljust(6, "0"))
    try:
        time = datetime(year, month, day, hour, minute, second, fraction)
        return _with_zone(time, _zone_of(found, zone))
    except (ValueError, OverflowError, OSError):
        return None  # digits that are not a date


def _zone_of(found: dict[str, str], zone: tzinfo | None) -> tzinfo | None:
    """Return the zone that a name gives; after ``-``, digits are an offset only in ISO 8601 (with a T)."""
    if found.get("utc") or found.get("pixel"):
        return UTC
    west = found.get("west") if "T" in found.get("between", "") else None
    hours = int(found.get("east") or west or 99)
    minutes = int(found.get("west_minutes" if west else "east_minutes") or 0)
    if hours > 14 or minutes % 15:
        return zone
    return timezone((-1 if west else 1) * timedelta(hours=hours, minutes=minutes))


def _tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def _with_zone(time: datetime, zone: tzinfo | None) -> datetime:
    if time.tzinfo is not None:
        return time
    if zone is None and not os.environ.get("RESIGHT_TIMEZONE"):
        return time.astimezone()
    return time.replace(tzinfo=zone or find_zone())

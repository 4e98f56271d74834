"""Times are read and shown in one way everywhere."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from resight import timestamps
from resight.errors import UserError
from resight.timestamps import check_time, find_zone, from_seconds, parse_time, show_time, time_in_name

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this machine."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("lobby_2024-05-31_14-30-00.mp4", "2024-05-31T12:30:00"),
        ("20240531143000.avi", "2024-05-31T12:30:00"),
        ("VID_20240531_143000.mp4", "2024-05-31T12:30:00"),
        ("cam1-2024.01.31 14h30m05.mkv", "2024-01-31T13:30:05"),
        ("2024-05-31T14:30:00Z.ts", "2024-05-31T14:30:00"),
        ("2024-05-31T143000.250.jpg", "2024-05-31T12:30:00.25"),
        ("cam_1717165800.jpg", "2024-05-31T14:30:00"),
        ("cam_1717165800500.jpg", "2024-05-31T14:30:00.5"),
        ("1717165800.25-abc123.mp4", "2024-05-31T14:30:00.25"),
        ("2024-05-31T14:30:00+05:00.mp4", "2024-05-31T09:30:00"),
        ("2024-05-31_14-30-00+0530.mp4", "2024-05-31T09:00:00"),
        ("2024-05-31T14-30-00+05.mp4", "2024-05-31T09:30:00"),
        ("20240531T143000-0500.mp4", "2024-05-31T19:30:00"),
        ("20240531-143000-0500.mp4", "2024-05-31T12:30:00"),  # without a T, a number follows
        ("192.168.1.64_01_20240531143000123_MOTION.jpg", "2024-05-31T12:30:00.123"),
        ("PXL_20240531_123000123.jpg", "2024-05-31T12:30:00.123"),
        ("PXL_20240531_123000123.TS.mp4", "2024-05-31T12:30:00.123"),
        ("Screenshot 2024-05-31 at 14.30.00.png", "2024-05-31T12:30:00"),
        ("/media/2024-05-31/14/gate/30.00.mp4", "2024-05-31T14:30:00"),
        ("2024-05-31/14-30-00.mp4", "2024-05-31T12:30:00"),
        ("2024-05-31/001/dav/14/14.30.00-14.35.00[M][0@0][0].dav", "2024-05-31T12:30:00"),
    ],
)
def test_names_hold_times(name: str, wanted: str) -> None:
    assert time_in_name(name) == utc(wanted)


@pytest.mark.parametrize(
    "name",
    [
        "lobby.mp4",
        "000123.jpg",
        "20241399143000.mp4",
        "2024-05-31.mp4",
        "99999999999999999.jpg",
        "2024-05-31/lobby.mp4",
        "2024-05-31_14-30-00/1.jpg",
        "DS-2CD2143G0-I20190712AAWRD12345678.mp4",
        "SN1456789012.mp4",
        "cam_sn-1456789012.mp4",
        "serial_1456789012.mp4",
        "1999999999.mp4",  # after tomorrow
        "20980531143000.mp4",
    ],
)
def test_other_names_hold_none(name: str) -> None:
    assert time_in_name(name) is None


def test_what_a_user_says_may_have_a_zone() -> None:
    assert parse_time("2024-05-31T14:30:00Z") == utc("2024-05-31T14:30:00")
    assert parse_time("2024-05-31 14:30") == utc("2024-05-31T12:30:00")
    assert parse_time("2024-05-31T14:30:00-05:00") == utc("2024-05-31T19:30:00")
    assert parse_time("20240531") == utc("2024-05-30T22:00:00")
    assert parse_time("2024-01-31T14:30").isoformat() == "2024-01-31T14:30:00+01:00"


def test_the_callers_zone_counts_where_a_text_has_none() -> None:
    assert parse_time("2024-05-31T14:30", NEW_YORK) == utc("2024-05-31T18:30:00")
    assert parse_time("2024-01-31T14:30", NEW_YORK) == utc("2024-01-31T19:30:00")
    assert parse_time("2024-05-31T14:30Z", NEW_YORK) == utc("2024-05-31T14:30:00")
    assert time_in_name("2024-05-31_14-30-00.jpg", NEW_YORK) == utc("2024-05-31T18:30:00")
    assert time_in_name("2024-05-31_14-30-00Z.jpg", NEW_YORK) == utc("2024-05-31T14:30:00")


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "25:00", "", "31.05.2024", "0001-01-01"])
def test_bad_times_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"'{text}' is not a time|lies before 1970"):
        parse_time(text)
    with pytest.raises(UserError, match="lies before 1970"):
        parse_time("1969-12-31T00:00:00Z")


def test_a_time_has_a_zone() -> None:
    with pytest.raises(UserError, match="has no time zone"):
        check_time(datetime(2024, 5, 31))


def test_times_are_shown_in_a_zone() -> None:
    moment = from_seconds(utc("2024-05-31T12:30:00").timestamp() + 0.25)
    assert moment.tzinfo is UTC
    assert show_time(moment) == "2024-05-31 14:30:00"
    assert show_time(moment, NEW_YORK) == "2024-05-31 08:30:00"


def test_the_variable_names_the_zone_of_all_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_TIMEZONE", "America/New_York")
    assert find_zone() == NEW_YORK
    assert parse_time("2024-05-31T14:30") == utc("2024-05-31T18:30:00")
    assert time_in_name("2024-05-31_14-30-00.jpg") == utc("2024-05-31T18:30:00")
    assert show_time(utc("2024-05-31T18:30:00")) == "2024-05-31 14:30:00"
    assert show_time(utc("2024-05-31T18:30:00"), ZoneInfo("UTC"), guessed=True) == "~2024-05-31 18:30:00"
    monkeypatch.setenv("RESIGHT_TIMEZONE", "Mars/Olympus")
    with pytest.raises(UserError, match="no time zone 'Mars/Olympus'"):
        parse_time("2024-05-31T14:30")


def test_zones_know_when_clocks_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offsets(name: str | None) -> list[timedelta | None]:
        zone = find_zone(name)
        return [zone.utcoffset(datetime(2024, month, 1)) for month in (1, 7)]

    assert offsets("America/New_York") == [timedelta(hours=-5), timedelta(hours=-4)]
    assert offsets(None) == [timedelta(hours=1), timedelta(hours=2)]
    monkeypatch.setenv("TZ", "nowhere")
    assert offsets(None)[0] is not None
    monkeypatch.delenv("TZ")
    monkeypatch.setattr(timestamps, "LOCAL_ZONE_FILE", tmp_path / "gone")
    assert offsets(None)[0] is not None
    with pytest.raises(UserError, match="no time zone 'Mars/Olympus'"):
        find_zone("Mars/Olympus")

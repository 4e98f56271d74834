"""When a picture was taken."""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from resight.errors import UserError
from resight.ingest.times import parse_time, start_of, time_in_name


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Names without a zone are in this machine's."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> float:
    return datetime.fromisoformat(text + "+00:00").timestamp()


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
    ],
)
def test_names_hold_times(name: str, wanted: str) -> None:
    assert time_in_name(name) == pytest.approx(utc(wanted))


@pytest.mark.parametrize(
    "name", ["lobby.mp4", "000123.jpg", "20241399143000.mp4", "2024-05-31.mp4", "99999999999999999.jpg"]
)
def test_other_names_hold_none(name: str) -> None:
    assert time_in_name(name) is None


def test_what_a_user_says_may_have_a_zone() -> None:
    assert parse_time("2024-05-31T14:30:00Z") == utc("2024-05-31T14:30:00")
    assert parse_time("2024-05-31 14:30") == utc("2024-05-31T12:30:00")
    assert parse_time("2024-05-31T14:30:00-05:00") == utc("2024-05-31T19:30:00")


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "25:00", "", "31.05.2024", "0001-01-01"])
def test_bad_times_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"'{text}' is no time|lies before 1970"):
        parse_time(text)
    with pytest.raises(UserError, match="lies before 1970"):
        parse_time("1969-12-31T00:00:00Z")


def test_user_before_name_before_metadata_before_the_files_change() -> None:
    named, plain, changed = "lobby_2024-05-31T14-30-00Z.mp4", "lobby.mp4", 2e9
    metadata = "2020-01-01T00:00:00.000000Z"
    assert start_of(named, 5.0, metadata, changed).seconds == 5.0
    assert start_of(named, None, metadata, changed).seconds == utc("2024-05-31T14:30:00")
    assert start_of(plain, None, metadata, changed).seconds == utc("2020-01-01T00:00:00")
    guess = start_of(plain, None, None, changed)
    assert guess.seconds == changed
    assert not guess.sure
    assert "a guess" in str(guess)
    assert start_of(plain, None, "1904-01-01T00:00:00Z", changed) == guess  # a clock that was never set
    assert start_of(plain, None, "soon", changed) == guess
    with pytest.raises(UserError, match=r"Nobody says when lobby\.mp4 was recorded: give --start"):
        start_of(plain, None, None, None)

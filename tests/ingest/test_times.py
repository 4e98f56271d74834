"""When a picture was taken."""

import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from resight.errors import UserError
from resight.ingest.times import start_of


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
    with pytest.raises(UserError, match=r"The start time of lobby\.mp4 is not known: give --start"):
        start_of(plain, None, None, None)


def test_a_number_that_may_be_a_serial_number_is_a_guess_unless_another_time_is_near() -> None:
    name, number = "cam_1456789012.mp4", 1456789012.0
    guess = start_of(name, None, None, 1.7e9)
    assert (guess.seconds, guess.sure) == (number, False)
    assert "the number 1456789012 in its name, as seconds since 1970, a guess: give --start" in str(guess)
    assert start_of(name, None, "2020-01-01T00:00:00Z", None).origin == "its metadata"
    for near in ((None, number + 3600), ("2016-03-01T12:00:00Z", None)):
        known = start_of(name, None, *near)
        assert (known.seconds, known.sure, known.origin) == (number, True, "its name")


def test_a_start_is_shown_in_the_zone_of_the_names() -> None:
    new_york = ZoneInfo("America/New_York")
    start = start_of("2024-05-31_14-30-00.mp4", None, None, None, new_york)
    assert start.seconds == utc("2024-05-31T18:30:00")
    assert str(start) == "starts at 2024-05-31 14:30:00 EDT (from its name)"
    assert str(start_of("2024-05-31_14-30-00.mp4", None, None, None)).startswith(
        "starts at 2024-05-31 14:30:00 CEST"
    )
    assert start_of("/nvr/2024-05-31/14/gate/30.00.mp4", None, None, None).seconds == utc(
        "2024-05-31T14:30:00"
    )

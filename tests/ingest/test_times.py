"""When a picture was taken."""

import time
from collections.abc import Iterator
from datetime import datetime

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

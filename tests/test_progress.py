"""The time left follows from the last minute's own steps, on a terminal and elsewhere."""

import pytest
from rich.console import Console

from resight import progress
from resight.progress import Bar, say_left_out, track


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def work(bar: Bar, clock: Clock, steps: int, seconds: float, size: int = 1) -> None:
    for _ in range(steps):
        clock.seconds += seconds
        bar.advance(size)


def test_the_time_left_is_unknown_before_the_first_step() -> None:
    with Bar("Work", 10, now=Clock()) as bar:
        assert bar.seconds_left() is None


def test_a_steady_pace_is_carried_on() -> None:
    clock = Clock()
    with Bar("Work", 100, now=clock) as bar:
        work(bar, clock, 10, 0.25)
        assert bar.seconds_left() == pytest.approx(90 * 0.25)


def test_only_the_last_minute_counts() -> None:
    clock = Clock()
    with Bar("Work", 1000, now=clock) as bar:
        work(bar, clock, 100, 0.5)
        work(bar, clock, 50, 2)
        assert bar.seconds_left() == pytest.approx(850 * 2)


def test_steps_that_take_longer_than_a_minute_are_reckoned_from_the_last_one() -> None:
    clock = Clock()
    with Bar("Work", 10, now=clock) as bar:
        work(bar, clock, 1, 300)
        work(bar, clock, 2, 90)
        assert bar.seconds_left() == pytest.approx(7 * 90)


def test_steps_that_come_together_need_a_longer_time_to_tell_the_pace() -> None:
    clock = Clock()
    with Bar("Work", 20, now=clock, recent=1800) as bar:
        for size in (0, 0, 0, 2, 0, 0, 0, 2):  # two processes, each of which takes 400 s for a step
            work(bar, clock, 1, 100, size)
        assert bar.seconds_left() == pytest.approx(16 * 200)


def test_steps_that_are_done_again_do_not_turn_the_time_left_around() -> None:
    clock = Clock()
    with Bar("Work", 20, done=5, now=clock, recent=1800) as bar:
        work(bar, clock, 1, 1, -2)
        assert bar.seconds_left() is None
        work(bar, clock, 4, 10)
        assert bar.seconds_left() == pytest.approx(13 * 10)


def test_what_an_earlier_process_did_says_nothing_of_the_pace() -> None:
    clock = Clock()
    with Bar("Work", 1000, done=900, now=clock) as bar:
        work(bar, clock, 10, 1)
        assert bar.seconds_left() == pytest.approx(90)


def test_batches_of_another_size_do_not_change_the_time_left() -> None:
    clock = Clock()
    with Bar("Work", 3200, now=clock) as bar:
        work(bar, clock, 50, 0.5, size=16)
        assert bar.seconds_left() == pytest.approx(2400 / 32)
        work(bar, clock, 25, 1, size=32)
        assert bar.seconds_left() == pytest.approx(1600 / 32)


def test_many_short_steps_are_counted_whole() -> None:
    clock = Clock()
    with Bar("Work", 200_000, now=clock) as bar:
        work(bar, clock, 100_000, 0.001)
        assert bar.seconds_left() == pytest.approx(100, rel=1e-6)


def test_without_a_total_nothing_is_said_of_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Bar("Looking", None, now=clock) as bar:
        work(bar, clock, 3, 1)
    assert capsys.readouterr().err == "Looking: 3, 0:03 spent \n"


def test_elsewhere_there_is_a_line_every_twenty_seconds_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with Bar("Work", 100, done=20, now=clock) as bar:
        work(bar, clock, 30, 1)
        bar.advance(0, "loss 0.5")
    assert capsys.readouterr().err.splitlines() == [
        "Work: 40/100, 0:20 spent, 1:00 left ",
        "Work: 50/100, 0:30 spent, 0:50 left loss 0.5",
    ]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(force_terminal=True, width=120, record=True)
    monkeypatch.setattr(progress, "stderr", console)
    return console


def test_a_terminal_shows_the_same_time_left(terminal: Console) -> None:
    clock = Clock()
    with Bar("Work", 1000, done=900, now=clock) as bar:
        work(bar, clock, 10, 6)
        bar.advance(0, "loss 0.5")
    shown = terminal.export_text()
    assert "910/1000" in shown
    assert "9:00 left loss 0.5" in shown


def test_track_counts_each_item(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", "Letters", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err.startswith("Letters: 3/3, ")


def test_only_the_first_things_left_out_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    say_left_out([f"{place}.jpg cannot be read." for place in range(10)])
    assert len(capsys.readouterr().err.splitlines()) == 10
    say_left_out([f"{place}.jpg cannot be read." for place in range(1210)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Left out: 0.jpg cannot be read."
    assert lines[9:] == ["Left out: 9.jpg cannot be read.", "Left out: 1,200 more."]

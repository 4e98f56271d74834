"""A timeline of the crops in a search result, by camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from resight.gallery.searching import Match
from resight.imaging import natural

STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200, 129600, 525600)
)
TICKS = 6
"""Largest number of ticks."""

MARGIN = 0.03
"""Share of the width to leave free at both ends."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A crop on its camera's line; ``place`` is its position from 0 to 1."""

    id: str
    place: float
    time: datetime
    score: float
    likely: bool | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """A line of dots for each camera.

    Attributes:
        lines: cameras and their dots.
        ticks: positions from 0 to 1, and labels.
        untimed: number of crops without a time or a camera.
    """

    lines: tuple[tuple[str, tuple[Dot, ...]], ...]
    ticks: tuple[tuple[float, str], ...]
    untimed: int


def timeline(matches: Sequence[Match], zone: tzinfo) -> Timeline | None:
    """Return the timeline of matches; None if fewer than two of them have a time."""
    timed = [
        (match, match.crop.time.astimezone(zone), match.crop.camera)
        for match in matches
        if match.crop.time is not None and match.crop.camera is not None
    ]
    if len(timed) < 2:
        return None
    first, last = min(time for _, time, _ in timed), max(time for _, time, _ in timed)
    span = max((last - first).total_seconds(), 60.0)
    begin = first - timedelta(seconds=span * MARGIN)
    span *= 1 + 2 * MARGIN

    def place(time: datetime) -> float:
        return (time - begin).total_seconds() / span

    lines: dict[str, list[Dot]] = {}
    for match, time, camera in timed:
        lines.setdefault(camera, []).append(Dot(match.crop.id, place(time), time, match.score, match.likely))
    return Timeline(
        tuple((camera, tuple(lines[camera])) for camera in sorted(lines, key=natural)),
        tuple((place(time), text) for time, text in _ticks(begin, timedelta(seconds=span))),
        len(matches) - len(timed),
    )


def _ticks(begin: datetime, span: timedelta) -> list[tuple[datetime, str]]:
    """Return round times within a span, and their labels."""
    step = next((step for step in STEPS if span / step <= TICKS), STEPS[-1])
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    time = midnight + step * -(-(begin - midnight) // step)
    ticks: list[tuple[datetime, str]] = []
    while time <= begin + span:
        new_day = not ticks or ticks[-1][0].date() != time.date()
        date = f"{time.day} {time:%b}"
        ticks.append(
            (time, date if step >= STEPS[11] else f"{date} {time:%H:%M}" if new_day else f"{time:%H:%M}")
        )
        time += step
    return ticks

"""Tracking: boxes are matched to tracks in two rounds, by motion, overlap and colours.

Source: Zhang et al., "ByteTrack" (arXiv 2110.06864), Algorithm 1: boxes with high scores are matched to all
tracks, then boxes with low scores to the remaining tracks. So a half-occluded person keeps the track, and no
track starts from a doubtful box. Here matching is greedy, best overlap first, and a smoothed velocity in
pixels per second replaces the Kalman filter, so frames may be skipped. A box does not continue a track of
other colours (as in DeepSORT, Wojke et al., arXiv 1703.07402, section 2.3): two persons whose paths cross
keep their tracks if their clothes differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from resight.ingest.boxes import Boxes, Floats, overlaps, visible_shares

SURE = 0.5
"""Lowest score of a box in the first round."""

NEW = 0.6
"""Lowest score of a box that starts a track."""

UNSURE = 0.1
"""Lowest score of a box in the second round."""

NEAR = 0.2
"""Smallest overlap of a box with the predicted box of its track, in the first round."""

NEAR_UNSURE = 0.5
"""Smallest overlap in the second round."""

PATIENCE = 1.0
"""Seconds without a box after which a track ends."""

SMOOTHING = 0.5
"""Weight of the newest velocity."""

ALIKE = 0.85
"""Lowest colour similarity of a box and its track. For one person in two frames, it is nearly always above
0.95; for two persons, it is below 0.87 in three of four cases (vtest.avi)."""

MATCHED = 1e-9
"""Smallest product of overlap and squared similarity for a match."""

LASTING = 0.9
"""Weight of a track's previous appearance when it is averaged with a new box."""

CLEAR = 0.7
"""Smallest visible share of a box whose appearance is used."""


@dataclass(frozen=True)
class Step:
    """The result of tracking one frame.

    Attributes:
        seen: pairs of a track and the row of its box.
        ended: tracks that ended.
    """

    seen: list[tuple[int, int]]
    ended: list[int]


class Tracker(Protocol):
    """Tracks persons from frame to frame; its state is plain data, so that it can be resumed."""

    def update(self, index: int, time: float, boxes: Boxes) -> Step:
        """Match the boxes of the next frame to tracks, given the frame's number and time in seconds."""

    def end(self) -> None:
        """End all tracks; only the numbers of new ones go on."""

    def state(self) -> dict[str, Any]:
        """Return the state as data for JSON."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state returned by ``state``."""


@dataclass
class _Track:
    number: int
    edges: list[float]
    seen: float
    velocity: list[float] = field(default_factory=lambda: [0.0, 0.0])
    sightings: int = 1
    missed: bool = False
    appearance: list[float] | None = None

    def expected(self, time: float) -> Floats:
        moved = np.array(self.velocity) * (time - self.seen)
        return np.asarray(np.array(self.edges) + np.concatenate([moved, moved]))

    def take(self, edges: Floats, time: float) -> None:
        passed = time - self.seen
        if passed > 0:
            moved = (edges[:2] + edges[2:] - np.array(self.edges[:2]) - np.array(self.edges[2:])) / (
                2 * passed
            )
            weight = SMOOTHING if self.sightings > 1 else 1.0
            self.velocity = (weight * moved + (1 - weight) * np.array(self.velocity)).tolist()
        self.edges, self.seen, self.missed = edges.tolist(), time, False
        self.sightings += 1

    def update_appearance(self, newest: Floats) -> None:
        if self.appearance is not None:
            newest = LASTING * np.array(self.appearance) + (1 - LASTING) * newest
        self.appearance = (newest / np.linalg.norm(newest)).tolist()


class OverlapTracker:
    """Tracks persons by position; colours can only exclude matches."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, index: int, time: float, boxes: Boxes) -> Step:
        """See ``Tracker``."""
        sure = np.flatnonzero(boxes.scores >= SURE)
        unsure = np.flatnonzero((boxes.scores >= UNSURE) & (boxes.scores < SURE))
        established = [track for track in self._tracks if track.sightings > 1]
        newborn = [track for track in self._tracks if track.sightings == 1]
        clear = (boxes.scores >= SURE) & (visible_shares(boxes.edges, boxes.scores >= SURE) >= CLEAR)
        seen: list[tuple[int, int]] = []
        free = set(sure.tolist())
        for tracks, rows, least in (
            (established, sure, NEAR),
            ([track for track in established if not track.missed], unsure, NEAR_UNSURE),
            (newborn, sure, NEAR),
        ):
            waiting = [track for track in tracks if track.number not in {number for number, _ in seen}]
            open_rows = [row for row in rows.tolist() if row in free or rows is unsure]
            expected = np.array([track.expected(time) for track in waiting]).reshape(-1, 4)
            overlap = overlaps(expected, boxes.edges[open_rows])
            similarity = similarities(waiting, boxes, open_rows)
            fit = np.where((overlap >= least) & (similarity >= ALIKE), overlap * similarity**2, 0)
            for which, row in match(fit, MATCHED):
                waiting[which].take(boxes.edges[open_rows[row]], time)
                if boxes.appearance is not None and clear[open_rows[row]]:
                    waiting[which].update_appearance(boxes.appearance[open_rows[row]])
                seen.append((waiting[which].number, open_rows[row]))
                free.discard(open_rows[row])
        found = {number for number, _ in seen}
        ended = []
        for track in list(self._tracks):
            if track.number in found:
                continue
            track.missed = True
            if track.sightings == 1 or time - track.seen > PATIENCE:
                self._tracks.remove(track)
                ended.append(track.number)
        for row in sorted(free):
            if boxes.scores[row] >= NEW:
                self._tracks.append(_Track(self._next, boxes.edges[row].tolist(), time))
                if boxes.appearance is not None:
                    self._tracks[-1].update_appearance(boxes.appearance[row])
                seen.append((self._next, row))
                self._next += 1
        return Step(seen, ended)

    def end(self) -> None:
        """See ``Tracker``."""
        self._tracks.clear()

    def state(self) -> dict[str, Any]:
        """See ``Tracker``."""
        return {"next": self._next, "tracks": [asdict(track) for track in self._tracks]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``Tracker``."""
        self._next = state["next"]
        self._tracks = [_Track(**track) for track in state["tracks"]]


class GivenTracks:
    """Tracks persons by the track numbers of their boxes.

    Args:
        last: track -> number of its last frame.
    """

    def __init__(self, last: Mapping[int, int]) -> None:
        self._last = dict(last)
        self._open: set[int] = set()

    def update(self, index: int, time: float, boxes: Boxes) -> Step:
        """See ``Tracker``."""
        assert boxes.tracks is not None or not len(boxes)
        numbers = [] if boxes.tracks is None else boxes.tracks.tolist()
        self._open |= set(numbers)
        ended = sorted(number for number in self._open if self._last[number] <= index)
        self._open -= set(ended)
        return Step([(number, row) for row, number in enumerate(numbers)], ended)

    def end(self) -> None:
        """See ``Tracker``."""
        self._open.clear()

    def state(self) -> dict[str, Any]:
        """See ``Tracker``."""
        return {"open": sorted(self._open)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``Tracker``."""
        self._open = set(state["open"])


def similarities(tracks: Sequence[_Track], boxes: Boxes, rows: Sequence[int]) -> Floats:
    """Return the colour similarity [T, R] of tracks and boxes, 0 to 1; 1 if not known."""
    similarity = np.ones((len(tracks), len(rows)))
    if boxes.appearance is not None:
        for place, track in enumerate(tracks):
            if track.appearance is not None:
                similarity[place] = boxes.appearance[rows] @ np.array(track.appearance)
    return similarity


def match(overlap: Floats, least: float) -> list[tuple[int, int]]:
    """Match rows and columns of a matrix greedily, largest entry first; return pairs (row, column)."""
    pairs = []
    rows, columns = np.nonzero(overlap >= least)
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    for place in np.argsort(-overlap[rows, columns], kind="stable"):
        row, column = int(rows[place]), int(columns[place])
        if row not in taken_rows and column not in taken_columns:
            pairs.append((row, column))
            taken_rows.add(row)
            taken_columns.add(column)
    return pairs

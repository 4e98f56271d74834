"""Boxes from a MOTChallenge text file (detections or ground truth), used instead of a detector.

A line is ``frame, track, left, top, width, height[, score[, class[, visibility]]]``;
further columns are ignored. Frames and pixels count from 1. Detections have track -1. In ground truth (nine
columns), boxes to ignore have score 0, and pedestrians have class 1.
Source: Milan et al., "MOT16" (arXiv 1603.00831), section 4.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.errors import UserError
from resight.ingest.boxes import Boxes, Floats, no_boxes

GROUND_TRUTH_COLUMNS = 9
PEDESTRIAN = 1
EXPECTED = (
    "expected 'frame, track, left, top, width, height, score, ...' as in MOTChallenge's det.txt and gt.txt"
)


@dataclass(frozen=True)
class BoxFile:
    """The boxes of a whole video.

    Attributes:
        frames: frame number, from 0 -> its boxes.
        tracked: whether the boxes have track numbers.
        last: track -> its last frame, from 0.
        note: message for the user, or "".
    """

    frames: dict[int, Boxes]
    tracked: bool
    last: dict[int, int]
    note: str

    def find(self, index: int) -> Boxes:
        """Return the boxes of a frame, given its number from 0."""
        return self.frames.get(index, no_boxes())


def read_boxes(path: Path) -> BoxFile:
    """Read a MOTChallenge file.

    Raises:
        UserError: the file cannot be read, a line is invalid (the message gives its number), or there is no
            box.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise UserError(f"{path} cannot be read: {reason}; {EXPECTED}.") from error
    lines = text.splitlines()
    rows = [_numbers(path, at, line) for at, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise UserError(f"{path} has no boxes; {EXPECTED}.")
    if len({len(row) for row in rows}) == 1 and len(rows[0]) == GROUND_TRUTH_COLUMNS:
        rows = [row for row in rows if row[6] != 0 and row[7] == PEDESTRIAN]
        if not rows:
            raise UserError(f"{path} has no pedestrians: no line has a nonzero column 7 and a 1 in column 8.")
        rows = [[*row[:6], 1.0] for row in rows]
    tracked = all(row[1] >= 0 for row in rows)
    if not tracked and any(row[1] >= 0 for row in rows):
        raise UserError(f"{path} has track numbers for some boxes and -1 for others; {EXPECTED}.")
    scores = np.array([row[6] if len(row) > 6 else 1.0 for row in rows])
    note = ""
    if scores.min() < 0 or scores.max() > 1:
        note = f"The scores in {path.name} are not between 0 and 1: every box gets the score 1."
        scores = np.ones_like(scores)
    return BoxFile(*_by_frame(np.array([row[:6] for row in rows]), scores, tracked), note)


def _by_frame(rows: Floats, scores: Floats, tracked: bool) -> tuple[dict[int, Boxes], bool, dict[int, int]]:
    places = defaultdict(list)
    last: dict[int, int] = {}
    for place, (frame, track) in enumerate(rows[:, :2].astype(np.int64).tolist()):
        places[frame - 1].append(place)
        if tracked:
            last[track] = max(last.get(track, 0), frame - 1)
    corners = rows[:, 2:4] - 1
    edges = np.concatenate([corners, corners + rows[:, 4:6]], 1)
    numbers = rows[:, 1].astype(np.int64)
    frames = {
        frame: Boxes(edges[found], scores[found], numbers[found] if tracked else None)
        for frame, found in places.items()
    }
    return frames, tracked, last


def _numbers(path: Path, at: int, line: str) -> list[float]:
    words = line.replace(",", " ").split()
    try:
        row = [float(word) for word in words]
    except ValueError:
        raise UserError(
            f"{path}, line {at}: '{line.strip()}' is not a list of numbers; {EXPECTED}."
        ) from None
    if not 6 <= len(row) <= 10:
        raise UserError(f"{path}, line {at} has {len(row)} columns; {EXPECTED} (6 to 10 columns).")
    if not np.all(np.isfinite(row)):
        raise UserError(f"{path}, line {at}: '{line.strip()}' has a number that is not finite.")
    if row[0] < 1 or row[0] != int(row[0]) or row[1] != int(row[1]):
        raise UserError(
            f"{path}, line {at}: frame {words[0]}, track {words[1]}; whole numbers are expected, "
            "and frames count from 1."
        )
    if row[4] <= 0 or row[5] <= 0:
        raise UserError(f"{path}, line {at}: a box {words[4]} wide and {words[5]} high is empty.")
    return row

"""Files of boxes: MOTChallenge's detections and ground truth, and the results of trackers.

A line is ``frame, track, left, top, width, height[, score[, class[, visibility]]]``, or has ten columns,
whose last three are not used. Track -1 is none. What the columns hold depends on who wrote them:

MOT16 and later, ground truth (nine columns): column 7 is 0 for boxes to ignore, class 1 a pedestrian.
Source: Milan et al., "MOT16" (arXiv 1603.00831), section 4. CVAT writes the same with classes of its own,
named in ``labels.txt`` beside the file, from 1 (docs.cvat.ai, "MOT").
MOT15, ground truth (ten columns): column 7 as above; 8 to 10 are places in the world. Source: Leal-Taixé et
al., "MOTChallenge 2015" (arXiv 1504.01942), section 3.3.
BoxMOT (nine columns): score, class, number of the detection; COCO's classes, from 1, in older versions from 0
(mikel-brostrom/boxmot, ``convert_to_mot_format``).
VisDrone, ground truth (ten columns): column 7 as above; class, truncation, occlusion; class 1 is a pedestrian
(VisDrone/VisDrone2018-MOT-toolkit, README).
Roboflow's Trackers (ten columns): boxes of track -1 are of no track yet (roboflow/trackers,
``trackers/io/mot.py``).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.ingest.boxes import Floats
from resight.ingest.classes import person_class
from resight.left_out import LeftOut

FRAME, TRACK, SCORE, CLASS, LAST = 0, 1, 6, 7, 8
"""Columns; LAST is visibility or the number of a detection."""

LARGEST = 2**53
"""Largest number of a frame or a track: larger ones are not exact."""

PEDESTRIAN = 1
EXPECTED = (
    "expected 'frame, track, left, top, width, height, score, ...' as in MOTChallenge's det.txt and gt.txt"
)


@dataclass
class BoxRows:
    """The boxes of persons in a file, as they stand there.

    Attributes:
        frames: [N] numbers of frames.
        tracks: [N], or None if the boxes have no tracks.
        places: [N, 4], columns 3 to 6.
        scores: [N], 0 to 1.
        notes: messages about what was guessed.
        left_out: boxes that are no persons, or of no track.
    """

    frames: Floats
    tracks: Floats | None
    places: Floats
    scores: Floats
    notes: list[str]
    left_out: LeftOut


def read_rows(path: Path, person: str | None = None) -> BoxRows:
    """Read a file of boxes.

    Args:
        path: of the file.
        person: name or number of the class "person"; by default as ``labels.txt`` says, else MOTChallenge's
            1.

    Raises:
        UserError: the file cannot be read, a line is invalid (the message gives its number), there is no box
            of a person, or it is not clear which class is a person.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise UserError(f"{path} cannot be read: {reason}; {EXPECTED}.") from error
    lines = [_numbers(path, at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UserError(f"{path} has no boxes; {EXPECTED}.")
    width = min(map(len, lines))
    alike = all(len(line) == width for line in lines)
    rows = np.array([line[:width] for line in lines])
    notes: list[str] = []
    left_out = LeftOut()
    flagged = width > SCORE and bool(np.all(np.isin(rows[:, SCORE], (0, 1)) & (rows[:, TRACK] >= 0)))
    if alike and (width in (8, 9) or _is_visdrone(rows)) and np.any(rows[:, CLASS] != -1):
        # a visibility is a share; a number of a detection is not
        flagged = flagged and (width == 8 or bool(np.all((rows[:, LAST] >= 0) & (rows[:, LAST] <= 1))))
        rows = _persons(path, rows, person, flagged, notes, left_out)
    elif person is not None:
        raise UserError(f"{path} has no column of classes: leave --person-class out.")
    if flagged:
        rows = _keep(rows, rows[:, SCORE] == 1, "boxes to ignore: column 7 is 0", left_out)
        if not len(rows):
            raise UserError(f"{path} has no boxes of persons but those to ignore, whose column 7 is 0.")
    tracked = bool(np.any(rows[:, TRACK] >= 0))
    if tracked:
        rows = _keep(
            rows, rows[:, TRACK] >= 0, "boxes without a track (-1), beside others with one", left_out
        )
        _, first = np.unique(rows[:, :2], axis=0, return_index=True)
        again = np.isin(np.arange(len(rows)), first)
        rows = _keep(rows, again, "further boxes of a track in the same frame", left_out)
    scores = rows[:, SCORE] if width > SCORE else np.ones(len(rows))
    if scores.min() < 0 or scores.max() > 1:
        notes.append(f"The scores in {path.name} are not between 0 and 1: every box gets the score 1.")
        scores = np.ones_like(scores)
    return BoxRows(rows[:, 0], rows[:, 1] if tracked else None, rows[:, 2:6], scores, notes, left_out)


def _persons(
    path: Path, rows: Floats, given: str | None, flagged: bool, notes: list[str], left_out: LeftOut
) -> Floats:
    """Return the rows of the class "person"; count the others."""
    names = _names(path.with_name("labels.txt"))
    person = person_class(given, names, f"{path.with_name('labels.txt') if names else path}")
    numbers, counts = np.unique(rows[:, CLASS], return_counts=True)
    found = dict(zip(numbers.astype(int).tolist(), counts.tolist(), strict=True))
    listed = ", ".join(f"{count:,} of class {number}" for number, count in found.items())
    if person is None:
        person = PEDESTRIAN if flagged or 0 not in found else 0
        if flagged and rows.shape[1] <= LAST + 1 and found.get(person, 0) < max(found.values()):
            raise UserError(
                f"{path} has boxes of classes: {listed}. In MOTChallenge's files class 1 is a pedestrian; "
                "here it is not the most frequent one. Give the right one: --person-class NUMBER."
            )
        if not flagged:
            first = "0" if person == 0 else "1"
            notes.append(
                f"{path.name} has scores and classes, as BoxMOT writes them ({listed}): COCO's classes "
                f"counted from {first}, so {first} is a person."
            )
    if person not in found:
        raise UserError(f"{path} has no box of a person, class {person}, but {listed}. See --person-class.")
    for number in sorted(found.keys() - {person}):
        name = f" ({names[number]})" if number in names else ""
        rows = _keep(rows, rows[:, CLASS] != number, f"boxes of class {number}{name}, not a person", left_out)
    return rows


def _is_visdrone(rows: Floats) -> bool:
    """Return whether rows of ten columns end in class, truncation and occlusion."""
    if rows.shape[1] != LAST + 2 or not rows[:, CLASS].any():
        return False
    kinds, cut, hidden = rows[:, CLASS:].T
    known = np.isin(kinds, range(12)) & np.isin(cut, (0, 1)) & np.isin(hidden, (0, 1, 2))
    return bool(np.all(known))


def _keep(rows: Floats, kept: NDArray[np.bool_], reason: str, left_out: LeftOut) -> Floats:
    """Return the rows to keep, and count the others."""
    others = rows[~kept]
    if len(others):
        left_out.add(reason, f"frame {others[0, 0]:.0f}", len(others))
    return np.asarray(rows[kept])


def _names(path: Path) -> dict[int, str]:
    """Return the names in a file of one a line, numbered from 1; {} if there is none."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}


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
    if row[0] < 0 or any(each != int(each) or abs(each) > LARGEST for each in row[:2]):
        raise UserError(
            f"{path}, line {at}: frame {words[0]}, track {words[1]}; whole numbers are expected, from 1 or 0."
        )
    if row[4] <= 0 or row[5] <= 0:
        raise UserError(f"{path}, line {at}: a box {words[4]} wide and {words[5]} high is empty.")
    return row

"""The boxes of a file beside the frames of a video: what they mean, and whether that is possible."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.ingest.boxes import Boxes, Floats, no_boxes
from resight.ingest.mot import BoxRows, read_rows
from resight.left_out import LeftOut

BoxFormat = Literal["xywh", "xyxy"]
"""Columns 3 to 6: left, top, width, height, counted from 1 (MOTChallenge); or left, top, right, bottom."""

FrameNumbers = Literal["position", "file"]
"""What a frame's number is: its place among the frames, or the number in its file's name."""

FRACTIONS = 1.5
"""Boxes that reach no farther than this are in fractions of the frame."""

SLACK = 0.1
"""A box may reach beyond the frame by this share of the frame's side."""

MOST = 0.5
"""Share of boxes that decides between two readings."""

OUTSIDE = 0.25
"""Largest share of boxes that may lie outside of the frames: tracks may go on beyond their edge."""

MANY = 50
"""Boxes of which one should be in every part of the frames."""

ASPECTS = (0.15, 1.2)
"""Width / height of most boxes of persons."""


@dataclass(frozen=True)
class BoxFile:
    """The boxes of a whole video.

    Attributes:
        frames: frame number, from 0 -> its boxes.
        tracked: whether the boxes have track numbers.
        last: track -> its last frame, from 0.
        notes: messages for the user.
        left_out: boxes that are not used.
    """

    frames: dict[int, Boxes]
    tracked: bool
    last: dict[int, int]
    notes: list[str]
    left_out: LeftOut

    def find(self, index: int) -> Boxes:
        """Return the boxes of a frame, given its number from 0."""
        return self.frames.get(index, no_boxes())


def read_boxes(
    path: Path,
    size: tuple[int, int],
    total: int | None = None,
    files: Sequence[int] | None = None,
    *,
    person: str | None = None,
    box_format: BoxFormat | None = None,
    frame_numbers: FrameNumbers | None = None,
) -> BoxFile:
    """Read a file of boxes for a recording.

    Args:
        path: of the file; see ``mot``.
        size: height and width of the recording's frames.
        total: number of frames, if known.
        files: numbers in the names of the frames' files, if they have such.
        person: see ``mot.read_rows``.
        box_format, frame_numbers: by default what alone is possible.

    Raises:
        UserError: see ``mot.read_rows``; or the boxes cannot be of these frames, or can be in two ways.
    """
    rows = read_rows(path, person)
    edges = _edges(path, rows, size, box_format)
    indices, missing = _indices(path, rows, total, files, frame_numbers)
    inside = np.all((edges[:, :2] < size[::-1]) & (edges[:, 2:] > 0), axis=1)
    if np.mean(~inside) > OUTSIDE:
        reach = " x ".join(f"{side:.0f}" for side in edges[:, 2:].max(axis=0))
        raise UserError(
            f"{np.sum(~inside):,} of {len(edges):,} boxes in {path} lie outside of the frames: they reach to "
            f"{reach} pixels, and the frames have {size[1]} x {size[0]}. Are they of a video of another size?"
        )
    _count(rows, missing, "boxes in frames that are not there")
    _count(rows, ~inside & ~missing, "boxes outside of the frame")
    reach = edges[:, 2:].max(axis=0) / size[::-1]
    if reach.max() < MOST and len(edges) >= MANY:
        rows.notes.append(
            f"The boxes in {path.name} keep to the left upper quarter of the frames, {size[1]} x {size[0]} "
            "pixels. Are they of a video of another size?"
        )
    known = inside & (indices >= 0)
    return _by_frame(rows, edges[known], indices[known], known)


def _edges(path: Path, rows: BoxRows, size: tuple[int, int], box_format: BoxFormat | None) -> Floats:
    """Return the boxes [N, 4] as left, top, right, bottom, from 0."""
    places = rows.places
    if places.max() <= FRACTIONS:
        raise UserError(
            f"The boxes in {path} are fractions of the frame (none reaches beyond {places.max():g}); pixels "
            f"are expected. Multiply columns 3 and 5 by the width, {size[1]}, and 4 and 6 by the height, "
            f"{size[0]}."
        )
    corners = places[:, :2] - 1
    sized = np.concatenate([corners, corners + places[:, 2:]], 1)
    ordered = bool(np.all(places[:, 2:] > places[:, :2]))
    if box_format == "xyxy":
        if not ordered:
            raise UserError(
                f"{path} has boxes whose column 5 or 6 is not larger than column 3 or 4: these are no right "
                "and lower edges. Leave --box-format xyxy out."
            )
        return places
    if box_format == "xywh" or not ordered or _possible(places, size) < 1 or _upright(places) < MOST:
        return sized
    beyond = 1 - _possible(sized, size)
    if beyond > MOST:
        rows.notes.append(
            f"Columns 3 to 6 of {path.name} are read as left, top, right, bottom: with widths and heights "
            f"there, {100 * beyond:.0f} % of the boxes would reach beyond the frames."
        )
        return places
    raise UserError(
        f"The boxes in {path} can be left, top, width, height, or left, top, right, bottom: both fit into "
        "the frames. Give --box-format xywh or --box-format xyxy."
    )


def _possible(edges: Floats, size: tuple[int, int]) -> float:
    """Return the share of boxes within the frame, or little beyond it."""
    limits = np.array(size[::-1]) * (1 + SLACK)
    return float(np.mean(np.all(edges[:, 2:] <= limits, axis=1)))


def _upright(edges: Floats) -> float:
    """Return the share of boxes that have the shape of a person."""
    sides = edges[:, 2:] - edges[:, :2]
    aspects = sides[:, 0] / sides[:, 1]
    return float(np.mean((aspects >= ASPECTS[0]) & (aspects <= ASPECTS[1])))


def _indices(
    path: Path,
    rows: BoxRows,
    total: int | None,
    files: Sequence[int] | None,
    frame_numbers: FrameNumbers | None,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the frames [N] of the boxes, from 0 (-1 if not known), and which are not there."""
    numbers = rows.frames.astype(np.int64)
    first = 0 if numbers.min() == 0 else 1
    readings: dict[FrameNumbers, NDArray[np.int64]] = {"position": numbers - first}
    if files is not None:
        places = {number: index for index, number in enumerate(files)}
        readings["file"] = np.array([places.get(number, -1) for number in numbers.tolist()])
    end = np.inf if total is None else total
    if frame_numbers is not None:
        if frame_numbers not in readings:
            raise UserError(
                "--frame-numbers file needs a folder of frames with a number in each file's name."
            )
        reading = frame_numbers
    else:
        fits = {name: np.mean((found >= 0) & (found < end)) for name, found in readings.items()}
        whole = [name for name, share in fits.items() if share == 1]
        if len(whole) == 2 and np.any(readings["position"] != readings["file"]):
            raise UserError(
                f"The frame numbers in {path}, {numbers.min()} to {numbers.max()}, can be the places of the "
                "frames and the numbers in their files' names. Give --frame-numbers position or "
                "--frame-numbers file."
            )
        # a folder of every tenth frame, beside the boxes of all
        sampled = files is not None and np.mean(np.isin(files, numbers)) >= MOST
        otherwise: FrameNumbers = "file" if sampled else "position"
        reading = whole[0] if whole else otherwise
    indices = readings[reading]
    missing = (indices < 0) | (indices >= end)
    if np.mean(missing) > MOST and (reading == "position" or missing.all()):
        raise UserError(
            f"{path} has boxes in frames {numbers.min()} to {numbers.max()}, and there are {total} frames: "
            f"{np.sum(missing):,} of {len(missing):,} boxes are of frames that are not there. Do they belong "
            "to the same video?"
        )
    if np.any(indices != numbers - 1):
        meaning = "the numbers in the files' names" if reading == "file" else "counted from 0"
        rows.notes.append(f"The frame numbers in {path.name} are taken to be {meaning}.")
    return indices, missing


def _count(rows: BoxRows, out: NDArray[np.bool_], reason: str) -> None:
    if out.any():
        rows.left_out.add(reason, f"frame {rows.frames[out][0]:.0f}", int(out.sum()))


def _by_frame(rows: BoxRows, edges: Floats, indices: NDArray[np.int64], known: NDArray[np.bool_]) -> BoxFile:
    places = defaultdict(list)
    for place, index in enumerate(indices.tolist()):
        places[index].append(place)
    scores = rows.scores[known]
    tracks = None if rows.tracks is None else rows.tracks[known].astype(np.int64)
    frames = {
        index: Boxes(edges[found], scores[found], None if tracks is None else tracks[found])
        for index, found in places.items()
    }
    last: dict[int, int] = {}
    for track, index in zip([] if tracks is None else tracks.tolist(), indices.tolist(), strict=False):
        last[track] = max(last.get(track, 0), index)
    return BoxFile(frames, tracks is not None, last, rows.notes, rows.left_out)

"""Selecting the best crops of a track: sharp, large, upright, complete, not occluded, spread over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from resight.imaging import Box, Pixels, cut
from resight.ingest.boxes import Boxes, Floats, visible_shares
from resight.ingest.frames import Frame
from resight.ingest.tracking import SURE
from resight.left_out import LeftOut

SLOTS = 16
"""Most time slots of a track; the best crop of each is kept."""

FIRST_SLOT = 0.25
"""Initial length of a slot in seconds; it doubles when a track needs more than ``SLOTS``."""

UPRIGHT = 0.41
"""Aspect ratio (width / height) of a standing person's box."""

SHARP = 60.0
"""Mean squared gradient at which the sharpness factor is one half."""

TALL = 128.0
"""Height in pixels at which the size factor is one half."""

BORDER = 2.0
"""A box within this many pixels of the frame's border counts as cut off."""

CUT = 0.2
"""Quality factor of crops that are cut off."""

GOOD_ENOUGH = 0.6
"""Crops below this share of the track's best quality are left out, even if none is near them in time."""


@dataclass(frozen=True)
class Candidate:
    """A crop that may be kept for its track.

    Attributes:
        index, time: of the frame.
        box: in the frame.
        score: of the detector.
        quality: 0 to 1.
        pixels: uint8 [h, w, 3].
    """

    index: int
    time: float
    box: Box
    score: float
    quality: float
    pixels: Pixels


@dataclass
class Passage:
    """An unfinished track.

    Attributes:
        first, last: times, in seconds since 1970.
        sightings: number of boxes, including small ones.
        slot: length of a slot in seconds.
        best: number of a slot -> its best crop.
    """

    first: float
    last: float
    sightings: int = 0
    slot: float = FIRST_SLOT
    best: dict[int, Candidate] = field(default_factory=dict)

    def offer(self, candidate: Candidate) -> None:
        """Keep the candidate if it is the best of its slot; double the slot length if there are too many."""
        self._keep(int((candidate.time - self.first) / self.slot), candidate)
        while len(self.best) > SLOTS:
            self.slot *= 2
            former, self.best = self.best, {}
            for slot, each in former.items():
                self._keep(slot // 2, each)

    def _keep(self, slot: int, candidate: Candidate) -> None:
        if slot not in self.best or candidate.quality > self.best[slot].quality:
            self.best[slot] = candidate

    def choose(self, number: int) -> list[Candidate]:
        """Return up to ``number`` different crops, by time: the best of each equal part of the track."""
        if not self.best:
            return []
        candidates = sorted(self.best.values(), key=lambda each: each.time)
        first, last = candidates[0].time, candidates[-1].time
        part = (last - first) / number or 1.0
        chosen: dict[int, Candidate] = {}
        for each in candidates:
            place = min(int((each.time - first) / part), number - 1)
            if place not in chosen or each.quality > chosen[place].quality:
                chosen[place] = each
        least = GOOD_ENOUGH * max(each.quality for each in candidates)
        different = {each.pixels.tobytes(): each for each in chosen.values() if each.quality >= least}
        return list(different.values())


class Selection:
    """Collects the best crops of unfinished tracks.

    Args:
        crops: most crops of a track.
        min_height: in pixels; smaller boxes are not cropped.
        min_sightings: tracks with fewer boxes count as detection errors.
    """

    def __init__(self, crops: int, min_height: float, min_sightings: int) -> None:
        self._crops, self._min_height, self._min_sightings = crops, min_height, min_sightings
        self._open: dict[int, Passage] = {}

    def see(self, frame: Frame, boxes: Boxes, seen: Sequence[tuple[int, int]]) -> None:
        """Add a frame's boxes, given as pairs of a track and a row of ``boxes``."""
        clear = visible_shares(boxes.edges, boxes.scores >= SURE)
        for track, row in seen:
            passage = self._open.setdefault(track, Passage(frame.time, frame.time))
            passage.sightings += 1
            passage.last = frame.time
            part = cut(frame.pixels, boxes.edges[row].tolist())
            if part is None or part[0].shape[0] < self._min_height:
                continue
            pixels, box = part
            score = float(boxes.scores[row])
            quality = score * float(clear[row]) * rate(pixels, boxes.edges[row], frame.pixels.shape[:2])
            passage.offer(Candidate(frame.index, frame.time, box, score, quality, pixels))

    def finish(self, track: int, left_out: LeftOut) -> list[Candidate]:
        """Finish a track and return its crops: none if it is too short or all its boxes are too small.

        Args:
            left_out: counts the tracks without crops.
        """
        passage, least = self._open.pop(track), self._min_sightings
        if passage.sightings < least:
            left_out.add(f"tracks of fewer than {least} boxes (--min-sightings)", f"track {track}")
            return []
        if not passage.best:
            height = f"{self._min_height:g} pixels (--min-height)"
            left_out.add(f"tracks of persons who are less than {height} tall", f"track {track}")
        return passage.choose(self._crops)

    def open_tracks(self) -> list[int]:
        """Return the unfinished tracks."""
        return sorted(self._open)

    def state(self) -> tuple[list[dict[str, Any]], list[Pixels]]:
        """Return the state: data for JSON, and the pictures in the order of the data."""
        pictures: list[Pixels] = []
        passages = []
        for track, passage in self._open.items():
            best = []
            for slot, each in passage.best.items():
                best.append([slot, each.index, each.time, each.box, each.score, each.quality])
                pictures.append(each.pixels)
            known = [passage.first, passage.last, passage.sightings, passage.slot]
            passages.append({"track": track, "known": known, "best": best})
        return passages, pictures

    def restore(self, passages: Sequence[Mapping[str, Any]], pictures: Sequence[Pixels]) -> None:
        """Restore a state returned by ``state``."""
        left = iter(pictures)
        self._open = {}
        for each in passages:
            best = {
                slot: Candidate(index, time, (box[0], box[1], box[2], box[3]), score, quality, next(left))
                for slot, index, time, box, score, quality in each["best"]
            }
            first, last, sightings, slot_length = each["known"]
            self._open[each["track"]] = Passage(first, last, sightings, slot_length, best)


def rate(pixels: Pixels, edges: Floats, frame: tuple[int, ...]) -> float:
    """Return a crop's quality, 0 to 1, from size, sharpness, shape and whether it is cut off."""
    left, top, right, bottom = edges
    height, width = bottom - top, right - left
    large = height / (height + TALL)
    gradient = sharpness(pixels)
    sharp = gradient / (gradient + SHARP)
    upright = np.exp(-((np.log(width / height / UPRIGHT) / 0.5) ** 2) / 2)
    inside = min(left, top, frame[1] - right, frame[0] - bottom) > BORDER
    return float(large * sharp * upright * (1.0 if inside else CUT))


def sharpness(pixels: Pixels) -> float:
    """Return the mean squared gradient of a crop, in grey and resized to a fixed size."""
    grey = np.asarray(Image.fromarray(pixels).convert("L").resize((64, 128)), np.float32)
    return float(np.mean(np.diff(grey, axis=0) ** 2) + np.mean(np.diff(grey, axis=1) ** 2))

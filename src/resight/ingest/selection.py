"""The few best crops of a track: sharp, large, upright, whole, not covered, spread in time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from resight.imaging import Box, Pixels, cut
from resight.ingest.boxes import Boxes, Floats, visible_shares
from resight.ingest.frames import Frame
from resight.ingest.tracking import SURE

SLOTS = 16
"""Slots of time of a track; the best crop of each is kept."""

FIRST_SLOT = 0.25
"""Seconds of a slot at first; they double when a track outgrows its slots."""

UPRIGHT = 0.41
"""Width over height of a standing person's box."""

SHARP = 60.0
"""Mean squared gradient at which sharpness counts one half."""

TALL = 128.0
"""Height in pixels at which size counts one half."""

BORDER = 2.0
"""Pixels from the frame's border within which a box counts as cut off."""

CUT = 0.2
"""Factor on the quality of a crop that is cut off."""

GOOD_ENOUGH = 0.6
"""Crops of less than this share of the track's best quality are left out, also if none is near in time."""


@dataclass(frozen=True)
class Candidate:
    """A crop that may be kept for its track.

    Attributes:
        index, time: of its frame.
        box: its place in the frame.
        score: the detector's.
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
    """A track so far.

    Attributes:
        first, last: seconds since 1970.
        sightings: boxes, including small ones.
        slot: seconds of a slot.
        best: number of the slot -> its best crop.
    """

    first: float
    last: float
    sightings: int = 0
    slot: float = FIRST_SLOT
    best: dict[int, Candidate] = field(default_factory=dict)

    def offer(self, candidate: Candidate) -> None:
        """Keep the candidate if it is the best of its slot; double the slots if there are too many."""
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
        """Return at most that many crops by time: the best of each equal part of the track, none twice."""
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
    """Collects the best crops of open tracks.

    Args:
        crops: of a track, at most.
        min_height: pixels; smaller boxes are not cut out.
        min_sightings: tracks with fewer boxes are taken for errors of the detector.
    """

    def __init__(self, crops: int, min_height: float, min_sightings: int) -> None:
        self._crops, self._min_height, self._min_sightings = crops, min_height, min_sightings
        self._open: dict[int, Passage] = {}

    def see(self, frame: Frame, boxes: Boxes, seen: Sequence[tuple[int, int]]) -> None:
        """Add a frame's boxes: pairs of track and row."""
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

    def finish(self, track: int) -> list[Candidate]:
        """Close a track and return its crops; none if it is too short or its boxes are too small."""
        passage = self._open.pop(track)
        return passage.choose(self._crops) if passage.sightings >= self._min_sightings else []

    def open_tracks(self) -> list[int]:
        """Return the tracks that have not ended."""
        return sorted(self._open)

    def state(self) -> tuple[list[dict[str, Any]], list[Pixels]]:
        """Return its state: data for JSON, and the pictures in the order in which the data need them."""
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
        """Restore what ``state`` returned."""
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
    """Return the quality of a crop, 0 to 1, by size, sharpness, shape, and whether the frame cuts it off."""
    left, top, right, bottom = edges
    height, width = bottom - top, right - left
    large = height / (height + TALL)
    gradient = sharpness(pixels)
    sharp = gradient / (gradient + SHARP)
    upright = np.exp(-((np.log(width / height / UPRIGHT) / 0.5) ** 2) / 2)
    inside = min(left, top, frame[1] - right, frame[0] - bottom) > BORDER
    return float(large * sharp * upright * (1.0 if inside else CUT))


def sharpness(pixels: Pixels) -> float:
    """Return the mean squared gradient of a crop in grey, at the same size for all crops."""
    grey = np.asarray(Image.fromarray(pixels).convert("L").resize((64, 128)), np.float32)
    return float(np.mean(np.diff(grey, axis=0) ** 2) + np.mean(np.diff(grey, axis=1) ** 2))

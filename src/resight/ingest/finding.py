"""Where the boxes of persons come from: a detector, or a file of boxes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resight.errors import UserError
from resight.files import short_digest
from resight.inference.graphs import graph_files
from resight.ingest.box_file import BoxFormat, FrameNumbers, read_boxes
from resight.ingest.boxes import Boxes, stretched
from resight.ingest.detectors.detector import Detector
from resight.ingest.frames import Frame, FrameFolder, FrameSource
from resight.ingest.tracking import UNSURE, GivenTracks, OverlapTracker, Tracker
from resight.left_out import LeftOut

NOT_SQUARE = "Pixels are not square; the boxes are read as boxes in recorded pixels."


@dataclass
class Finder:
    """Finds the persons in the frames of a source, and tracks them.

    Attributes:
        find: returns the boxes of the persons in a frame.
        tracker: connects boxes to tracks.
        made_by: digest of the detector or of the file of boxes.
        detector: None for a file of boxes.
        left_out: boxes of the file that are not used.
    """

    find: Callable[[Frame], Boxes]
    tracker: Tracker
    made_by: dict[str, Any]
    detector: Detector | None = None
    file_notes: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def notes(self) -> list[str]:
        """What was guessed about the detector or the file, and why."""
        return self.file_notes if self.detector is None else self.detector.notes


def with_detector(path: Path, person_class: str | None) -> Finder:
    """Return a finder that uses the detector in a file.

    Raises:
        UserError: see ``Detector.open``.
    """
    detector = Detector.open(path, threshold=UNSURE, person=person_class)
    digest = short_digest(b"".join(file.read_bytes() for file in graph_files(path)))
    made_by = {"detector": digest, "person_class": detector.person}
    return Finder(lambda frame: Boxes(*detector.detect(frame.pixels)), OverlapTracker(), made_by, detector)


def with_boxes(
    path: Path,
    source: FrameSource,
    person_class: str | None = None,
    box_format: BoxFormat | None = None,
    frame_numbers: FrameNumbers | None = None,
) -> Finder:
    """Return a finder that uses a file of boxes.

    Raises:
        UserError: see ``read_boxes``; or the source is live, or has no frame.
    """
    if source.live:
        raise UserError("--boxes is only for recordings. For a camera, give a --detector.")
    first = next((frame for frame in source.frames(1) if frame is not None), None)
    if first is None:
        raise UserError(f"{source.name} has no frame.")
    height, width, _ = first.pixels.shape
    across, down = source.stretch
    file = read_boxes(
        path,
        (round(height / down), round(width / across)),
        source.total,
        source.numbers if isinstance(source, FrameFolder) else None,
        person=person_class,
        box_format=box_format,
        frame_numbers=frame_numbers,
    )
    notes = [NOT_SQUARE] if source.stretch != (1.0, 1.0) else []
    tracker: Tracker = GivenTracks(file.last) if file.tracked else OverlapTracker()
    made_by = {"boxes": short_digest(path.read_bytes()), "person_class": person_class}
    made_by |= {"box_format": box_format, "frame_numbers": frame_numbers}
    return Finder(
        lambda frame: stretched(file.find(frame.index), source.stretch),
        tracker,
        made_by,
        file_notes=[*file.notes, *notes],
        left_out=file.left_out,
    )

"""``resight ingest``: add the persons in a video, a folder of frames or a camera's stream to a gallery."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.commands.options import Flag, Json
from resight.commands.output import print_json, print_table
from resight.errors import UserError
from resight.files import short_digest
from resight.interruption import SAME_COMMAND, resumable, stopping
from resight.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from resight.gallery.gallery import Gallery
    from resight.ingest.boxes import Boxes
    from resight.ingest.frames import Frame, FrameSource
    from resight.ingest.ingestion import Outcome
    from resight.ingest.tracking import Tracker


def ingest(
    source: str,
    *,
    camera: str,
    gallery: str,
    model: Path,
    detector: Path | None = None,
    boxes: Path | None = None,
    start: str | None = None,
    fps: float | None = None,
    every: int = 1,
    min_height: float = 64.0,
    min_sightings: int = 3,
    crops_per_track: int = 4,
    tag: list[str] | None = None,
    duration: float | None = None,
    timeout: float = 10.0,
    patience: float = 300.0,
    device: str = "auto",
    again: Flag = False,
    json: Json = False,
) -> None:
    """Find and track the persons in a video, and add the best crops of each to a gallery.

    If the command is killed or interrupted, run it again to resume.

    Args:
        source: a video file, a folder of frames, or an address: rtsp://user:password@camera/stream, http://...
        camera: name of the camera in the gallery.
        gallery: folder of the gallery, or http://host:6333/NAME; a new one is made if needed.
        model: folder of a run, or a weights.safetensors file, to embed the crops.
        detector: ONNX file of a YOLOX network that finds persons.
        boxes: MOTChallenge file (det.txt, gt.txt) with the video's boxes, in place of a detector.
        start: when the video begins, such as 2024-05-31T14:30; by default read from the file's name, the
            metadata, or the time at which the file was changed.
        fps: frames a second of a folder of frames (25).
        every: use only every Nth frame.
        min_height: pixels; smaller persons are tracked but not cut out.
        min_sightings: frames that show a person, at least.
        crops_per_track: crops kept of each track, at most.
        tag: tag for all crops; may be repeated.
        duration: seconds after which to stop reading a camera; by default at Ctrl-C.
        timeout: seconds to wait for a server to answer, and to send each piece.
        patience: seconds without a frame after which a camera is given up.
        device: auto, cpu or cuda, for the model.
        again: delete the crops of this source and camera, and start over.
    """
    from resight.gallery.crops import Filter
    from resight.gallery.gallery import Gallery
    from resight.inference.loading import load_model
    from resight.ingest.ingestion import Choices, Ingestion
    from resight.ingest.journal import Journal
    from resight.ingest.opening import open_source
    from resight.timestamps import parse_time

    if not camera.strip():
        raise UserError("Give the camera a name: --camera lobby.")
    if (detector is None) == (boxes is None):
        raise UserError(
            "Give --detector FILE.onnx to find persons, or --boxes det.txt with their boxes: one of the two."
        )
    _refuse_below(
        1, every=every, crops_per_track=crops_per_track, min_sightings=min_sightings, min_height=min_height
    )
    _refuse_below(0.001, fps=fps, duration=duration, timeout=timeout, patience=patience)
    choices = Choices(
        every=every,
        min_height=min_height,
        crops_per_track=crops_per_track,
        min_sightings=min_sightings,
        tags=tuple(tag or ()),
    )
    frames = open_source(
        source,
        start=None if start is None else parse_time(start).timestamp(),
        rate=fps,
        limit=duration,
        timeout=timeout,
        patience=patience,
    )
    find, tracker, made_by = _finder(detector, boxes, frames)
    say(f"{frames.name} {frames.start}.")
    with Gallery.open(gallery, load_model(model, device=device), create=True) as opened:
        journal = Journal(_journals(opened), frames.name, camera)
        if again:
            journal.remove()
            forgotten = opened.forget(Filter(cameras=(camera,), sources=(frames.name,)))
            say(f"Deleted {forgotten:,} crops of an earlier ingestion.")
        ingestion = Ingestion(
            frames,
            camera,
            find=find,
            tracker=tracker,
            add=opened.add,
            journal=journal,
            choices=choices,
            made_by=made_by,
        )
        with resumable(SAME_COMMAND), stopping(ingestion.stop):
            outcome = ingestion.run()
    for note in frames.notes:
        say(f"Note: {note}")
    _print(frames, camera, gallery, outcome, json)


def _finder(
    detector: Path | None, boxes: Path | None, source: "FrameSource"
) -> tuple["Callable[[Frame], Boxes]", "Tracker", dict[str, Any]]:
    """Return what finds a frame's persons, their tracker, and the digest of the file of detector or boxes."""
    from resight.ingest.boxes import Boxes
    from resight.ingest.detector import Detector
    from resight.ingest.mot import read_boxes
    from resight.ingest.tracking import UNSURE, GivenTracks, OverlapTracker

    if boxes is not None:
        if source.live:
            raise UserError("--boxes goes with recordings. For a camera give a --detector.")
        file = read_boxes(boxes)
        if file.note:
            say(f"Note: {file.note}")
        if source.total is not None and max(file.frames) >= source.total:
            say(
                f"Note: {boxes} has boxes up to frame {max(file.frames) + 1}; {source.name} has "
                f"{source.total} frames. Are they of the same video?"
            )
        tracker: Tracker = GivenTracks(file.last) if file.tracked else OverlapTracker()
        digest = short_digest(boxes.read_bytes())
        return lambda frame: file.find(frame.index), tracker, {"boxes": digest}
    assert detector is not None
    network = Detector.open(detector, threshold=UNSURE)
    digest = short_digest(detector.read_bytes())
    return lambda frame: Boxes(*network.detect(frame.pixels)), OverlapTracker(), {"detector": digest}


def _journals(gallery: "Gallery") -> Path:
    """Return the folder of a gallery's journals: another one if the gallery was made anew on a cluster."""
    from resight.gallery.stores.opening import companion_folder

    made = gallery.metadata.created.isoformat()
    return companion_folder(gallery.place) / "ingest" / short_digest(made.encode())


def _refuse_below(least: float, **given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not least <= value < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} must be {least:g} or more; got {value:g}.")


def _print(source: "FrameSource", camera: str, gallery: str, outcome: "Outcome", json: bool) -> None:
    from resight.timestamps import from_seconds, show_time

    counts = outcome.counts
    if outcome.already:
        say(f"{source.name} is in the gallery already. To ingest it anew, give --again.")
    elif counts.boxes == 0:
        say("No persons were found.")
    first, last = (None if time is None else from_seconds(time) for time in (counts.first, counts.last))
    if json:
        ends = {"first": first and first.isoformat(), "last": last and last.isoformat()}
        known = asdict(counts) | ends | {"already": outcome.already}
        place = {"source": source.name, "camera": camera, "gallery": gallery, "notes": source.notes}
        print_json(place | known | {"frames_per_second": round(outcome.frames_per_second, 2)})
        return
    print_table(
        ["Camera", "Frames", "Boxes", "Tracks", "Crops", "Frames/s"],
        [
            [
                camera,
                *(f"{number:,}" for number in (counts.frames, counts.boxes, counts.tracks, counts.crops)),
                "" if outcome.already else f"{outcome.frames_per_second:.1f}",
            ]
        ],
    )
    if first is not None and last is not None:
        print(f"From {show_time(first)} to {show_time(last)}.")

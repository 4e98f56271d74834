"""``resight ingest``: add the persons in a video, a folder of frames or a camera's stream to a gallery."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.commands.gallery_output import traces_note
from resight.commands.options import Device, Flag, GalleryPlace, Json, RuntimeName, Timezone
from resight.commands.output import print_json, print_table
from resight.errors import UserError
from resight.files import short_digest
from resight.interruption import SAME_COMMAND, resumable, stopping
from resight.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from resight.gallery.gallery import Gallery
    from resight.ingest.boxes import Boxes
    from resight.ingest.frames import Frame, FrameSource
    from resight.ingest.ingestion import Outcome
    from resight.ingest.tracking import Tracker


def ingest(
    source: str,
    *,
    camera: str,
    gallery: GalleryPlace,
    model: Path | None = None,
    detector: Path | None = None,
    boxes: Path | None = None,
    start: str | None = None,
    timezone: Timezone = None,
    fps: float | None = None,
    every: int = 1,
    min_height: float = 64.0,
    min_sightings: int = 3,
    crops_per_track: int = 4,
    tag: list[str] | None = None,
    duration: float | None = None,
    timeout: float | None = None,
    patience: float | None = None,
    device: Device = "auto",
    runtime: RuntimeName = "auto",
    again: Flag = False,
    json: Json = False,
) -> None:
    """Find and track the persons in a video, and add the best crops of each to a gallery.

    With --model, a new gallery is made if needed. If the command is killed or interrupted, run it again to
    resume.

    Args:
        source: a video file, a folder of frames, or an address: rtsp://user:password@camera/stream,
            http://...
        camera: name of the camera in the gallery.
        model: a run, a model folder, or a weights, ONNX or OpenVINO file; by default the gallery's own.
        detector: ONNX file of a YOLOX network that detects persons.
        boxes: MOTChallenge file (det.txt, gt.txt) with the video's boxes, instead of a detector.
        start: when the video starts, such as 2024-05-31T14:30; by default from the file's name, its metadata,
            or its modification time.
        fps: frames per second of a folder of frames or of a raw stream (.h264); by default 25, or as in the
            stream's header.
        every: use only every Nth frame.
        min_height: in pixels; smaller persons are tracked but not cropped.
        min_sightings: fewest frames in which a person must be seen.
        crops_per_track: most crops stored of each track.
        tag: tag for all crops; may be repeated.
        duration: seconds after which to stop reading a camera; by default until Ctrl-C.
        timeout: seconds to wait for an answer of a server, and for each piece of data (10).
        patience: seconds without a frame after which to give up on a camera (300).
        again: delete the crops of this source and camera, and ingest it again.
    """
    from resight.gallery.crops import Filter
    from resight.gallery.gallery import Gallery
    from resight.inference.loading import load_model
    from resight.ingest.ingestion import Choices, Ingestion
    from resight.ingest.journal import Journal
    from resight.ingest.opening import open_source
    from resight.timestamps import find_zone, parse_time

    if not camera.strip():
        raise UserError("Give the camera a name: --camera lobby.")
    if (detector is None) == (boxes is None):
        raise UserError(
            "Give either --detector FILE.onnx to detect persons, or --boxes det.txt with their boxes."
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
    zone = find_zone(timezone)
    frames = open_source(
        source,
        start=None if start is None else parse_time(start, zone).timestamp(),
        rate=fps,
        limit=duration,
        timeout=timeout,
        patience=patience,
        zone=zone,
    )
    find, tracker, made_by = _finder(detector, boxes, frames)
    say(f"{frames.name} {frames.start}.")
    loaded = None if model is None else load_model(model, device=device, runtime=runtime)
    with Gallery.open(gallery, loaded, create=loaded is not None, device=device, runtime=runtime) as opened:
        journal = Journal(_journals(opened), frames.name, camera)
        if again:
            journal.remove()
            forgotten = opened.forget(Filter(cameras=(camera,), sources=(frames.name,)))
            say(f"Deleted {forgotten:,} crops of the earlier ingestion.")
            if opened.metadata.traces:
                say(traces_note(gallery))
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
    _print(frames, camera, gallery, outcome, zone, json)


def _finder(
    detector: Path | None, boxes: Path | None, source: "FrameSource"
) -> tuple["Callable[[Frame], Boxes]", "Tracker", dict[str, Any]]:
    """Return a function that finds persons, a tracker, and the digest of the detector or box file."""
    from resight.ingest.boxes import Boxes, stretched
    from resight.ingest.detector import Detector
    from resight.ingest.mot import read_boxes
    from resight.ingest.tracking import UNSURE, GivenTracks, OverlapTracker

    if boxes is not None:
        if source.live:
            raise UserError("--boxes is only for recordings. For a camera, give a --detector.")
        file = read_boxes(boxes)
        if file.note:
            say(f"Note: {file.note}")
        if source.total is not None and max(file.frames) >= source.total:
            say(
                f"Note: {boxes} has boxes up to frame {max(file.frames) + 1}; {source.name} has "
                f"{source.total} frames. Do they belong to the same video?"
            )
        if source.stretch != (1.0, 1.0):
            say("Note: pixels are not square; the boxes are read as boxes in recorded pixels.")
        tracker: Tracker = GivenTracks(file.last) if file.tracked else OverlapTracker()
        digest = short_digest(boxes.read_bytes())
        return lambda frame: stretched(file.find(frame.index), source.stretch), tracker, {"boxes": digest}
    assert detector is not None
    network = Detector.open(detector, threshold=UNSURE)
    digest = short_digest(detector.read_bytes())
    return lambda frame: Boxes(*network.detect(frame.pixels)), OverlapTracker(), {"detector": digest}


def _journals(gallery: "Gallery") -> Path:
    """Return the folder of a gallery's journals: a new one if a gallery on a cluster was recreated."""
    from resight.gallery.stores.opening import companion_folder

    made = gallery.metadata.created.isoformat()
    return companion_folder(gallery.place) / "ingest" / short_digest(made.encode())


def _refuse_below(least: float, **given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not least <= value < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} must be at least {least:g}; got {value:g}.")


def _print(
    source: "FrameSource", camera: str, gallery: str, outcome: "Outcome", zone: "tzinfo", json: bool
) -> None:
    from resight.timestamps import from_seconds, show_time

    counts = outcome.counts
    if outcome.already:
        say(f"{source.name} is already in the gallery. To ingest it again, give --again.")
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
        guess = "" if source.sure_until >= last.timestamp() else ", a guess"
        print(f"From {show_time(first, zone)} to {show_time(last, zone)}{guess}.")

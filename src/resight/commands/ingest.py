"""``resight ingest``: add the persons in a video, a folder of frames or a camera's stream to a gallery."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resight.commands.gallery_output import count_left_out, traces_note, warn_of_expired
from resight.commands.options import (
    DetectorFile,
    Device,
    Flag,
    GalleryPlace,
    Json,
    PersonClass,
    RuntimeName,
    Timezone,
)
from resight.commands.output import print_json, print_left_out, print_table
from resight.errors import UserError
from resight.files import short_digest
from resight.interruption import SAME_COMMAND, resumable, stopping
from resight.left_out import LeftOut
from resight.progress import say

if TYPE_CHECKING:
    from datetime import tzinfo

    from resight.gallery.gallery import Gallery
    from resight.ingest.ingestion import Outcome


def ingest(
    source: str,
    *,
    camera: str,
    gallery: GalleryPlace,
    model: Path | None = None,
    detector: DetectorFile = None,
    boxes: Path | None = None,
    person_class: PersonClass = None,
    box_format: Literal["xywh", "xyxy"] | None = None,
    frame_numbers: Literal["position", "file"] | None = None,
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
    add_again: Flag = False,
    json: Json = False,
) -> None:
    """Find and track the persons in a video, and add the best crops of each to a gallery.

    A new gallery is made if needed. If the command is killed or interrupted, run it again to resume.

    Args:
        source: a video file, a folder of frames, or an address: rtsp://user:password@camera/stream,
            http://...
        camera: name of the camera in the gallery.
        model: a run, a model folder, or a weights, ONNX or OpenVINO file; by default the gallery's own, or
            for a new gallery drawn-people, which comes with Resight.
        boxes: file of the video's boxes (MOTChallenge's det.txt or gt.txt, or a tracker's results), instead
            of a detector.
        box_format: columns 3 to 6 of the file of boxes: left, top, width, height (xywh), or left, top, right,
            bottom (xyxy); by default what fits.
        frame_numbers: frame numbers in the file of boxes: places among the frames (position), or numbers in
            the names of their files (file); by default what fits.
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
        add_again: also add crops that were deleted from the gallery by 'resight gallery forget'.
    """
    from resight.gallery.adding import Added
    from resight.gallery.crops import Filter, NewCrop
    from resight.gallery.embedding import model_of_gallery
    from resight.gallery.gallery import Gallery
    from resight.ingest.finding import with_boxes, with_detector
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
    if detector is not None:
        if box_format is not None or frame_numbers is not None:
            raise UserError("--box-format and --frame-numbers are for a file of boxes: leave them out.")
        finder = with_detector(detector, person_class)
    else:
        assert boxes is not None
        finder = with_boxes(boxes, frames, person_class, box_format, frame_numbers)
    say(f"{frames.name} {frames.start}.")
    loaded = model_of_gallery(gallery, model, device=device, runtime=runtime)
    with Gallery.open(gallery, loaded, create=loaded is not None, device=device, runtime=runtime) as opened:
        journal = Journal(_journals(opened), frames.name, camera)
        if again:
            journal.remove()
            earlier = Filter(cameras=(camera,), sources=(frames.name,))
            forgotten = opened.forget(earlier, remember=False)  # the same crops are added again
            say(f"Deleted {forgotten:,} crops of the earlier ingestion.")
            if opened.metadata.traces:
                say(traces_note(gallery))
        total = Added()

        def add(crops: Sequence[NewCrop]) -> None:
            nonlocal total
            part = opened.add(crops, add_again=add_again)
            total = Added.total((total, replace(part, ids=(), differences=())))

        ingestion = Ingestion(
            frames,
            camera,
            finder=finder,
            add=add,
            journal=journal,
            choices=choices,
        )
        with resumable(SAME_COMMAND), stopping(ingestion.stop):
            outcome = ingestion.run()
        warn_of_expired(total.expired, opened)
    notes = [*frames.notes, *finder.notes]
    for note in notes:
        say(f"Note: {note}")
    left_out = LeftOut()
    left_out.update(finder.left_out)
    left_out.update(outcome.counts.left_out)
    count_left_out(total, left_out)
    place = {"source": frames.name, "camera": camera, "gallery": gallery, "start_from": frames.start.origin}
    _print(place, outcome, notes, left_out, zone, frames.sure_until, json)


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
    place: dict[str, str],
    outcome: "Outcome",
    notes: list[str],
    left_out: LeftOut,
    zone: "tzinfo",
    sure_until: float,
    json: bool,
) -> None:
    from resight.timestamps import from_seconds, show_time

    counts = outcome.counts
    if outcome.already:
        say(f"{place['source']} is already in the gallery. To ingest it again, give --again.")
    elif counts.boxes == 0:
        say("No persons were found.")
    elif counts.crops == 0:
        reasons = "; ".join(f"{row['count']:,} {row['reason']}" for row in counts.left_out.as_list())
        say(f"0 crops of {counts.boxes:,} boxes. Left out: {reasons}.")
    first, last = (None if time is None else from_seconds(time) for time in (counts.first, counts.last))
    if json:
        ends = {"first": first and first.isoformat(), "last": last and last.isoformat()}
        known = counts.as_dict() | ends | {"time_guessed": sure_until < (counts.last or 0.0)}
        known |= {"already": outcome.already, "left_out": left_out.as_list()}
        speed = {"frames_per_second": round(outcome.frames_per_second, 2)}
        print_json(place | {"notes": notes} | known | speed)
        return
    print_table(
        ["Camera", "Frames", "Boxes", "Tracks", "Crops", "Frames/s"],
        [
            [
                place["camera"],
                *(f"{number:,}" for number in (counts.frames, counts.boxes, counts.tracks, counts.crops)),
                "" if outcome.already else f"{outcome.frames_per_second:.1f}",
            ]
        ],
    )
    if first is not None and last is not None:
        guess = "" if sure_until >= last.timestamp() else ", a guess"
        print(f"From {show_time(first, zone)} to {show_time(last, zone)}{guess}.")
    print_left_out(left_out)

"""Ingestion: frames -> boxes -> tracks -> best crops -> gallery; can be resumed after a kill."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from resight.errors import UserError
from resight.gallery.crops import NewCrop
from resight.ingest.colours import colours
from resight.ingest.finding import Finder
from resight.ingest.frames import Frame, FrameSource, Position, SourceLost
from resight.ingest.journal import Entry, IngestCounts, Journal
from resight.ingest.selection import Candidate, Selection
from resight.ingest.tracking import NEW
from resight.left_out import LeftOut
from resight.progress import Bar
from resight.registry import Settings
from resight.timestamps import from_seconds

COMMIT_SECONDS = 20.0
"""Approximate seconds of work that are lost in a kill."""

MAX_PENDING = 64
"""Number of pending crops at which they are added to the gallery."""


class Choices(Settings):
    """A user's settings for an ingestion.

    Attributes:
        every: use only frames whose number is a multiple of this.
        min_height: in pixels; smaller persons are tracked, but not cropped.
        crops_per_track: most crops of a track.
        min_sightings: fewest boxes of a track.
        tags: tags of every crop.
    """

    every: int = 1
    min_height: float = 64.0
    crops_per_track: int = 4
    min_sightings: int = 3
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The result of an ingestion.

    Attributes:
        counts: of the whole source, including earlier attempts.
        already: whether there was nothing left to do.
        frames_per_second: speed of this attempt.
    """

    counts: IngestCounts
    already: bool
    frames_per_second: float


class Ingestion:
    """Adds the persons in one source to a gallery.

    Args:
        source: of frames.
        camera: name of the camera.
        finder: finds and tracks the persons in it.
        add: adds crops to the gallery and returns when they are stored; existing crops must not change.
        journal: stores the progress.
        choices: of the user.
    """

    def __init__(
        self,
        source: FrameSource,
        camera: str,
        *,
        finder: Finder,
        add: Callable[[Sequence[NewCrop]], object],
        journal: Journal,
        choices: Choices,
    ) -> None:
        self.source, self.camera, self.choices = source, camera, choices
        self._find, self._tracker, self._detector = finder.find, finder.tracker, finder.detector
        self._add, self._journal = add, journal
        self._selection = Selection(choices.crops_per_track, choices.min_height, choices.min_sightings)
        start = {} if source.live else {"start": source.start.seconds}
        # The journal remains after crops are forgotten, and tags may name persons.
        tags = {"tags": blake2b("\0".join(choices.tags).encode(), digest_size=8).hexdigest()}
        self._settings = choices.model_dump(mode="json") | tags | finder.made_by | source.identity | start
        self._counts = IngestCounts()
        self._outbox: list[NewCrop] = []
        self._position: Position | None = None
        self._last: Frame | None = None
        self._begin = self._spent = 0.0
        self._began_at = 0
        self._stopped = False

    def run(self) -> Outcome:
        """Ingest the source, or what an earlier attempt left of it.

        Raises:
            UserError: the earlier attempt had other choices, or the source, journal or gallery fails.
            SourceLost: the connection to the source was lost; earlier crops are in the gallery.
            KeyboardInterrupt: it was stopped before the end.
        """
        entry = self._journal.read()
        if entry is not None:
            self._restore(entry)
            self.source.left_out = LeftOut()  # counted by the attempt before
            if entry.done and not self.source.live:
                return Outcome(self._counts, True, 0.0)
        self._began_at, self._begin = self._counts.frames, time.monotonic()
        self._spent = self._counts.seconds
        try:
            self._read_on()
        except SourceLost:
            self._commit()
            raise
        if self._stopped and not self.source.live:  # a camera is read until it is stopped
            self._commit()
            raise KeyboardInterrupt
        for track in self._selection.open_tracks():
            self._finish(track)
        self._tracker.end()  # a camera's journal stays, and keeps nobody's colours
        self._commit()
        self._commit(done=True)
        spent = max(time.monotonic() - self._begin, 1e-9)
        return Outcome(self._counts, False, (self._counts.frames - self._began_at) / spent)

    def stop(self) -> None:
        """End after the current frame: this completes the ingestion of a camera; others can be resumed."""
        self._stopped = True

    def _restore(self, entry: Entry) -> None:
        now, then = self._settings, entry.settings
        if now != then and not self.source.live:
            changed = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
            what = "; ".join(f"{key}: {then.get(key)}, now {now.get(key)}" for key in changed)
            state = "ingested" if entry.done else "partly ingested"
            raise UserError(
                f"{self.source.name} was {state} with other options ({what}). Give the same options again, "
                "or --again to delete its crops and start over."
            )
        self._counts, self._position = entry.counts, entry.position
        if self._detector is not None and entry.detector is not None:
            self._detector.restore(entry.detector)
        if entry.tracker is not None:
            self._tracker.restore(entry.tracker)
        self._selection.restore(entry.passages, entry.pictures)
        if entry.outbox:
            self._add(entry.outbox)  # a kill may have come before they were added

    def _read_on(self) -> None:
        committed = time.monotonic()
        done = 0 if self._position is None else self._position["index"] + 1
        total = self.source.total
        with Bar("Ingesting", total, done) as bar:
            for frame in self.source.frames(self.choices.every, self._position):
                if self._stopped:
                    return
                if frame is not None:
                    self._process(frame)
                rate = (self._counts.frames - self._began_at) / max(time.monotonic() - self._begin, 1e-9)
                bar.advance(
                    0 if frame is None else frame.index + 1 - bar.done,
                    f"{self._counts.tracks} tracks, {self._counts.crops} crops, {rate:.1f} frames/s",
                )
                if len(self._outbox) >= MAX_PENDING or time.monotonic() - committed > COMMIT_SECONDS:
                    self._commit()
                    committed = time.monotonic()

    def _process(self, frame: Frame) -> None:
        boxes = self._find(frame)
        if boxes.tracks is None:
            boxes = replace(boxes, appearance=colours(frame.pixels, boxes.edges))
        step = self._tracker.update(frame.index, frame.time, boxes)
        self._selection.see(frame, boxes, step.seen)
        for track in step.ended:
            self._finish(track)
        counts, lone = self._counts, len(boxes) - len(step.seen)
        counts.left_out.add(f"boxes in no track: their score is below {NEW}", f"frame {frame.index}", lone)
        counts.frames += 1
        counts.boxes += len(boxes)
        counts.first = frame.time if counts.first is None else counts.first
        counts.last = frame.time
        self._last = frame

    def _finish(self, track: int) -> None:
        chosen = self._selection.finish(track, self._counts.left_out)
        self._outbox += [self._crop(track, each) for each in chosen]
        self._counts.crops += len(chosen)
        self._counts.tracks += bool(chosen)

    def _crop(self, track: int, chosen: Candidate) -> NewCrop:
        return NewCrop(
            chosen.pixels,
            camera=self.camera,
            time=from_seconds(chosen.time),
            source=self.source.name,
            name=f"track {track}, frame {chosen.index}",
            tags=(*self.choices.tags, f"track-{track}"),
            box=chosen.box,
            time_guessed=chosen.time > self.source.sure_until,
        )

    def _commit(self, done: bool = False) -> None:
        """Write the progress with the pending crops, then add these. After a kill, they are added later."""
        if self._last is not None:
            self._position = self._last.position()
        self._counts.seconds = self._spent + time.monotonic() - self._begin
        self._counts.left_out.update(self.source.left_out)
        self.source.left_out = LeftOut()
        passages, pictures = self._selection.state()
        self._journal.write(
            Entry(
                self._settings,
                done,
                self._position,
                None if done and not self.source.live else self._tracker.state(),
                None if self._detector is None else self._detector.state(),
                passages,
                pictures,
                self._outbox,
                self._counts,
            )
        )
        if self._outbox:
            self._add(self._outbox)
            self._outbox = []

"""From a drawn film to crops: the right ones, each once, whatever interrupts."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from walking import TALL, WIDE, Walker, detector_file, draw, film, look

from resight.errors import UserError
from resight.gallery.crops import NewCrop
from resight.ingest import ingestion
from resight.ingest.boxes import Boxes
from resight.ingest.detectors.detector import Detector
from resight.ingest.finding import Finder
from resight.ingest.ingestion import Choices, Ingestion, Outcome
from resight.ingest.journal import Journal
from resight.ingest.opening import open_source
from resight.ingest.tracking import UNSURE, OverlapTracker

START = 1_717_165_800.0
WALKERS = [
    Walker(1, 4, 20, 5, last=45),
    Walker(2, 280, 100, -6),
    Walker(3, 10, 180, 7, first=20),
    Walker(4, 150, 20, 1, first=60, last=85),
]
FRAMES = 90


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(
        tmp_path_factory.mktemp("films") / "walk.mp4", [draw(WALKERS, index) for index in range(FRAMES)]
    )


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    path = detector_file(tmp_path_factory.mktemp("networks") / "yolox.onnx")
    return Detector.open(path, threshold=UNSURE, overlap=0.2, threads=1)


class Shelf:
    """A gallery in memory that a crop may be added to again."""

    def __init__(self) -> None:
        self.crops: dict[bytes, NewCrop] = {}

    def add(self, crops: Sequence[NewCrop]) -> None:
        for crop in crops:
            assert isinstance(crop.picture, np.ndarray)
            self.crops.setdefault(crop.picture.tobytes(), crop)

    def listing(self) -> list[tuple[Any, ...]]:
        return sorted((crop.name, crop.time, crop.box, crop.tags) for crop in self.crops.values())


def make(
    video: Path,
    find: Callable[[np.ndarray], tuple[Any, Any]],
    folder: Path,
    add: Callable[[Sequence[NewCrop]], None],
    **choices: Any,
) -> Ingestion:
    source = open_source(str(video), start=START)
    return Ingestion(
        source,
        "lobby",
        finder=Finder(lambda frame: Boxes(*find(frame.pixels)), OverlapTracker(), {"detector": "drawn"}),
        add=add,
        journal=Journal(folder, source.name, "lobby"),
        choices=Choices(**{"min_height": 32, **choices}),
    )


def test_times_after_the_clock_began_anew_are_guesses(detector: Detector, tmp_path: Path) -> None:
    walkers = [Walker(1, 5, 40, 6), Walker(2, 5, 140, 6, first=40)]
    pictures = [draw(walkers, index) for index in range(80)]
    parts = [film(tmp_path / f"{half}.ts", pictures[40 * half :][:40]) for half in (0, 1)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    shelf = Shelf()
    make(joined, detector.detect, tmp_path, shelf.add).run()
    guessed = {int(crop.name.split()[-1]): crop.time_guessed for crop in shelf.crops.values()}
    assert min(guessed) < 40 < max(guessed)
    assert all(guess == (index >= 40) for index, guess in guessed.items())


def test_everyone_who_passes_is_found_once_with_the_right_crops(
    video: Path, detector: Detector, tmp_path: Path
) -> None:
    shelf = Shelf()
    outcome = make(video, detector.detect, tmp_path, shelf.add, tags=("visit",)).run()
    tracks = defaultdict(list)
    for crop in shelf.crops.values():
        assert crop.camera == "lobby"
        assert crop.source == str(video)
        assert crop.tags[0] == "visit"
        tracks[crop.tags[1]].append(crop)
    assert outcome.counts.tracks == len(tracks) == len(WALKERS)
    assert outcome.counts.crops == len(shelf.crops)
    assert outcome.counts.frames == FRAMES
    found = []
    for crops in tracks.values():
        assert 1 <= len(crops) <= 4
        people = set()
        for crop in crops:
            assert crop.time is not None
            assert crop.box is not None
            index = round((crop.time.timestamp() - START) * 10)
            assert crop.name.endswith(f"frame {index}")
            left, top, width, height = crop.box
            (walker,) = (
                each
                for each in WALKERS
                if (box := each.box(index)) and abs(box[0] - left) <= 8 and abs(box[1] - top) <= 8
            )
            assert (width, height) == (WIDE, TALL)
            people.add(walker.person)
            assert isinstance(crop.picture, np.ndarray)
            drawn = draw([walker], index)[top : top + height, left : left + width]
            assert np.abs(crop.picture.astype(int) - drawn).mean() < 12
        assert len(people) == 1
        found += people
    assert sorted(found) == [1, 2, 3, 4]


def test_crops_are_spread_in_time(video: Path, detector: Detector, tmp_path: Path) -> None:
    shelf = Shelf()
    make(video, detector.detect, tmp_path, shelf.add).run()
    tracks = defaultdict(list)
    for crop in shelf.crops.values():
        tracks[crop.tags].append(crop.time.timestamp())  # type: ignore[union-attr]
    for times in tracks.values():
        assert len(times) >= 3
        assert max(times) - min(times) > 1.2  # of 2.5 s at least


def test_every_third_frame_finds_the_same_people(video: Path, detector: Detector, tmp_path: Path) -> None:
    shelf = Shelf()
    outcome = make(video, detector.detect, tmp_path, shelf.add, every=3, crops_per_track=1).run()
    assert outcome.counts.frames == FRAMES / 3
    assert outcome.counts.tracks == outcome.counts.crops == len(WALKERS)


class Kill(BaseException):
    """What nothing catches, as a power cut."""


def test_killed_anywhere_it_ends_in_the_same_gallery(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: Detector
) -> None:
    """Killed at each step of the detector, and before, in and after each batch that is added."""
    known = {
        frame.pixels.tobytes(): detector.detect(frame.pixels) for frame in open_source(str(video)).frames(3)
    }  # type: ignore[union-attr]
    monkeypatch.setattr(ingestion, "COMMIT_SECONDS", 0.0)
    expected = Shelf()
    counts = (
        make(video, lambda pixels: known[pixels.tobytes()], tmp_path / "w", expected.add, every=3)
        .run()
        .counts
    )
    steps = itertools.count()
    kill_at = -1

    def step() -> None:
        if next(steps) == kill_at:
            raise Kill

    def find(pixels: np.ndarray) -> tuple[Any, Any]:
        step()
        return known[pixels.tobytes()]

    for kill_at in range(1, 60, 4):
        steps = itertools.count()
        shelf = Shelf()

        def add(crops: Sequence[NewCrop], shelf: Shelf = shelf) -> None:
            step()
            shelf.add(crops[: len(crops) // 2])
            step()
            shelf.add(crops)
            step()

        folder = tmp_path / f"k{kill_at}"
        try:
            outcome = make(video, find, folder, add, every=3).run()
        except Kill:
            before = next(steps)
            outcome = make(video, find, folder, add, every=3).run()
            assert next(steps) - before < 45  # it did not begin anew
        assert shelf.listing() == expected.listing()
        assert (outcome.counts.tracks, outcome.counts.crops) == (counts.tracks, counts.crops)
        assert outcome.counts.frames == counts.frames


SCRIPT = """
import sys, time, json
from pathlib import Path
from resight.ingest import ingestion
from resight.ingest.boxes import Boxes
from resight.ingest.finding import Finder
from resight.ingest.ingestion import Choices, Ingestion
from resight.ingest.journal import Journal
from resight.ingest.box_file import read_boxes
from resight.ingest.opening import open_source
from resight.ingest.tracking import OverlapTracker

video, boxes, folder = sys.argv[1:]
ingestion.COMMIT_SECONDS = 0.02
file = read_boxes(Path(boxes), (256, 320))
source = open_source(video, start=0.0)

def add(crops):
    for crop in crops:
        (Path(folder) / f"{crop.name}.bin").write_bytes(crop.picture.tobytes())
    print("added", flush=True)

def find(frame):
    time.sleep(0.005)
    return file.find(frame.index)

Ingestion(source, "lobby", finder=Finder(find, OverlapTracker(), {}), add=add,
          journal=Journal(Path(folder) / "journal", source.name, "lobby"),
          choices=Choices(min_height=32)).run()
print("done", flush=True)
"""


@pytest.mark.slow  # test_killed_anywhere kills at every step in make test
def test_kill_9_again_and_again_loses_and_repeats_nothing(video: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "det.txt"
    lines = []
    for index in range(FRAMES):
        for box in (walker.box(index) for walker in WALKERS):
            if box is not None:
                lines.append(f"{index + 1},-1,{box[0] + 1},{box[1] + 1},{WIDE},{TALL},1")
    boxes.write_text("\n".join(lines))

    def start(folder: Path) -> subprocess.Popen[str]:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", SCRIPT, str(video), str(boxes), str(folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    whole = start(tmp_path / "whole")
    out, error = whole.communicate(timeout=60)
    assert out.endswith("done\n"), error
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.bin")}
    assert len(expected) > 8

    draws = random.Random(0)
    kills = 0
    for _ in range(40):
        process = start(tmp_path / "killed")
        journal = tmp_path / "killed" / "journal"
        deadline = time.monotonic() + 30
        before = {path: path.stat().st_mtime_ns for path in journal.glob("[!.]*.npz")}
        while process.poll() is None and time.monotonic() < deadline:
            now = {path: path.stat().st_mtime_ns for path in journal.glob("[!.]*.npz")}
            if now != before:
                break
            time.sleep(0.002)
        time.sleep(draws.uniform(0, 0.3))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        if process.communicate()[0].endswith("done\n"):
            break
    assert kills >= 3
    assert not list(journal.glob(".*"))  # no half-written file stays
    assert {path.name: path.read_bytes() for path in (tmp_path / "killed").glob("*.bin")} == expected


def test_what_is_done_is_not_done_again(video: Path, detector: Detector, tmp_path: Path) -> None:
    shelf = Shelf()
    first = make(video, detector.detect, tmp_path, shelf.add, every=5).run()

    def refuse(_: object) -> Any:
        raise AssertionError("nothing is left to do")

    again = make(video, refuse, tmp_path, refuse, every=5).run()
    assert again == Outcome(first.counts, True, 0.0)


def test_other_choices_are_refused(video: Path, detector: Detector, tmp_path: Path) -> None:
    shelf = Shelf()
    make(video, detector.detect, tmp_path, shelf.add, every=5).run()
    with pytest.raises(UserError, match=r"was ingested with other options \(every: 5, now 6\)\. Give"):
        make(video, detector.detect, tmp_path, shelf.add, every=6).run()
    with pytest.raises(UserError, match=r"was ingested with other options \(tags: "):
        make(video, detector.detect, tmp_path, shelf.add, every=5, tags=("anna",)).run()
    copied = tmp_path / "elsewhere" / video.name
    copied.parent.mkdir()
    copied.write_bytes(video.read_bytes())
    assert not make(copied, detector.detect, tmp_path, shelf.add, every=6).run().already


def test_nothing_of_the_crops_stays_in_the_journal(video: Path, detector: Detector, tmp_path: Path) -> None:
    """It lies in the gallery's folder, and is kept when the crops are forgotten."""
    shelf = Shelf()
    made = make(video, detector.detect, tmp_path, shelf.add, every=5, tags=("anna-tag",))
    made.run()
    (journal,) = tmp_path.rglob("*.npz")
    with np.load(journal) as arrays:
        assert set(arrays) == {"head"}
        head = arrays["head"].tobytes()
    assert shelf.crops
    assert not [word for word in ("anna-tag", video.name, made.camera, "looks") if word.encode() in head]
    assert json.loads(head)["tracker"] is None


def test_it_can_be_stopped_and_goes_on(video: Path, detector: Detector, tmp_path: Path) -> None:
    expected, shelf = Shelf(), Shelf()
    make(video, detector.detect, tmp_path / "whole", expected.add, every=3).run()
    looked = []

    def find(pixels: np.ndarray) -> tuple[Any, Any]:
        looked.append(1)
        if len(looked) == 12:
            one.stop()
        return detector.detect(pixels)

    one = make(video, find, tmp_path / "stopped", shelf.add, every=3)
    with pytest.raises(KeyboardInterrupt):
        one.run()
    assert len(looked) == 12
    make(video, find, tmp_path / "stopped", shelf.add, every=3).run()
    assert len(looked) == FRAMES / 3
    assert shelf.listing() == expected.listing()


def test_a_damaged_journal_is_said_to_be_one(video: Path, detector: Detector, tmp_path: Path) -> None:
    one = make(video, detector.detect, tmp_path, Shelf().add)
    path = Journal(tmp_path, one.source.name, "lobby").path
    path.write_bytes(b"PK\x03\x04 nothing of use")
    with pytest.raises(UserError, match=r"cannot be read.*Give --again"):
        one.run()


def test_a_scene_of_nobody_gives_nothing(detector: Detector, tmp_path: Path) -> None:
    path = film(tmp_path / "empty.mp4", [draw([], index) for index in range(8)])
    shelf = Shelf()
    outcome = make(path, detector.detect, tmp_path, shelf.add).run()
    assert (outcome.counts.boxes, outcome.counts.tracks, len(shelf.crops)) == (0, 0, 0)
    assert look(1).shape == (TALL, WIDE, 3)

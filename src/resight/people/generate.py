"""Drawing a set of synthetic pedestrians in Market-1501's layout, with several processes, resumable.

``OUT/bounding_box_train``, ``OUT/query`` and ``OUT/bounding_box_test`` have ``PPPP_cCsS_FFFFFF_BB.jpg``:
person, camera, passage, frame, box. A person's first crop in each camera is a query, the others are gallery;
the gallery also has junk (``-1``: boxes that miss most of a person) and distractors (``0000``: false alarms),
like Market-1501's.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

import resight
from resight.errors import UserError
from resight.files import read_json, write_json
from resight.people.crops import Drawn, World
from resight.people.factors import Factors, read_factors
from resight.people.plan import GALLERY, QUERY, TRAIN, PlanSettings, Task, check, plan
from resight.progress import Bar
from resight.threads import available_cores

SETTINGS = "synthesis.json"
UNFINISHED = ".unfinished"
QUALITY = 90


@dataclass(frozen=True)
class Synthesized:
    """A finished set: its folder, its contents, and the number of files drawn in this call."""

    folder: Path
    train_persons: int
    test_persons: int
    cameras: int
    train: int
    query: int
    gallery: int
    junk: int
    distractors: int
    drawn: int
    seconds: float


def synthesize(
    out: Path | str,
    *,
    persons: int = 300,
    cameras: int = 6,
    crops: int = 4,
    test_persons: int | None = None,
    seed: int = 0,
    processes: int | None = None,
    height: int = 256,
    factors: Sequence[str] = (),
    cameras_per_person: int | None = None,
) -> Synthesized:
    """Draw a set, or its missing files if the same set was begun there.

    Args:
        out: a folder that is empty, does not exist, or holds the same set unfinished.
        persons: in all. test_persons: the last of them, for query and gallery; by default a third. Families
            of five look alike, so the number of training persons is a multiple of five.
        cameras: in all. crops: of each person in each camera that it passes, two per passage.
        seed: another seed has other persons and other cameras.
        processes: by default one per available core; the files are the same for any number.
        height: rows of a stored crop, with half as many columns; the world is drawn at a suitable resolution.
        factors: what is drawn nearer to surveillance cameras' crops, see ``read_factors``.
        cameras_per_person: that each person passes, chosen at random; by default all.

    Raises:
        UserError: a factor or a number is not valid, the folder holds something else, or it cannot be
            written.
    """
    settings = check(
        persons, cameras, crops, test_persons, seed, height, read_factors(factors), cameras_per_person
    )
    if processes is not None and processes < 1:
        raise UserError(f"The number of processes must be at least 1; got {processes}.")
    folder = Path(out)
    _open(folder, settings)
    start = time.monotonic()
    kinds = Counter((task.folder, task.kind) for task in plan(settings))
    total = kinds.total()
    missing = sum(1 for _ in missing_tasks(folder, settings))
    if missing:
        number = min(processes or available_cores(), missing)
        with Bar("Drawing people", total, done=total - missing) as bar:
            if number == 1:
                draw(folder, settings, 0, 1, bar.advance)
            else:
                _draw_in_processes(folder, number, bar)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    return Synthesized(
        folder=folder,
        train_persons=settings.persons - settings.test_persons,
        test_persons=settings.test_persons,
        cameras=cameras,
        train=kinds[TRAIN, "crop"],
        query=kinds[QUERY, "crop"],
        gallery=kinds[GALLERY, "crop"],
        junk=kinds[GALLERY, "junk"],
        distractors=kinds[GALLERY, "distractor"],
        drawn=missing,
        seconds=time.monotonic() - start,
    )


def missing_tasks(folder: Path, settings: PlanSettings) -> Iterator[Task]:
    """Yield the tasks without a file; existing ones are always complete."""
    return (task for task in plan(settings) if not (folder / task.folder / task.name).exists())


def draw(folder: Path, settings: PlanSettings, part: int, parts: int, advance: Callable[[], None]) -> None:
    """Draw the missing files of one of several parts of a set; parts have no person and no file in common."""
    world = World(settings.seed, settings.height, Factors(**settings.factors))
    for task in missing_tasks(folder, settings):
        if task.group % parts == part:
            _write(folder, task, picture(world, task))
            advance()


def picture(world: World, task: Task) -> Image.Image:
    """Return the crop for a task's file."""
    method = {"crop": world.crop, "junk": world.junk, "distractor": world.distractor}[task.kind]
    drawn: Drawn = method(*task.numbers)  # type: ignore[operator]
    return drawn.image


def _write(folder: Path, task: Task, image: Image.Image) -> None:
    temporary = folder / UNFINISHED / f"{os.getpid()}.part"
    try:
        # Pillow does not notice a full disk when it writes files itself: encode first, then write
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=QUALITY)
        temporary.write_bytes(stream.getvalue())
        temporary.replace(folder / task.folder / task.name)
    except OSError as error:
        raise UserError(
            f"Cannot write {folder / task.folder / task.name}: {error.strerror or error}. What was drawn is "
            "kept; free some space and run the same command again to finish the set."
        ) from error


def _draw_in_processes(folder: Path, number: int, bar: Bar) -> None:
    """Draw in new interpreters, without forking the caller's threads and without a main guard there.

    Each byte that a worker writes is one crop.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    root = str(Path(resight.__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    receive, send = os.pipe()
    with os.fdopen(receive, "rb", buffering=0) as counts, tempfile.TemporaryFile("w+") as complaints:
        command = [sys.executable, "-m", "resight.people.worker", str(folder)]
        workers = [
            subprocess.Popen(
                [*command, str(part), str(number)], stdout=send, stderr=complaints, env=environment
            )
            for part in range(number)
        ]
        os.close(send)
        try:
            while received := counts.read(4096):
                bar.advance(len(received))
            failed = [worker.wait() for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        if any(failed):
            complaints.seek(0)
            said = complaints.read().strip().splitlines() or [f"it ended with status {max(failed, key=abs)}"]
            raise UserError(
                f"A drawing process stopped: {said[-1]}\nRun the same command again to finish the set."
            )


def _open(folder: Path, settings: PlanSettings) -> None:
    """Prepare the folder, or refuse one with anything but this set."""
    record = folder / SETTINGS
    if folder.is_file():
        raise UserError(f"{folder} is a file. Name an empty or a new folder.")
    if folder.is_dir() and any(folder.iterdir()):
        if not record.is_file():
            raise UserError(
                f"{folder} is not empty and holds no set of synthetic people. Name an empty or a new folder."
            )
        other = read_settings(folder)
        wanted = asdict(settings)
        differing = [
            f"{key} {other.get(key)} there, {value} now"
            for key, value in wanted.items()
            if other.get(key) != value
        ]
        if differing:
            raise UserError(
                f"{folder} holds another set of synthetic people ({'; '.join(differing)}). Name another "
                "folder, or repeat the settings of the set there to finish it."
            )
    else:
        write_json(record, asdict(settings))
    try:
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        for name in (TRAIN, QUERY, GALLERY, UNFINISHED):
            (folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write {folder}: {error.strerror}. Choose another folder.") from error


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of the set in a folder.

    Raises:
        UserError: the record cannot be read.
    """
    return read_json(folder / SETTINGS, "Name an empty or a new folder.")

"""A store that another process keeps: its errors come here, its end is noticed, and its lock holds on."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery_fakes import Fake, noise, people

from resight.errors import UserError
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery
from resight.gallery.stores import folder
from resight.gallery.stores.beside import StoreBeside
from resight.gallery.stores.folder import LOCK, FolderBackend
from resight.gallery.stores.store import Record


@pytest.fixture
def made(place: Path) -> Path:
    """Return a gallery's folder with 48 crops."""
    with Gallery.open(place, Fake(), create=True, beside=True) as gallery:
        gallery.add(people())
    return place


def kept(gallery: Gallery) -> StoreBeside:
    store = gallery._store
    assert isinstance(store, StoreBeside)
    return store


def test_both_ways_read_the_same_gallery(made: Path) -> None:
    with Gallery.open(made, Fake()) as alone:
        alone.add([NewCrop(noise(1000), camera="cam9")])
        query = alone.embed([noise(5000, 3)])
        found = alone.search(vectors=query, top=7)
    with Gallery.open(made, Fake(), beside=True) as beside:
        assert len(beside) == 49
        again = beside.search(vectors=query, top=7)
        assert [match.crop for match in again.matches] == [match.crop for match in found.matches]
        assert beside.picture(found.matches[0].crop.id).startswith(b"\xff\xd8")
        assert sum(map(len, kept(beside).scan(Filter(), "vector", "picture", batch=10))) == 49


def test_what_is_no_mistake_of_the_user_comes_with_its_traceback(made: Path) -> None:
    with Gallery.open(made, beside=True) as gallery:
        wrong = Record("00000000-0000-0000-0000-000000000000", {}, np.ones(3, np.float32))
        with pytest.raises(RuntimeError, match=r"(?s)Traceback.*edge.py"):
            kept(gallery).put([wrong])
        assert len(gallery) == 48


def test_a_damaged_gallery_is_told_of_and_let_go(made: Path) -> None:
    (made / "crops-1" / "edge_config.json").write_text("nothing")
    for _ in range(2):
        with pytest.raises(UserError, match=r"is damaged: its folder crops-1 cannot be read"):
            Gallery.open(made, beside=True)


def test_an_interrupted_question_gives_no_answer_to_the_next(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(made, beside=True) as gallery:
        store = kept(gallery)

        class Interrupted:
            def __getattr__(self, name: str) -> Any:
                return getattr(wire, name)

            def recv(self) -> Any:
                raise KeyboardInterrupt

        wire = store._wire
        monkeypatch.setattr(store, "_wire", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            gallery.values("camera")
        monkeypatch.setattr(store, "_wire", wire)
        assert len(gallery) == 48


def test_the_death_of_the_other_process_is_told(made: Path) -> None:
    gallery = Gallery.open(made, beside=True)
    os.kill(kept(gallery)._process.pid, signal.SIGKILL)
    kept(gallery)._process.wait()
    for _ in range(2):
        with pytest.raises(UserError, match=r"has died \(exit status -9\).*run the command again"):
            len(gallery)
    gallery.close()
    with Gallery.open(made, beside=True) as again:
        assert len(again) == 48


def test_a_request_to_end_is_left_to_the_process_that_asks(made: Path) -> None:
    with Gallery.open(made, beside=True) as gallery:
        os.kill(kept(gallery)._process.pid, signal.SIGTERM)
        time.sleep(0.05)
        assert len(gallery) == 48


def test_a_gallery_waits_for_what_a_killed_process_left(made: Path) -> None:
    """The asking process is killed and its keeper stopped: the lock holds; once it goes on, it lets go."""
    script = (
        "import sys, time; from resight.gallery.gallery import Gallery\n"
        "gallery = Gallery.open(sys.argv[1], beside=True)\n"
        "print(gallery._store._process.pid, flush=True); time.sleep(60)"
    )
    asking = subprocess.Popen([sys.executable, "-c", script, str(made)], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    keeper = int(asking.stdout.readline())
    os.kill(keeper, signal.SIGSTOP)
    with pytest.raises(UserError, match=rf"in use by process {asking.pid} "):  # it lives
        FolderBackend(made)
    asking.kill()
    asking.communicate()
    waking = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.3; kill -CONT {keeper}"])
    begin = time.monotonic()
    with Gallery.open(made) as gallery:
        assert time.monotonic() - begin > 0.2
        assert len(gallery) == 48
    waking.wait()


def test_one_does_not_wait_for_ever(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "FINISHING", 0.1)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with (made / LOCK).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps({"pid": ended.pid, "command": "resight", "since": "12:00:00"}))
        lock.truncate()
        lock.flush()
        with pytest.raises(UserError, match=rf"in use by process {ended.pid} \(resight\) since 12:00:00"):
            FolderBackend(made)

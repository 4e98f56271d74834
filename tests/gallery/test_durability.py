"""What was told to be stored stays, whatever kills the process; full disks and refused writes."""

import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import Disk, Fake, noise, people

from resight.errors import UserError
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery
from resight.gallery.pictures import read_pixels
from resight.gallery.stores import edge
from resight.gallery.stores.edge import HALF_BUILT, EdgeStore
from resight.gallery.stores.picture_store import FILE
from resight.gallery.stores.store import Layout, Record

SCRIPT = str(Path(__file__).with_name("gallery_fakes.py"))
LARGE = 2 * 10**9


def kill_while_adding(place: Path, seed: int, lines: int, seconds: float) -> set[str]:
    """Let a process add crops and print so many lines, kill it so long after the last of them.

    Returns:
        the ids that it printed as stored.
    """
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "add", str(place), str(seed)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    printed = [process.stdout.readline() for _ in range(1 + lines)]
    assert printed[0] == "open\n"
    time.sleep(seconds)
    process.kill()
    printed += process.communicate()[0].splitlines(keepends=True)
    assert process.returncode == -signal.SIGKILL
    return {
        identity
        for line in printed
        if line.startswith("stored") and line.endswith("\n")
        for identity in line.split()[1:]
    }


def check_whole(place: Path, told: set[str]) -> None:
    """Check that everything told of is there, that each crop is whole, and that searches find them."""
    with Gallery.open(place, Fake()) as gallery:
        stored = {
            record.id: record
            for records in gallery._store.scan(Filter(), "picture", "vector")
            for record in gallery._means.restored(records)
        }
        assert told <= set(stored), f"{len(told - set(stored))} crops are lost"
        assert len(gallery) == len(stored)
        chosen = random.Random(0).sample(sorted(stored), min(50, len(stored)))
        for identity in chosen:
            vector = stored[identity].vector
            assert vector is not None
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
            again = gallery.embed([read_pixels(gallery.picture(identity))])[0]
            assert float(again @ vector) > 0.95  # the picture is kept as JPEG
            camera = stored[identity].payload.get("camera")
            own = [] if camera is None else [camera]
            found = gallery.search(vectors=vector[None], cameras=own, top=1).matches[0]
            assert found.crop.id == identity
        for source in gallery.values(
            "source"
        ):  # at most one forgotten crop was not yet forgotten when killed
            assert source == "kept" or source.startswith("forgotten-")


def kill_often(place: Path, times: int) -> None:
    choose = random.Random(times)
    told: set[str] = set()
    for turn in range(times):
        told |= kill_while_adding(place, turn, choose.randrange(8), choose.uniform(0, 0.2))
        check_whole(place, told)
    assert len(told) > 100 * times / 5  # the deaths were not all too early to tell of anything


def test_killed_4_times_nothing_is_lost(tmp_path: Path) -> None:
    kill_often(tmp_path / "gallery", 4)


@pytest.mark.slow
def test_killed_50_times_nothing_is_lost(tmp_path: Path) -> None:
    kill_often(tmp_path / "gallery", 50)


def test_killed_while_forgetting_its_pictures_are_erased_on_opening(tmp_path: Path) -> None:
    place = tmp_path / "gallery"
    with Gallery.open(place, Fake(), create=True) as gallery:
        gallery.add(people(4))
        forgotten = {crop.id for crop in gallery.page(Filter(persons=("p1",)))[0]}
        pictures = {identity: gallery.picture(identity) for identity in forgotten}
        left = len(gallery) - len(forgotten)
    done = subprocess.run([sys.executable, SCRIPT, "forget", str(place), "p1"])
    assert done.returncode == -signal.SIGKILL
    assert all(jpeg in (place / FILE).read_bytes() for jpeg in pictures.values())
    with Gallery.open(place) as gallery:
        assert len(gallery) == left
        assert all(gallery.picture(crop.id) for crop in gallery.page()[0])
    assert not any(jpeg in (place / FILE).read_bytes() for jpeg in pictures.values())


def test_killed_while_it_is_made_a_gallery_can_be_made(tmp_path: Path) -> None:
    place = tmp_path / "gallery"
    for milliseconds in range(0, 60, 15):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; sys.path.insert(0, sys.argv[2]); from gallery_fakes import *\n"
                "print(flush=True)\nGallery.open(sys.argv[1], Fake(), create=True)",
                str(place),
                str(Path(SCRIPT).parent),
            ],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(milliseconds / 1000)
        process.kill()
        process.wait()
        process.stdout.close()
    with Gallery.open(place, Fake(), create=True) as gallery:
        assert gallery.add([NewCrop(noise(1))]).new == 1


def test_a_full_disk_stops_adding_and_harms_nothing(disk: Disk) -> None:
    disk.resize(LARGE)
    with Gallery.open(disk.path / "gallery", Fake(), create=True) as gallery:
        disk.leave(edge.RESERVED + 400_000)
        with pytest.raises(UserError, match=r"26\d MB free.*What was added before is unharmed"):
            gallery.add(NewCrop(noise(at)) for at in range(1000))
        assert 64 <= len(gallery) < 1000
        assert shutil.disk_usage(disk.path).free > edge.RESERVED * 0.9
        with pytest.raises(UserError, match="MB free"):
            gallery.compact()
        assert gallery.search([noise(1)], top=1).matches[0].score > 0.99
        disk.resize(LARGE)
        assert gallery.add(NewCrop(noise(at)) for at in range(1000)).new > 0
        assert len(gallery) == 1000


def test_nothing_is_made_on_a_full_disk(disk: Disk) -> None:
    with pytest.raises(UserError, match="8 MB free, and 268 MB are needed"):
        Gallery.open(disk.path / "gallery", Fake(), create=True)
    assert not list((disk.path / "gallery").glob("crops-*"))
    disk.resize(LARGE)
    Gallery.open(disk.path / "gallery", Fake(), create=True).close()


def test_what_a_killed_compaction_leaves_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "crops-1"
    store = EdgeStore(folder, Layout(64, graph_from=20))
    vectors = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.put([Record(str(uuid.UUID(int=number)), {}, vector) for number, vector in enumerate(vectors)])
    store.compact()
    store.close()
    assert (folder / HALF_BUILT).is_dir(), "so the engine calls it"
    half = folder / HALF_BUILT / "segment_builder_x"
    half.mkdir()
    (half / "vectors").write_bytes(bytes(100))
    again = EdgeStore(folder)
    assert not half.exists()
    assert again.count(Filter()) == 500
    again.close()

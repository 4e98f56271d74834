"""After ``forget`` and ``compact`` no file of a gallery holds a byte of a forgotten crop."""

import shutil
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from gallery_fakes import Disk, Fake, ids, noise, people

from resight.errors import UserError
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery
from resight.gallery.stores import edge

SCRIPT = str(Path(__file__).with_name("gallery_fakes.py"))

WORDS = ("anna-person", "anna-tag", "anna-camera", "anna-source.mp4", "anna-name.jpg", "anna-renamed")
ANNA = Filter(sources=("anna-source.mp4",))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return the folder of a closed gallery of 73 crops, one of them of Anna, vectors as they came."""
    with Gallery.open(tmp_path / "gallery", Fake(), create=True, camera_normalise=False) as gallery:
        gallery.add(people(12))
        person, tag, camera, source, name, renamed = WORDS
        gallery.add(
            [NewCrop(noise(777), camera=camera, source=source, name=name, person=person, tags=(tag,))]
        )
        gallery.label([ids(gallery)[name]], renamed)
    return tmp_path / "gallery"


def secrets(place: Path) -> dict[str, list[bytes]]:
    """Return what no file may hold: words, the picture, and the vector as memory and as the log has it."""
    with Gallery.open(place, Fake()) as gallery:
        (crop,) = gallery.page(ANNA)[0]
        numbers = [float(number) for number in gallery.embed([noise(777)])[0]]
        picture = gallery.picture(crop.id)
    return {
        "words": [word.encode() for word in WORDS],
        "picture": [picture, picture[-100:]],
        "vector": [struct.pack("<4f", *numbers[at : at + 4]) for at in range(0, 48, 4)],
        "vector in the log": [struct.pack(">f", number) for number in numbers[:8]],
    }


def found(place: Path, needles: list[bytes]) -> list[bytes]:
    """Return those needles that are in a file, or in the name of one."""
    names = b"\0".join(str(path).encode() for path in place.rglob("*"))
    files = [path.read_bytes() for path in place.rglob("*") if path.is_file()]
    return [needle for needle in needles if any(needle in content for content in (names, *files))]


def check_nothing_is_left(place: Path, needles: dict[str, list[bytes]]) -> None:
    assert {kind: found(place, some) for kind, some in needles.items()} == {kind: [] for kind in needles}
    with Gallery.open(place, Fake()) as gallery:
        assert not gallery.metadata.traces
        assert len(gallery) == 72
        assert gallery.values("person") == {f"p{person}": 6 for person in range(12)}
        assert {match.crop.person for match in gallery.search([noise(5000, 3)], top=6).matches} == {"p3"}
        assert all(gallery.picture(crop.id).startswith(b"\xff\xd8") for crop in gallery.page()[0])


def test_no_byte_of_a_forgotten_crop_is_left(place: Path) -> None:
    needles = secrets(place)
    assert {kind: found(place, some) for kind, some in needles.items()} == needles, "or it could not be seen"
    with Gallery.open(place) as gallery:
        assert gallery.forget(ANNA) == 1
        assert gallery.metadata.traces
    assert found(place, needles["picture"]) == []
    assert found(place, needles["words"]) == needles["words"], "as the documentation says"
    with Gallery.open(place) as gallery:
        gallery.compact()
    check_nothing_is_left(place, needles)


def test_a_word_that_was_replaced_is_gone_too(place: Path) -> None:
    with Gallery.open(place) as gallery:
        gallery.compact()
        assert not gallery.metadata.traces
        assert found(place, [b"anna-person"]) == []
        gallery.tag([ids(gallery)["anna-name.jpg"]], [])
        assert gallery.metadata.traces
        gallery.compact()
        assert len(gallery) == 73
    assert found(place, [b"anna-tag", b"anna-renamed"]) == [b"anna-renamed"]


def test_a_re_embedding_under_way_is_rid_of_it_too(place: Path) -> None:
    needles = secrets(place)
    killed = subprocess.run([sys.executable, SCRIPT, "reembed", str(place), "2"])
    assert killed.returncode == -signal.SIGKILL
    with Gallery.open(place) as gallery:
        gallery.forget(ANNA)
        gallery.compact()
        assert 0 < gallery.reembed(Fake("other")) < 72, "what was described is kept"
    assert {kind: found(place, some) for kind, some in needles.items()} == {kind: [] for kind in needles}


@pytest.mark.parametrize(
    "when", [*(pytest.param(when, marks=pytest.mark.slow) for when in ("copying", "merging")), "swapped"]
)
def test_killed_while_compacting_a_gallery_is_what_it_was(place: Path, when: str) -> None:
    needles = secrets(place)
    with Gallery.open(place) as gallery:
        gallery.forget(ANNA)
    killed = subprocess.run([sys.executable, SCRIPT, "compact", str(place), when])
    assert killed.returncode == -signal.SIGKILL
    with Gallery.open(place) as gallery:
        assert len(gallery) == 72
        assert gallery.metadata.traces == (when != "swapped")
        gallery.compact()
    check_nothing_is_left(place, needles)


def test_a_full_disk_is_refused_beforehand(place: Path, disk: Disk) -> None:
    disk.resize(2 * 10**9)
    with Gallery.open(shutil.copytree(place, disk.path / "gallery"), Fake()) as gallery:
        gallery.forget(ANNA)
        before = sorted((disk.path / "gallery").iterdir())
        disk.leave(edge.RESERVED + 10**6)
        with pytest.raises(UserError, match=r"269 MB free, and \d+ MB are needed"):
            gallery.compact()
        assert sorted((disk.path / "gallery").iterdir()) == before
        assert gallery.metadata.traces
        disk.resize(2 * 10**9)
        gallery.compact()
        assert not gallery.metadata.traces
        assert gallery.add([NewCrop(noise(1))]).new == 1


def test_what_is_added_while_another_model_embeds_is_kept(tmp_path: Path) -> None:
    with Gallery.open(tmp_path, Fake(), create=True) as gallery:
        gallery.add([NewCrop(noise(number), camera=f"cam{number % 2}") for number in range(60)])

        def done(_: int) -> None:
            if len(gallery) == 60:
                gallery.add([NewCrop(noise(9000), name="late", camera="cam1")])

        assert gallery.reembed(Fake("other"), done) == 61
        assert gallery.search([noise(9000)], top=1).matches[0].crop.name == "late"
        stored = [record.payload for records in gallery._store.scan(Filter()) for record in records]
        means = {(fields["camera"], fields.get("mean")) for fields in stored}
        assert len(means) == 2, "each camera's crops lack the same mean"


def test_what_happens_meanwhile_is_kept(place: Path) -> None:
    """Crops are searched, added, labelled and forgotten by one thread while another one compacts."""
    needles = secrets(place)
    with Gallery.open(place, Fake()) as gallery, ThreadPoolExecutor(1) as pool:
        gallery.forget(ANNA)
        copied, changed = Event(), Event()

        def done(_: int) -> None:
            copied.set()
            assert changed.wait(60)

        compacting = pool.submit(gallery.compact, done)
        assert copied.wait(60)
        known = ids(gallery)
        gallery.label([known["0"]], "renamed")
        gallery.forget(Filter(persons=("p7",)))
        gallery.add([NewCrop(noise(9000), name="late")])
        assert gallery.search([noise(5000, 3)], top=1).matches[0].crop.person == "p3"
        changed.set()
        compacting.result()
        assert gallery.metadata.traces, "of what was forgotten meanwhile"
        assert set(ids(gallery)) == {*(name for name in known if not 42 <= int(name) < 48), "late"}
        assert gallery.values("person") == {
            "renamed": 1,
            "p0": 5,
            **{f"p{at}": 6 for at in range(1, 12) if at != 7},
        }
        gallery.compact()
        assert not gallery.metadata.traces
        assert len(gallery) == 67
    assert found(place, [*needles["words"], *needles["vector"]]) == []

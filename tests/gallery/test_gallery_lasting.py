"""A gallery over time: opened again, by others, exported, and changed to another model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import Fake, ids, noise, people

from resight.errors import UserError
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery
from resight.gallery.stores import folder


def test_a_gallery_of_another_model_says_which_one_it_needs(filled: Gallery, place: Path) -> None:
    filled.close()
    with pytest.raises(
        UserError, match=r"needs fake \(48 numbers a crop\) with the fingerprint fakefakefake; got other"
    ):
        Gallery.open(place, Fake("other"))


def test_a_gallery_that_is_not_there(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no gallery"):
        Gallery.open(place)
    with pytest.raises(UserError, match="There is no gallery"):
        Gallery.open(place, Fake())
    assert not place.exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"other files in it \(thesis.tex\)"):
        Gallery.open(tmp_path / "other", Fake(), create=True)
    with pytest.raises(UserError, match="is a file"):
        Gallery.open(tmp_path / "other" / "thesis.tex", Fake(), create=True)


def test_a_gallery_of_a_newer_version_or_damaged(filled: Gallery, place: Path) -> None:
    filled.close()
    file = place / folder.METADATA
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"format": 99, "version": "7.0", "new": 1}))
    with pytest.raises(UserError, match=r"Resight 7.0 in format 99.*Update Resight"):
        Gallery.open(place)
    file.write_text(json.dumps(content | {"format": 1, "storage": "float32"}))
    with pytest.raises(UserError, match=r"earlier version.* format 1,.* new .*gallery add CROPS.* ingest"):
        Gallery.open(place)
    for text in ("", "[]", "{", json.dumps({"format": "one"}), json.dumps(content | {"shards": "many"})):
        file.write_text(text)
        with pytest.raises(UserError, match="damaged"):
            Gallery.open(place)
    file.write_text(json.dumps(content | {"model": content["model"] | {"width": 65}}))
    with pytest.raises(UserError, match=r"damaged: its vectors have \d+ numbers, but its .* says 65\."):
        Gallery.open(place)
    file.write_text(json.dumps(content | {"store": "crops-9"}))
    with pytest.raises(UserError, match="crops-9 is missing"):
        Gallery.open(place)


OTHER_PROCESS = """
import sys
from gallery_fakes import Fake
from resight.errors import UserError
from resight.gallery.gallery import Gallery
from resight.gallery.stores.folder import FolderBackend

place = sys.argv[1]
for attempt in (
    lambda: Gallery.open(place),
    lambda: Gallery.open(place, Fake(), create=True),
    lambda: Gallery.open(place, Fake("other"), create=True),
    lambda: FolderBackend(Path(place)).open_store("crops-1"),
):
    try:
        attempt()
    except UserError as error:
        print(error)
"""


def test_another_process_is_refused_and_harms_nothing(filled: Gallery, place: Path) -> None:
    """The engine would remove files of the first process before it refuses a second one."""
    for added in range(3):
        done = subprocess.run(
            [sys.executable, "-c", "from pathlib import Path\n" + OTHER_PROCESS, place, "--person", "anna"],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        )
        assert done.stderr == ""
        assert done.stdout.count(f"in use by process {os.getpid()} (") == 4
        filled.add([NewCrop(noise(9000 + added))])
        filled.label([ids(filled)["0"]], f"p{added}")
    filled.close()
    with Gallery.open(place) as again:
        assert len(again) == 51
        assert again.get([ids(again)["0"]])[0].person == "p2"
    assert (place / folder.LOCK).read_text() == str(os.getpid()), "no command, which may name persons"


def test_what_is_damaged_inside_the_folder_is_named(filled: Gallery, place: Path, tmp_path: Path) -> None:
    filled.close()
    pictures, vectors = tmp_path / "without pictures", tmp_path / "cut off"
    shutil.copytree(place, pictures)
    (pictures / "pictures.sqlite").unlink()
    for _ in range(2):
        with pytest.raises(UserError, match="without pictures is damaged: its pictures are missing"):
            Gallery.open(pictures, Fake())
    shutil.copytree(place, vectors)
    for file in vectors.rglob("quantized_data/chunk_0.mmap"):
        file.write_bytes(file.read_bytes()[:100])
    with (
        Gallery.open(vectors, Fake()) as opened,
        pytest.raises(UserError, match=r"cut off is damaged, or the disk is failing: .* are not readable"),
    ):
        opened.search([noise(1)])


def test_a_folder_that_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(folder.os, "open", refuse)
    with pytest.raises(UserError, match="Read-only"):
        Gallery.open(place, Fake(), create=True)


def test_an_export_holds_all_and_is_scored(filled: Gallery, tmp_path: Path) -> None:
    from resight.commands.feature_files import read_arrays, read_fingerprint

    out = tmp_path / "out"
    filled.label([ids(filled)["0"]], None)
    assert filled.export(out) == 48
    arrays = read_arrays(out)
    assert arrays["features"].shape == (48, 48)
    assert read_fingerprint(out) == filled.metadata.model.fingerprint
    lines = [json.loads(line) for line in (out / "crops.jsonl").read_text().splitlines()]
    added = {crop.name: crop.picture for crop in people()}
    people_by_number = json.loads((out / "names.json").read_text())
    for row, line in enumerate(lines):
        (stored,) = filled.get([line["id"]])
        assert line == json.loads(json.dumps(stored.as_dict()))
        person = int(arrays["persons"][row])
        assert (people_by_number[str(person)] if person else None) == stored.person
        (vector,) = filled.embed([added[stored.name]])
        np.testing.assert_allclose(arrays["features"][row], vector, atol=1e-6)
        assert (out / "pictures" / f"{line['id']}.jpg").read_bytes() == filled.picture(line["id"])
    with pytest.raises(UserError, match="exists and is not an empty folder"):
        filled.export(out)
    with pytest.raises(UserError, match="No crop"):
        filled.export(tmp_path / "none", Filter(persons=("nobody",)))


def test_an_export_without_all_cameras_has_none(place: Path, tmp_path: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add([*people(1), NewCrop(noise(5))])
        opened.export(tmp_path / "out", Filter())
    assert not (tmp_path / "out" / "cameras.npy").exists()


def test_a_gallery_changes_its_model(filled: Gallery, place: Path) -> None:
    filled.calibrate()
    filled.label([ids(filled)["5"]], "renamed")
    before = {crop.id: crop for crop in filled.page(top=100)[0]}
    with pytest.raises(UserError, match="already"):
        filled.reembed(Fake())
    assert filled.reembed(Fake("other")) == 48
    assert filled.metadata.model.name == "other"
    assert filled.metadata.calibration is None
    assert {crop.id: crop for crop in filled.page(top=100)[0]} == before
    filled.close()
    with Gallery.open(place, Fake("other")) as opened:
        assert {match.crop.person for match in opened.search([noise(5000, 3)], top=6).matches} == {"p3"}
        assert [folder.name for folder in place.glob("crops-*")] == ["crops-2"]
    with pytest.raises(UserError, match="another model"):
        Gallery.open(place, Fake())


def test_a_killed_change_of_model_goes_on_where_it_was(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(people(40))
        known = ids(opened)
    script = str(Path(__file__).with_name("gallery_fakes.py"))
    killed = subprocess.run([sys.executable, script, "reembed", str(place), "3"])
    assert killed.returncode == -9
    with Gallery.open(place, Fake()) as opened:  # whole, of the old model
        assert {match.crop.person for match in opened.search([noise(5000, 3)], top=6).matches} == {"p3"}
        assert opened.metadata.reembedding is not None
        opened.label([known["3"]], "renamed")  # both stores hear of it
        forgotten = opened.forget(Filter(persons=("p1",)))
        opened.add([NewCrop(noise(7777), name="late")])
    with Gallery.open(place) as opened:
        described = opened.reembed(Fake("other"))
        assert 0 < described < 240
        assert len(opened) == 240 - forgotten + 1
        assert set(ids(opened)) == {*(name for name in known if name not in map(str, range(6, 12))), "late"}
        assert opened.get([known["3"]])[0].person == "renamed"


def test_a_change_to_a_third_model_begins_anew(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(people(40))
    script = str(Path(__file__).with_name("gallery_fakes.py"))
    subprocess.run([sys.executable, script, "reembed", str(place), "3"])
    with Gallery.open(place) as opened:
        assert opened.reembed(Fake("third")) == 240
        assert opened.metadata.model.name == "third"
    with Gallery.open(place, Fake("third")) as opened:
        assert [folder.name for folder in place.glob("crops-*")] == [opened.metadata.store]

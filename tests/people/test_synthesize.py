"""Whole sets: layout, split, resumption, processes and refusals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.people.generate import synthesize
from resight.people.person import FAMILY

SETTINGS = {"persons": 20, "cameras": 2, "crops": 3, "height": 64, "seed": 3}
OPTIONS = [f"--{name}={value}" for name, value in SETTINGS.items()]
NAME = re.compile(r"(-1|\d{4})_c(\d+)s(\d+)_(\d{6})_(\d{2})\.jpg")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command(out: Path, *more: str, limit: int | None = None) -> subprocess.Popen[str]:
    """Start the command in a session of its own; no file may grow beyond ``limit`` bytes."""
    options = [
        option for option in OPTIONS if option.split("=")[0] not in {own.split("=")[0] for own in more}
    ]
    call = [sys.executable, "-m", "resight", "synthesize", str(out), *options, *more]
    if limit is not None:
        script = (
            f"import os, resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
            f"os.execv({call[0]!r}, {call!r})"
        )
        call = [sys.executable, "-c", script]
    return subprocess.Popen(
        call,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # shells start what runs in the background with Ctrl-C ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for_crops(out: Path, number: int) -> None:
    end = time.monotonic() + 60
    while sum(1 for _ in out.glob("*/*.jpg")) < number:
        assert time.monotonic() < end, "no crop was drawn in a minute"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("people") / "set"
    return synthesize(out, processes=2, **SETTINGS)


def test_layout_and_counts(drawn):
    names = {split: [NAME.fullmatch(p.name) for p in (drawn.folder / split).iterdir()] for split in
             ("bounding_box_train", "query", "bounding_box_test")}  # fmt: skip
    assert all(match for matches in names.values() for match in matches)
    persons = {split: {int(match[1]) for match in matches} for split, matches in names.items()}
    assert persons["bounding_box_train"] == set(range(1, 11))
    assert persons["query"] == set(range(11, 21))
    assert persons["bounding_box_test"] == set(range(11, 21)) | {-1, 0}
    assert (drawn.train, drawn.query, drawn.gallery) == (10 * 2 * 3, 10 * 2, 10 * 2 * 2)
    assert drawn.junk == drawn.distractors == 6
    assert sum(map(len, names.values())) == drawn.drawn == 60 + 20 + 40 + 12
    assert {int(match[2]) for match in names["query"]} == {1, 2}
    assert not (drawn.folder / ".unfinished").exists()


def test_no_family_straddles_the_split(drawn):
    benchmark = open_benchmark(drawn.folder)
    families = [{(crop.person - 1) // FAMILY for crop in crops if crop.person > 0} for crops in
                (benchmark.train, (*benchmark.query, *benchmark.gallery))]  # fmt: skip
    assert families[0]
    assert families[1]
    assert not families[0] & families[1]


def test_pictures_have_the_stored_size(drawn):
    pictures = list(drawn.folder.glob("*/*.jpg"))
    assert len(pictures) == drawn.drawn
    for path in pictures:
        with Image.open(path) as image:
            assert image.size == (32, 64)


def test_a_second_call_draws_nothing(drawn):
    before = files(drawn.folder)
    again = synthesize(drawn.folder, **SETTINGS)
    assert again.drawn == 0
    assert files(drawn.folder) == before


def test_killed_and_continued_by_one_process_it_is_the_set_of_two(drawn, tmp_path):
    out = tmp_path / "set"
    process = command(out, "--processes=1")
    wait_for_crops(out, 5)
    process.kill()
    process.communicate()
    for path in out.glob("*/*.jpg"):
        Image.open(path).load()
    begun = sum(1 for _ in out.glob("*/*.jpg"))
    finished = synthesize(out, processes=1, **SETTINGS)
    assert 0 < finished.drawn == 132 - begun
    assert files(out) == files(drawn.folder)


def test_interrupted_it_says_so_and_leaves_whole_pictures(tmp_path):
    out = tmp_path / "set"
    process = command(out, "--processes=2", "--persons=400")  # so many that it cannot end before the signal
    wait_for_crops(out, 5)
    os.killpg(process.pid, signal.SIGINT)
    _, complaints = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in complaints
    count = sum(1 for _ in out.glob("*/*.jpg"))
    for path in out.glob("*/*.jpg"):
        Image.open(path).load()
    time.sleep(0.3)
    assert sum(1 for _ in out.glob("*/*.jpg")) == count, "a worker goes on drawing"


def test_json_is_one_value_on_standard_output(drawn):
    output, _ = command(drawn.folder, "--json").communicate()
    counts = json.loads(output)
    assert counts["train"] == 60
    assert counts["drawn"] == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"persons": 1}, "persons must be from 2"),
        ({"cameras": 1}, "cameras must be from 2"),
        ({"cameras_per_person": 7}, "cameras per person must be from 2 to 6"),
        ({"cameras_per_person": 0}, "cameras per person must be from 2 to 6; got 0"),
        ({"crops": 0}, "crops must be from 1"),
        ({"height": 8}, "height must be from 32"),
        ({"seed": -1}, "seed must be from 0"),
        ({"processes": 0}, "at least 1"),
        ({"persons": 4}, "at least 6 persons"),
        ({"persons": 20, "test_persons": 21}, "from 0 to 20"),
        ({"persons": 20, "test_persons": 7}, "Ask for 5 or 10 test persons"),
        ({"crops": 1}, "at least 2 crops"),
        ({"factors": ["fog"]}, "no factor 'fog'"),
        ({"factors": ["Tone"]}, "Did you mean 'tone'"),
        ({"factors": ["tone="]}, "a number from 0 to 1; got 'tone='"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, settings, words):
    with pytest.raises(UserError, match=words):
        synthesize(tmp_path / "set", **settings)
    assert not (tmp_path / "set").exists()


def test_a_set_for_training_only(tmp_path):
    made = synthesize(tmp_path / "set", persons=2, cameras=2, crops=1, test_persons=0, height=32, processes=1)
    assert (made.train, made.query, made.gallery, made.junk) == (4, 0, 0, 0)


def test_each_person_passes_some_of_the_cameras_and_the_pictures_stay_the_same(tmp_path):
    settings = {"persons": 10, "cameras": 6, "crops": 2, "test_persons": 5, "height": 32, "processes": 1}
    every = synthesize(tmp_path / "every", **settings)
    some = synthesize(tmp_path / "some", **settings, cameras_per_person=2)
    assert (some.train, some.query, some.gallery) == (20, 10, 10)
    own = {
        name: content for name, content in files(some.folder).items() if "/0" in name and "/0000" not in name
    }
    of_all = files(every.folder)
    assert own == {name: of_all[name] for name in own}
    chosen = {}
    for name in own:
        person, camera, *_ = NAME.fullmatch(name.split("/")[1]).groups()
        chosen.setdefault(person, set()).add(camera)
    assert len(chosen) == 10
    assert {len(cameras) for cameras in chosen.values()} == {2}
    assert set.union(*chosen.values()) == set("123456")
    assert synthesize(some.folder, **settings, cameras_per_person=2).drawn == 0
    with pytest.raises(UserError, match="cameras_per_person 2 there, 3 now"):
        synthesize(some.folder, **settings, cameras_per_person=3)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty"):
        synthesize(tmp_path, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(UserError, match=r"letter\.txt is a file"):
        synthesize(tmp_path / "letter.txt", **SETTINGS)


def test_a_folder_of_another_set_is_refused(drawn):
    with pytest.raises(UserError, match="seed 3 there, 4 now"):
        synthesize(drawn.folder, **{**SETTINGS, "seed": 4})


def test_the_set_remembers_its_factors(tmp_path):
    settings = {"persons": 2, "cameras": 2, "crops": 1, "test_persons": 0, "height": 32, "processes": 1}
    synthesize(tmp_path / "set", factors=["noise=0.5"], **settings)
    assert json.loads((tmp_path / "set" / "synthesis.json").read_text())["factors"] == {"noise": 0.5}
    assert synthesize(tmp_path / "set", factors=["noise=0.5"], **settings).drawn == 0
    with pytest.raises(UserError, match="factors"):
        synthesize(tmp_path / "set", factors=["noise"], **settings)


def test_a_broken_record_is_refused(tmp_path):
    (tmp_path / "synthesis.json").write_text("{")
    with pytest.raises(UserError, match=r"synthesis\.json is damaged: .* Name an empty or a new folder"):
        synthesize(tmp_path, **SETTINGS)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        synthesize(tmp_path / "file" / "set", **SETTINGS)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_disk_that_fills_up_is_a_sentence_and_leaves_no_half_picture(tmp_path, processes):
    out = tmp_path / "set"
    process = command(out, f"--processes={processes}", limit=400)  # the record fits, a picture does not
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Cannot write" in complaints
    assert "same command again" in complaints
    assert "Traceback" not in complaints
    assert not list(out.glob("*/*.jpg"))

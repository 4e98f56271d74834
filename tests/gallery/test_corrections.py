"""Stored crops are corrected, named, compared with what is added again; deleted ones do not come back."""

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gallery_fakes import START, Fake, Somewhere, ids, noise, people

from resight.errors import UserError
from resight.gallery import catalogue
from resight.gallery.corrections import Difference, NameTaken
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery

SCRIPT = str(Path(__file__).with_name("gallery_fakes.py"))


def test_deleted_crops_do_not_come_back(somewhere: Somewhere) -> None:
    with Gallery.open(somewhere(), Fake(), create=True) as gallery:
        gallery.add(people(3))
        assert gallery.forget(Filter(persons=("p1",))) == 6
    with Gallery.open(somewhere(), Fake()) as gallery:
        again = gallery.add(people(3))
        assert (again.new, again.known, len(gallery)) == (0, 12, 12)
        assert again.erased == ("6", "7", "8", "9", "10", "11")
        assert again.ids[6:12] == (None,) * 6
        wanted = gallery.add(people(3), add_again=True)
        assert (wanted.new, wanted.known, wanted.erased) == (6, 12, ())
        # from now on they are like any other crop
        assert gallery.forget(Filter(persons=("p1",)), remember=False) == 6
        assert gallery.add(people(3)).new == 6


def test_of_a_deleted_crop_its_hmac_alone_is_left(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as gallery:
        gallery.add(people(2))
        gone = ids(gallery)["3"]
        gallery.forget(Filter(ids=(gone,)))
        gallery.compact()
        kept = gallery._erased._hmac(gone)
        other = gallery._erased._hmac(ids(gallery)["4"])
    content = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    number = bytes.fromhex(gone.replace("-", ""))
    assert kept in content
    assert not [one for one in (number, gone.encode(), other) if one in content]
    assert kept != number


def test_killed_while_deleting_the_crops_are_deleted_for_good(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as gallery:
        gallery.add(people(2))
    killed = subprocess.run([sys.executable, SCRIPT, "forget", str(place), "p1"])
    assert killed.returncode == -signal.SIGKILL
    with Gallery.open(place, Fake()) as gallery:
        assert len(gallery) == 6
        assert len(gallery.add(people(2)).erased) == 6


def test_cameras_are_summed_up(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as gallery:
        gallery.add(people(1, cameras=2, each=2))
        gallery.add([NewCrop(noise(90)), NewCrop(noise(91), camera="a", time=START)])
        second = timedelta(seconds=1)
        assert [(row.camera, row.crops, row.times) for row in gallery.by_camera()] == [
            ("a", 1, (START, START)),
            ("cam0", 2, (START, START + second)),
            ("cam1", 2, (START + 2 * second, START + 3 * second)),
            (None, 1, None),
        ]
        assert [row.camera for row in gallery.by_camera(Filter(persons=("p0",), cameras=("cam1",)))] == [
            "cam1"
        ]


def test_times_are_corrected_and_retention_counts_from_them(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    with Gallery.open(place, Fake(), create=True, forget_after_days=30) as gallery:
        gallery.add(
            [
                NewCrop(noise(1), name="no time"),
                NewCrop(noise(2), name="guess", time=now - timedelta(days=2), time_guessed=True),
                NewCrop(noise(3), name="ahead", time=now + timedelta(days=900)),
            ]
        )
        known = ids(gallery)
        added = {crop.name: crop.added for crop in gallery.crops()}
        gallery.shift_time([known["no time"], known["guess"]], -3600)
        without, guess = gallery.get([known["no time"], known["guess"]])
        assert without.time is None
        assert guess.time_guessed
        assert guess.time is not None
        assert abs(guess.time - (now - timedelta(days=2, hours=1))) < timedelta(milliseconds=1)
        gallery.set_time(list(known.values()), now - timedelta(days=29))
        crops = list(gallery.crops())
        assert {crop.time_guessed for crop in crops} == {False}
        assert {crop.name: crop.added for crop in crops} == added
        assert gallery.forget_expired() == 0
        gallery.set_time([known["no time"]], now - timedelta(days=31))
        assert gallery.forget_expired() == 1
        gallery.set_time([known["ahead"]], None)
        assert gallery.get([known["ahead"]])[0].time is None
        assert gallery.get([known["ahead"]])[0].added == added["ahead"]
        with pytest.raises(UserError, match="before 1970"):
            gallery.shift_time([known["guess"]], -1e10)
        with pytest.raises(UserError, match="has no time zone"):
            gallery.set_time([known["guess"]], datetime(2024, 5, 31))
    monkeypatch.setattr(catalogue, "now", lambda: now + timedelta(days=2))
    with Gallery.open(place) as gallery:
        assert set(ids(gallery)) == {"ahead"}, "29 days and 2"


def test_a_person_is_renamed_and_merged(somewhere: Somewhere) -> None:
    with Gallery.open(somewhere(), Fake(), create=True) as gallery:
        gallery.add(people(3))
        known = ids(gallery)
        gallery.tag([known["0"]], ["tall", "not:p1"])
        gallery.tag([known["6"]], ["not:p2"])
        assert gallery.rename("p1", " Anna ") == 6
        assert gallery.values("person") == {"p0": 6, "Anna": 6, "p2": 6}
        assert gallery.get([known["0"]])[0].tags == ("tall", "not:Anna")
        assert gallery.rename("Anna", "Anna") == 6
        for old, new, error in (
            ("p1", "x", "No crop in the gallery is labelled as 'p1'"),
            ("p0", "  ", "Give the new name"),
        ):
            with pytest.raises(UserError, match=error):
                gallery.rename(old, new)
        with pytest.raises(NameTaken, match="6 crops are labelled as 'p2' already"):
            gallery.rename("Anna", "p2")
        assert gallery.rename("Anna", "p2", merge=True) == 6
        assert gallery.values("person") == {"p0": 6, "p2": 12}
        assert gallery.get([known["0"]])[0].tags == ("tall", "not:p2")
        assert gallery.get([known["6"]])[0].tags == (), "a crop of p2 is not marked as not p2"


def test_crops_that_are_added_again_are_compared_and_updated(somewhere: Somewhere) -> None:
    with Gallery.open(somewhere(), Fake(), create=True, camera_normalise=False) as gallery:
        crops = people(2, cameras=1)
        gallery.add([replace(crop, tags=("track-1",)) for crop in crops])
        known = ids(gallery)
        changed = [
            replace(crops[0], camera="gate", time=START + timedelta(hours=1)),
            replace(crops[1], person="Anna", tags=("tall", "track-1")),
            replace(crops[2], camera=None, time=None, person=None),
            crops[3],
        ]
        expected = (
            Difference(known["0"], "0", "camera", "gate", "cam0"),
            Difference(known["0"], "0", "time", START + timedelta(hours=1), START),
            Difference(known["1"], "1", "person", "Anna", "p0"),
            Difference(known["1"], "1", "tags", ("tall",), ("track-1",)),
        )
        told = gallery.add(changed)
        assert (told.known, told.differences) == (4, expected)
        assert [one.describe() for one in expected[2:]] == [
            "Anna, in the gallery p0", "tall, in the gallery track-1",
        ]  # fmt: skip
        assert gallery.get([known["0"]])[0].camera == "cam0"
        assert gallery.add(changed, update=True).differences == expected
        first, second, third = gallery.get([known["0"], known["1"], known["2"]])
        assert (first.camera, first.time) == ("gate", START + timedelta(hours=1))
        assert (second.person, second.tags) == ("Anna", ("track-1", "tall"))
        assert (third.camera, third.time, third.person) == ("cam0", crops[2].time, "p1")
        assert gallery.add(changed).differences == ()


def test_one_picture_under_two_cameras_is_told_in_one_run(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as gallery:
        added = gallery.add([NewCrop(noise(1), camera=camera, name=camera) for camera in ("a", "b")])
        assert (added.new, added.known) == (1, 1)
        (one,) = added.differences
        assert (one.name, one.field, one.given, one.stored) == ("b", "camera", "b", "a")

"""Galleries without their cameras' means: against the formula, through every change, and put back."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from gallery_fakes import Fake, Somewhere, camera_statistics, embedded, ids, noise
from numpy.typing import NDArray

from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.gallery import cameras
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery
from resight.gallery.stores.edge import EdgeStore


def shifted(first: int, persons: int, cameras: Sequence[str] = ("north", "south")) -> list[NewCrop]:
    """Return crops of persons, two in each camera, each of which has a tint of its own."""
    crops = []
    for person in range(first, first + persons):
        for place, camera in enumerate(cameras):
            for each in range(2):
                seed = 1000 * person + 10 * place + each
                tint = np.array([[[60, 0, -60], [-60, 60, 0], [0, -60, 60]][place]])
                pixels = np.clip(noise(seed, person).astype(int) + tint, 0, 255).astype(np.uint8)
                crops.append(NewCrop(pixels, camera=camera, name=str(seed), person=f"p{person}"))
    return crops


def scores(opened: Gallery, *, camera: str | None = None, **more: object) -> dict[str, float]:
    """Return the score of each crop for one picture."""
    given = {"cameras": [] if camera is None else [camera], **more}
    found = opened.search([noise(5000, 3)], top=1000, exact=True, **given)  # type: ignore[arg-type]
    return {match.crop.name: match.score for match in found.matches}


def expected(
    crops: Sequence[NewCrop], camera: str | None = None, model: Fake | None = None
) -> dict[str, float]:
    """Return these scores by the formula."""
    statistics = camera_statistics(crops, model)
    query = statistics.apply(embedded([NewCrop(noise(5000, 3))], model), [camera])[0]
    vectors = statistics.apply(embedded(crops, model), [crop.camera for crop in crops])
    return {crop.name: float(score) for crop, score in zip(crops, vectors @ query, strict=True)}


def exported(opened: Gallery, folder: Path) -> dict[str, NDArray[np.float32]]:
    opened.export(folder)
    rows = [crop.name for crop in opened.crops()]
    return dict(zip(rows, np.load(folder / "features.npy"), strict=True))


def check_export(opened: Gallery, crops: Sequence[NewCrop], folder: Path) -> None:
    """Check that vectors are exported as they came."""
    found = exported(opened, folder)
    for crop, vector in zip(crops, embedded(crops), strict=True):
        np.testing.assert_allclose(found[crop.name], vector, atol=1e-6)


@pytest.mark.parametrize("camera", ["north", "south", None])
def test_a_search_compares_vectors_without_their_cameras_means(
    somewhere: Somewhere, camera: str | None
) -> None:
    crops = shifted(0, 12)
    with Gallery.open(somewhere(), Fake(), create=True) as opened:
        opened.add(crops)
        found = scores(opened, camera=camera)
        assert found == pytest.approx(expected(crops, camera), abs=1e-5)
        assert opened.search([noise(5000, 3)]).camera_normalise
        assert all(opened.picture(identity).startswith(b"\xff\xd8") for identity in ids(opened).values())
    with Gallery.open(somewhere(), Fake()) as again:
        assert scores(again, camera=camera) == pytest.approx(found, abs=1e-6)


def test_a_camera_of_no_crop_and_a_stored_crop(place: Path) -> None:
    crops = shifted(0, 12)
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(crops)
        assert scores(opened, camera="elsewhere") == pytest.approx(expected(crops), abs=1e-5)
        statistics = camera_statistics(crops)
        vectors = statistics.apply(embedded(crops), [crop.camera for crop in crops])
        found = opened.search(crops=[ids(opened)[crops[7].name]], top=100, exact=True)
        by_name = {match.crop.name: match.score for match in found.matches}
        places = {crop.name: place for place, crop in enumerate(crops)}
        assert len(by_name) == len(crops) - 1
        for name, score in by_name.items():
            assert score == pytest.approx(float(vectors[7] @ vectors[places[name]]), abs=1e-5)
        with pytest.raises(UserError, match="one for each; got 2 for 3"):
            opened.search([noise(1), noise(2), noise(3)], cameras=["north", "south"])


def test_means_follow_adding_correcting_and_forgetting(somewhere: Somewhere, tmp_path: Path) -> None:
    crops = shifted(0, 12)
    with Gallery.open(somewhere(), Fake(), create=True) as opened:
        opened.add(crops)
        more = shifted(50, 12, ("north", "west", "south"))
        opened.add(more)
        wrong = [crop.name for crop in more if crop.camera == "south"]
        opened.set_camera([ids(opened)[name] for name in wrong], "west")
        opened.forget(Filter(persons=("p4", "p55")))
        left = [
            NewCrop(crop.picture, camera="west" if crop.name in wrong else crop.camera, name=crop.name)
            for crop in [*crops, *more]
            if crop.person not in ("p4", "p55")
        ]
        assert opened.values("camera") == {"north": 44, "south": 22, "west": 44}
        assert set(scores(opened, where=Filter(cameras=("west",)))) == {
            crop.name for crop in left if crop.camera == "west"
        }
        close = scores(opened, camera="west")
        assert close == pytest.approx(expected(left, "west"), abs=0.1)
        opened.compact()
        assert scores(opened, camera="west") == pytest.approx(expected(left, "west"), abs=1e-5)
        check_export(opened, left, tmp_path / "out")


def test_vectors_are_as_they_came_when_it_is_off(place: Path, tmp_path: Path) -> None:
    crops = shifted(0, 12)
    with Gallery.open(place, Fake(), create=True, camera_normalise=False) as opened:
        opened.add(crops)
        raw = {
            crop.name: float(vector @ embedded([NewCrop(noise(5000, 3))])[0])
            for crop, vector in zip(crops, embedded(crops), strict=True)
        }
        assert scores(opened, camera="north") == pytest.approx(raw, abs=1e-5)
        assert not opened.search([noise(1)]).camera_normalise
        opened.normalise_cameras(True)
        assert scores(opened, camera="north") == pytest.approx(expected(crops, "north"), abs=1e-5)
        check_export(opened, crops, tmp_path / "on")
        opened.normalise_cameras(False)
    with Gallery.open(place, Fake()) as opened:
        assert scores(opened, camera="north") == pytest.approx(raw, abs=1e-5)
        assert opened.camera_normalisation() == cameras.CameraNormalisation(False, False, ())


@pytest.mark.parametrize("named", [(), ("only",)])
def test_without_two_cameras_vectors_stay_as_they_came(
    place: Path, named: tuple[str, ...], tmp_path: Path
) -> None:
    crops = [
        NewCrop(noise(at, at // 3), camera=named[0] if named else None, name=str(at)) for at in range(60)
    ]
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(crops)
        found = exported(opened, tmp_path / "out")
        for crop, vector in zip(crops, opened.embed([crop.picture for crop in crops]), strict=True):
            np.testing.assert_array_equal(found[crop.name], vector)
        assert not opened.search([noise(1)]).camera_normalise
        assert opened.camera_normalisation() == cameras.CameraNormalisation(True, False, ())


def test_cameras_with_too_few_crops_are_named(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(shifted(0, 12))
        opened.add(shifted(40, 3, ("north", "new")))
        assert opened.camera_normalisation() == cameras.CameraNormalisation(True, True, ("new",))


def test_cameras_that_the_model_was_trained_on_lose_the_overall_mean_alone(place: Path) -> None:
    model, crops = Fake(), [*shifted(0, 12), *shifted(40, 12, ("new",))]
    model.trained_cameras = ("north", "south", "elsewhere")  # type: ignore[attr-defined]
    with Gallery.open(place, model, create=True) as opened:
        opened.add(crops)
    with Gallery.open(place) as opened:
        assert opened.camera_normalisation().trained == ("north", "south")
    means = camera_statistics(crops).means(["new", None])
    vectors = [
        one - means["new" if crop.camera == "new" else None]
        for one, crop in zip(embedded(crops), crops, strict=True)
    ]
    query = embedded([NewCrop(noise(5000, 3))])[0] - means[None]
    with Gallery.open(place, Fake()) as opened:
        found = scores(opened, camera="north")
        assert found == scores(opened)
    for crop, vector in zip(crops, vectors, strict=True):
        cosine = vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)
        assert found[crop.name] == pytest.approx(cosine, abs=1e-5)


def test_crops_without_a_camera_lose_the_mean_of_all(place: Path) -> None:
    crops = [*shifted(0, 12), *(NewCrop(noise(at, 90 + at), name=f"none {at}") for at in range(5))]
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(crops)
        assert scores(opened) == pytest.approx(expected(crops), abs=1e-5)


def test_crops_that_were_added_before_a_kill_are_in_the_means(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops, more = shifted(0, 12), shifted(40, 12)
    killed = tmp_path / "killed"
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(crops)
        with monkeypatch.context() as patch:
            patch.setattr(opened, "_renew_means", lambda: None)  # as if it died before that
            opened.add(more)
            shutil.copytree(place, killed)
    with Gallery.open(killed, Fake()) as opened:
        assert scores(opened, camera="north") == pytest.approx(expected([*crops, *more], "north"), abs=0.1)
        opened.forget(Filter(persons=("p41",)))
        opened.compact()
        left = [crop for crop in [*crops, *more] if crop.person != "p41"]
        assert scores(opened, camera="north") == pytest.approx(expected(left, "north"), abs=1e-5)


def test_rewriting_that_was_interrupted_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops = shifted(0, 12)
    with Gallery.open(place, Fake(), create=True, camera_normalise=False) as opened:
        opened.add(crops)
        monkeypatch.setattr(cameras, "BATCH", 10)
        update, calls = EdgeStore.update, []

        def fail(store: EdgeStore, records: object) -> None:
            calls.append(records)
            if len(calls) == 2:
                raise UserError("The disk is full.")
            update(store, records)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(EdgeStore, "update", fail)
            with pytest.raises(UserError, match="disk is full"):
                opened.normalise_cameras(True)
    with Gallery.open(place, Fake()) as opened:
        assert scores(opened, camera="south") == pytest.approx(expected(crops, "south"), abs=1e-5)


def test_another_model_has_means_of_its_own(place: Path) -> None:
    crops, other = shifted(0, 12), Fake("other")
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(crops)
        opened.reembed(other)
        assert scores(opened, camera="north") == pytest.approx(expected(crops, "north", other), abs=1e-2)
        opened.add(shifted(60, 1))
        assert opened.camera_normalisation().active
    with Gallery.open(place, other) as opened:
        assert len(scores(opened)) == 52


def test_a_calibration_is_of_vectors_with_or_without_means(place: Path) -> None:
    crops = shifted(0, 30)
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add([crop for crop in crops if crop.camera == "north"])
        opened.calibrate(false_match_rate=0.1)
        before = opened.metadata.calibration
        assert before is not None
        assert not before.camera_normalise
        opened.add([crop for crop in crops if crop.camera == "south"])
        assert opened.metadata.calibration is None, "scores have changed"
        opened.calibrate(false_match_rate=0.1)
        own = opened.metadata.calibration
        assert own is not None
        assert own.camera_normalise
        places = {"north": 1, "south": 2}
        labelled = Embedded(
            torch.from_numpy(3 * embedded(crops)),
            torch.tensor([int(str(crop.person)[1:]) + 1 for crop in crops]),
            torch.tensor([places[str(crop.camera)] for crop in crops]),
        )
        opened.calibrate(labelled, false_match_rate=0.1)
        others = opened.metadata.calibration
        assert others is not None
        assert others.at(0.1).threshold == pytest.approx(own.at(0.1).threshold, abs=0.01)


def test_crops_that_are_all_alike_are_kept_and_counted(place: Path, tmp_path: Path) -> None:
    crops = [
        NewCrop(np.full((8 + at, 8, 3), 200, np.uint8), camera=f"cam{at % 2}", name=str(at))
        for at in range(24)
    ]
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(crops)
        found = scores(opened)
        assert len(found) == 24
        assert max(map(abs, found.values())) < 1e-5
        assert len(opened.search([noise(1), noise(2)], rerank=True).matches) == 20
        check_export(opened, crops, tmp_path / "out")


def test_a_camera_whose_crops_are_all_alike_is_ranked_by_how_it_differs_from_all(place: Path) -> None:
    alike = [
        NewCrop(np.full((8 + at, 8, 3), 200, np.uint8), camera="broken", name=f"b{at}") for at in range(12)
    ]
    crops = [*shifted(0, 12), *alike]
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(crops)
        assert scores(opened, camera="north") == pytest.approx(expected(crops, "north"), abs=1e-5)
        first = opened.search([noise(5000, 3)], cameras=["north"], top=4).matches
        assert {match.crop.person for match in first} == {"p3"}

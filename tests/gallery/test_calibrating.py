"""Distance thresholds for "the same person", and detecting outliers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gallery_fakes import Fake, noise, people

from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery


def test_likely_matches_are_calibrated_on_labelled_crops(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(people(24))
        assert opened.search([noise(1)]).matches[0].likely is None
        with pytest.raises(UserError, match="not calibrated"):
            opened.search([noise(1)], false_match_rate=0.01)
        opened.calibrate(false_match_rate=0.01)
    with Gallery.open(place, Fake()) as opened:  # it is kept
        calibration = opened.metadata.calibration
        assert calibration is not None
        assert (calibration.crops, calibration.persons) == (144, 24)
        assert calibration.checked.false_match_rate < 0.05
        found = opened.search([noise(5000, 3)], top=144, false_match_rate=0.01)
        assert found.threshold == calibration.at(0.01).threshold
        assert found.expected_false == pytest.approx(0.01 * 144)
        likely = [match.crop.person for match in found.matches if match.likely]
        assert likely.count("p3") == 6
        assert len(likely) < 20
        strict = opened.search([noise(5000, 3)], top=144, false_match_rate=0.001)
        assert strict.threshold is not None
        assert found.threshold is not None
        assert strict.threshold < found.threshold
        with pytest.raises(UserError, match=r"is lower than .* can measure"):
            opened.search([noise(1)], false_match_rate=1e-6)
        with pytest.raises(UserError, match=r"between 0 and 1, such as 0.001; got 2"):
            opened.search([noise(1)], false_match_rate=2)


def test_calibration_takes_features_of_others(filled: Gallery) -> None:
    crops = people(20)
    labelled = Embedded(
        torch.from_numpy(filled.embed([crop.picture for crop in crops])),
        torch.tensor([1 + at // 6 for at in range(120)]),
    )
    filled.calibrate(labelled, origin="elsewhere")
    assert filled.metadata.calibration is not None
    assert filled.metadata.calibration.origin == "elsewhere"
    with pytest.raises(UserError, match="another model"):
        filled.calibrate(Embedded(torch.ones(4, 7), torch.tensor([1, 1, 2, 2])))


def test_calibration_leaves_out_pairs_of_one_person_under_one_camera(filled: Gallery) -> None:
    """Here a person looks the same under one camera, and like anybody else under the other one."""
    generator = torch.Generator().manual_seed(0)
    looks = torch.randn(40, 2, 1, 48, generator=generator)
    features = (looks + 0.01 * torch.randn(40, 2, 3, 48, generator=generator)).reshape(240, 48)
    persons = torch.arange(1, 41).repeat_interleave(6)
    cameras = torch.tensor([0, 1]).repeat_interleave(3).repeat(40)

    def matches_found(labelled: Embedded) -> float:
        filled.calibrate(labelled)
        assert filled.metadata.calibration is not None
        return filled.metadata.calibration.at(0.1).matches_found

    assert matches_found(Embedded(features, persons, cameras)) < 0.3
    assert matches_found(Embedded(features, persons)) > 0.4  # 2 of the 5 others are under the same camera


@pytest.mark.parametrize("rate", [-1, 0, 0.5, float("nan")])
def test_calibration_refuses_rates_that_are_none(filled: Gallery, rate: float) -> None:
    with pytest.raises(UserError, match=f"at most 0.2, such as 0.001; got {rate}"):
        filled.calibrate(false_match_rate=rate)


def test_calibration_needs_labels(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add([NewCrop(noise(1))])
        with pytest.raises(UserError, match="No crop in the gallery is labelled"):
            opened.calibrate()
        opened.add(people(2, 2, 1))
        with pytest.raises(UserError, match="too few"):
            opened.calibrate()


def test_calibration_needs_two_persons_in_each_half(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(people(3, 3, 5))
        with pytest.raises(
            UserError, match=r"needs 4 persons or more.*There are 3 persons, and one half has"
        ):
            opened.calibrate()
        opened.add(people(4, 3, 5))
        opened.calibrate()


def test_a_picture_of_nobody_is_unlike_everything(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(people(15))
        assert opened.search([noise(1)]).outlier is None  # too few crops to tell
        opened.add(people(70))
        nobody = noise(1)
        assert opened.search([nobody]).outlier is True
        assert opened.search([noise(5000, 3)]).outlier is False
        assert opened.search([nobody, noise(5000, 3)], combine="max").outlier is False
        far = Filter(persons=("p7",))
        assert opened.search([noise(5000, 3)], where=far).outlier is False
        assert opened.search([nobody], where=Filter(persons=("nobody",))).outlier is None
        opened.reembed(Fake("other"))
        assert opened.search([nobody]).outlier is True


def test_what_is_usual_is_learnt_again_when_much_was_added(place: Path) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (16, 4))[..., None].repeat(3, 2)
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(people(70))
        assert opened.search([stripes]).outlier is True
        generator = np.random.default_rng(0)
        shown = np.clip(stripes[None] + generator.normal(0, 30, (300, 16, 8, 3)), 0, 255).astype(np.uint8)
        opened.add([NewCrop(picture) for picture in shown])
        assert opened.search([stripes]).outlier is False

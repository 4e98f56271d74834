"""Choosing the person to search for in a picture with a detector."""

import numpy as np
import pytest

from resight.errors import UserError
from resight.gallery.persons import ALREADY_CUT, Detect, DetectedPerson, find_persons, select_person

PICTURE = np.random.default_rng(0).integers(0, 256, (100, 80, 3), np.uint8)


def finding(*boxes: tuple[float, float, float, float]) -> Detect:
    found = np.array(boxes, float).reshape(-1, 4)
    return lambda pixels: (found, np.linspace(0.9, 0.5, len(found)))


def test_without_a_detector_the_picture_is_taken_as_it_is() -> None:
    person = select_person(PICTURE, None)
    assert person.pixels is PICTURE
    assert person.as_dict() == {"persons": None, "chosen": None}


def test_nobody_is_not_the_same_as_no_detector() -> None:
    person = select_person(PICTURE, finding())
    assert person.pixels is PICTURE
    assert person.as_dict() == {"persons": [], "chosen": None}


def test_the_surest_is_cut_out_and_the_others_are_told() -> None:
    detect = finding((10, 20, 30, 80), (40, 20, 60, 80))
    person = select_person(PICTURE, detect)
    np.testing.assert_array_equal(person.pixels, PICTURE[20:80, 10:30])
    assert person.chosen == 0
    assert person.as_dict()["persons"][1] == {"box": (0.5, 0.2, 0.25, 0.6), "score": 0.5}
    np.testing.assert_array_equal(select_person(PICTURE, detect, 1).pixels, PICTURE[20:80, 40:60])


def test_a_picture_of_one_person_is_not_cut_unless_asked() -> None:
    detect = finding((0, 0, 80, 100 * ALREADY_CUT))
    assert select_person(PICTURE, detect).chosen is None
    assert select_person(PICTURE, detect, 0).pixels.shape == (60, 80, 3)
    assert select_person(PICTURE, finding((0, 0, 80, 100 * ALREADY_CUT - 1))).chosen == 0


@pytest.mark.parametrize("choice", [-1, 1, 7])
def test_a_person_that_is_not_there(choice: int) -> None:
    with pytest.raises(UserError, match=f"no person {choice} in the picture: the detector found 1, counted"):
        select_person(PICTURE, finding((10, 20, 30, 80)), choice)


def test_boxes_are_told_in_fractions_and_kept_in_pixels() -> None:
    (person,) = find_persons(finding((20, 25, 60, 75)), PICTURE)
    assert person == DetectedPerson((20, 25, 60, 75), (0.25, 0.25, 0.5, 0.5), 0.9)


def test_a_box_that_holds_no_pixel_is_nobody() -> None:
    assert find_persons(finding((20, 25, 20.2, 75)), PICTURE) == ()

"""What people wear, as colours."""

import numpy as np
import pytest
from walking import look

from resight.ingest.colours import colours

BOX = np.array([[10.0, 20, 42, 84]])


def scene(person: int, light: float = 1.0, ground: int = 90) -> np.ndarray:
    frame = np.full((120, 80, 3), ground, np.uint8)
    frame[20:84, 10:42] = np.clip(look(person) * light, 0, 255).astype(np.uint8)
    return frame


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float((colours(one, BOX) @ colours(other, BOX).T)[0, 0])


def test_a_person_is_like_himself_in_a_little_more_light() -> None:
    for person in range(6):
        assert likeness(scene(person), scene(person)) == pytest.approx(1)
        assert likeness(scene(person), scene(person, light=1.05)) > 0.95


def test_what_is_behind_hardly_counts() -> None:
    assert likeness(scene(1, ground=0), scene(1, ground=255)) == pytest.approx(1)


def test_other_clothes_are_told_apart() -> None:
    red, blue = np.zeros((120, 80, 3), np.uint8), np.zeros((120, 80, 3), np.uint8)
    red[:, :, 0], blue[:, :, 2] = 200, 200
    assert likeness(red, blue) < 0.2
    half = red.copy()
    half[52:] = blue[52:]
    assert 0.3 < likeness(red, half) < 0.7  # the same jacket over other trousers


def test_boxes_at_the_border_and_none_at_all() -> None:
    edges = np.array([[-20.0, -5, 10, 40], [70, 100, 80, 120], [79.5, 119.5, 80, 120]])
    found = colours(scene(1), edges)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    assert colours(scene(1), np.zeros((0, 4))).shape == (0, found.shape[1])


def test_one_does_not_depend_on_the_others() -> None:
    edges = np.concatenate([BOX, BOX + 5])
    assert colours(scene(2), edges)[1] == pytest.approx(colours(scene(2), edges[1:])[0])

"""Captions of contact sheets; ``tests/commands`` draws whole ones."""

import pytest

from resight.gallery.sheet import shown_camera


@pytest.mark.parametrize(
    ("camera", "caption"),
    [(None, "camera unknown"), ("4", "camera 4"), ("camera 4", "camera 4"), ("lobby", "lobby")],
)
def test_cameras_are_called_what_they_are(camera: str | None, caption: str) -> None:
    assert shown_camera(camera) == caption

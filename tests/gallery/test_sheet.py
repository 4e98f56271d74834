"""Captions of contact sheets; ``tests/commands`` draws whole ones."""

import pytest

from resight.gallery.sheet import camera_caption


@pytest.mark.parametrize(
    ("camera", "caption"),
    [(None, "camera unknown"), ("4", "camera 4"), ("camera 4", "camera 4"), ("lobby", "lobby")],
)
def test_cameras_are_called_what_they_are(camera: str | None, caption: str) -> None:
    assert camera_caption(camera) == caption

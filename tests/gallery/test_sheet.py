"""Captions of contact sheets; ``tests/commands`` draws whole ones."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from resight.gallery.crops import StoredCrop
from resight.gallery.searching import Match
from resight.gallery.sheet import camera_caption, write_sheet


def drawn(path: Path, name: str, camera: str = "lobby") -> bytes:
    """Return the PNG file of a sheet with one match of this name."""
    crop = StoredCrop("id", camera, None, "", name, None, (), None, datetime.now(UTC), (8, 4))
    pixels = np.zeros((8, 4, 3), np.uint8)
    write_sheet(path, [pixels], [(Match(crop, 0.5, True), pixels)], title="t", note="n")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("camera", "caption"),
    [(None, "camera unknown"), ("4", "camera 4"), ("camera 4", "camera 4"), ("lobby", "lobby")],
)
def test_cameras_are_called_what_they_are(camera: str | None, caption: str) -> None:
    assert camera_caption(camera) == caption


def test_letters_outside_of_ascii_are_drawn(tmp_path: Path) -> None:
    letters = "äöüßéñžçЖ"
    sheets = {drawn(tmp_path / "sheet.png", "a.jpg", letter) for letter in letters}
    assert len(sheets) == len(letters)  # what a font lacks is the same box for all
    decomposed = "Mu\N{COMBINING DIAERESIS}ller.jpg"  # as macOS calls files
    assert drawn(tmp_path / "sheet.png", decomposed) == drawn(tmp_path / "sheet.png", "Müller.jpg")


def test_control_characters_of_a_name_are_spaces(tmp_path: Path) -> None:
    plain = drawn(tmp_path / "sheet.png", "a  [31mb c.jpg")
    assert drawn(tmp_path / "sheet.png", "a\n\033[31mb\tc.jpg") == plain

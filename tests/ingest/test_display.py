"""Frames are read as they are meant to be shown."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from walking import GROUND, Walker, draw, film

from resight.ingest.display import stretch_of
from resight.ingest.opening import open_source

WALK = [Walker(1, 5, 40, 6), Walker(2, 280, 150, -5)]
DRAWN = draw(WALK, 0)
ACROSS, DOWN = np.meshgrid(np.arange(DRAWN.shape[1]), np.arange(DRAWN.shape[0]))


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return film(tmp_path_factory.mktemp("films") / "still.mp4", [DRAWN] * 2).read_bytes()


@pytest.mark.parametrize("a", [1, -1])
@pytest.mark.parametrize("d", [1, -1])
@pytest.mark.parametrize("turned", [False, True])
def test_the_display_matrix_turns_and_mirrors(
    tmp_path: Path, still: bytes, a: int, d: int, turned: bool
) -> None:
    """Column p and row q of the stored picture are shown in column a p + c q and row b p + d q."""
    matrix = (0, d, 0, a, 0, 0) if turned else (a, 0, 0, 0, d, 0)
    content = bytearray(still)
    place = content.index(b"tkhd") + 4 + 40
    content[place : place + 36] = struct.pack(">9i", *(65536 * one for one in matrix), 0, 0, 1 << 30)
    (tmp_path / "phone.mp4").write_bytes(content)
    x, y = (a * DOWN, d * ACROSS) if turned else (a * ACROSS, d * DOWN)
    shown = np.zeros((np.ptp(y) + 1, np.ptp(x) + 1, 3), np.uint8)
    shown[y - y.min(), x - x.min()] = DRAWN
    assert difference(next(open_source(str(tmp_path / "phone.mp4")).frames(1)).pixels, shown) < 6


@pytest.mark.parametrize(("orientation", "k"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_photographs_in_a_row_are_turned_by_their_exif_data(tmp_path: Path, orientation: int, k: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    Image.fromarray(DRAWN).save(content, "JPEG", quality=90, exif=exif)
    (tmp_path / "camera.mjpeg").write_bytes(3 * content.getvalue())
    frames = list(open_source(str(tmp_path / "camera.mjpeg")).frames(1))
    assert len(frames) == 3
    assert difference(frames[0].pixels, np.rot90(DRAWN, k)) < 6


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(24, 11), (698, 256)), (Fraction(8, 9), (320, 288)), (None, (320, 256))]
)
def test_pixels_become_square(tmp_path: Path, aspect: Fraction | None, size: tuple[int, int]) -> None:
    source = open_source(str(film(tmp_path / "walk.mp4", [DRAWN] * 2, codec="libx264", aspect=aspect)))
    frames = list(source.frames(1))
    wanted = np.asarray(Image.fromarray(DRAWN).resize(size, Image.Resampling.BICUBIC))
    assert difference(frames[0].pixels, wanted) < 6
    width, height = size
    assert source.stretch == pytest.approx((width / 320, height / 256), abs=0.001)
    assert source.notes == (
        []
        if aspect is None
        else [
            f"Pixels are not square (sample aspect ratio {aspect}): 320x256 pixels are read as "
            f"{width}x{height}."
        ]
    )


def test_a_sample_aspect_ratio_that_cannot_be_meant_is_ignored() -> None:
    assert stretch_of(Fraction(4, 1)) == (4, 1)
    assert (
        stretch_of(Fraction(200, 1)) == stretch_of(Fraction(1, 255)) == stretch_of(Fraction(0, 1)) == (1, 1)
    )


def test_interlaced_frames_show_one_moment(tmp_path: Path) -> None:
    first, second = (draw([Walker(1, left, 40, 0)], 0) for left in (100, 130))
    woven = first.copy()
    woven[1::2] = second[1::2]
    path = film(
        tmp_path / "walk.ts", [woven] * 3, codec="mpeg2video", rate=25, options={"flags": "+ildct+ilme"}
    )
    source = open_source(str(path))
    pixels = next(source.frames(1)).pixels
    half = Image.fromarray(first[::2]).resize((320, 256), Image.Resampling.BICUBIC)
    assert difference(pixels, np.asarray(half)) < 4
    assert (
        np.abs(pixels[40:104, 134:162].astype(int) - GROUND).mean() < 4
    )  # where only the second shows someone
    assert np.abs(woven[40:104, 134:162].astype(int) - GROUND).mean() > 30
    assert len(list(source.frames(1))) == 3
    assert source.notes[0].startswith("3 frames are interlaced, with two moments in alternate lines: ")

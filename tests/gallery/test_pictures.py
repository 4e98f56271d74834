"""Pictures that come in: what is refused, what is kept, and how they are told apart."""

import io
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import noise
from PIL import Image

from resight.errors import UserError
from resight.gallery.pictures import MAX_BYTES, MAX_SIDE, Contents, read_pixels
from resight.imaging import decode


def encoded(kind: str, size: tuple[int, int] = (8, 16), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(1)).resize(size).save(buffer, kind, **options)
    return buffer.getvalue()


def test_the_id_is_of_the_contents(tmp_path: Path) -> None:
    data = encoded("PNG")
    (tmp_path / "a.png").write_bytes(data)
    (tmp_path / "b.jpg").write_bytes(data)
    given = [data, tmp_path / "a.png", tmp_path / "b.jpg"]
    assert len({Contents.of(picture).id for picture in given}) == 1
    assert Contents.of(noise(1)).id == Contents.of(noise(1)).id
    assert len({Contents.of(picture).id for picture in (data, noise(1), noise(2), noise(1)[:8])}) == 4


def test_a_small_jpeg_is_kept_as_it_is() -> None:
    data = encoded("JPEG", quality=80)
    contents = Contents.of(data)
    assert contents.jpeg(contents.pixels()) == data


def test_what_else_a_jpeg_tells_is_not_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at backend"
    data = encoded("JPEG", exif=exif)
    contents = Contents.of(data)
    kept = contents.jpeg(contents.pixels())
    assert b"taken at backend" in data
    assert b"taken at backend" not in kept
    assert decode(kept).shape == (16, 8, 3)


def test_a_large_picture_is_kept_small() -> None:
    contents = Contents.of(encoded("PNG", (900, 1500)))
    kept = contents.jpeg(contents.pixels())
    assert decode(kept).shape == (MAX_SIDE, 307, 3)
    contents = Contents.of(encoded("JPEG", (500, 500), quality=100) + b"\0" * MAX_BYTES)
    assert len(contents.jpeg(contents.pixels())) < MAX_BYTES


def test_a_thin_picture_keeps_a_column() -> None:
    pixels = np.zeros((2000, 1, 3), np.uint8)
    assert decode(Contents.of(pixels).jpeg(pixels)).shape == (MAX_SIDE, 1, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"GIF89a", "no whole image"),
        (b"%PDF-1.7 not a picture", "is a PDF document"),
        (b"\xff\xd8\xff\xe0 cut", "no whole image"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UserError, match=f"The picture .*{reason}"):
        read_pixels(data)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")
    data = buffer.getvalue()
    assert len(data) < 20_000
    with pytest.raises(UserError, match="10000 x 10000 pixels"):
        read_pixels(data)


def test_odd_pixels_are_refused() -> None:
    for odd in (np.zeros((4, 4), np.uint8), np.zeros((4, 0, 3), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(UserError, match="Pixels must be uint8"):
            read_pixels(odd)  # type: ignore[arg-type]

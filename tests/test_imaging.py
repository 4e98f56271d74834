"""Image files of every kind become upright RGB bytes, or a sentence."""

import io
import struct
import zlib
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from resight.errors import UserError
from resight.image_files import ImageError, ImageLimits, exif_time
from resight.imaging import cut, decode, natural, read_image, resize, resize_alike, resize_all, shrink
from resight.left_out import LeftOut


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.fixture
def picture() -> Image.Image:
    """A smooth picture, so that JPEG keeps its colours."""
    y, x = np.mgrid[0:32, 0:16]
    return Image.fromarray(np.stack([y * 7, x * 15, 255 - y * 5], axis=2).astype(np.uint8))


def close(pixels: np.ndarray, picture: Image.Image, tolerance: float = 6) -> bool:
    difference = np.abs(pixels.astype(int) - np.asarray(picture.convert("RGB")).astype(int))
    return pixels.dtype == np.uint8 and float(difference.mean()) < tolerance


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.jfif", "a.png", "a.bmp", "a.webp", "a.tif", "a.ppm", "a.gif", "a.avif", "a.jp2"]
)
def test_formats(tmp_path: Path, picture: Image.Image, name: str) -> None:
    assert close(read_image(save(picture, tmp_path / name)), picture)


def exif(**tags: str) -> Image.Exif:
    found = Image.Exif()
    found[ExifTags.Base.Make] = "a camera"
    found.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base[name]: value for name, value in tags.items()})
    return found


def test_a_photographs_time_is_in_its_exif_data(tmp_path: Path, picture: Image.Image) -> None:
    taken = "2024:05:31 14:30:00"
    berlin, path = ZoneInfo("Europe/Berlin"), tmp_path / "a.jpg"
    for tags, wanted in (
        ({"DateTimeOriginal": taken}, "2024-05-31T12:30:00+00:00"),
        ({"DateTimeDigitized": taken}, "2024-05-31T12:30:00+00:00"),
        ({"DateTimeOriginal": taken, "SubsecTimeOriginal": "25"}, "2024-05-31T12:30:00.25+00:00"),
        ({"DateTimeOriginal": taken, "OffsetTimeOriginal": "-05:00"}, "2024-05-31T19:30:00+00:00"),
    ):
        save(picture, path, exif=exif(**tags))
        assert exif_time(path, berlin) == datetime.fromisoformat(wanted)
        assert exif_time(path.read_bytes(), berlin) == datetime.fromisoformat(wanted)
    for tags in (
        {},
        {"DateTimeOriginal": "0000:00:00 00:00:00"},
        {"DateTimeOriginal": "    :  :     :  :  "},
    ):
        assert exif_time(save(picture, path, exif=exif(**tags)), berlin) is None
    for name in ("a.png", "a.webp"):
        other = save(picture, tmp_path / name, exif=exif(DateTimeOriginal=taken))
        assert exif_time(other, berlin) == datetime.fromisoformat("2024-05-31T12:30:00+00:00")
    path.write_bytes(b"no picture")
    assert exif_time(path) is None


def test_heic_is_read_with_the_extra(tmp_path: Path, picture: Image.Image) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    assert close(read_image(save(picture.resize((64, 128)), tmp_path / "a.heic")), picture.resize((64, 128)))


def test_heic_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resight.image_files._read_heif", lambda: False)
    with pytest.raises(ImageError, match=r"is a HEIC picture. To read those: pip install 'resight\[heic\]'"):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 40}])
def test_jpeg_is_decoded_as_pillow_does(
    tmp_path: Path, picture: Image.Image, options: dict[str, int]
) -> None:
    path = save(picture, tmp_path / "a.jpg", **options)
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))


def test_grey_and_cmyk_jpeg(tmp_path: Path, picture: Image.Image) -> None:
    grey = picture.convert("L")
    assert close(read_image(save(grey, tmp_path / "grey.jpg")), grey)
    assert close(read_image(save(picture.convert("CMYK"), tmp_path / "cmyk.jpg")), picture, tolerance=12)


def test_16_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32768], [65278, 65535, 128]], dtype=np.uint16)
    pixels = read_image(save(Image.fromarray(values), tmp_path / "deep.png"))
    np.testing.assert_array_equal(pixels[:, :, 0], [[0, 1, 128], [254, 255, 0]])
    np.testing.assert_array_equal(pixels[:, :, 0], pixels[:, :, 2])


def test_palette_bilevel_and_transparency(tmp_path: Path, picture: Image.Image) -> None:
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    assert close(read_image(save(palette, tmp_path / "palette.png")), palette)
    bilevel = picture.convert("1")
    assert close(read_image(save(bilevel, tmp_path / "bilevel.png")), bilevel)
    half = picture.convert("RGBA")
    half.putalpha(Image.fromarray(np.tile(np.repeat([0, 255], 8), (32, 1)).astype(np.uint8)))
    pixels = read_image(save(half, tmp_path / "alpha.png"))
    assert not pixels[:, :8].any()
    np.testing.assert_array_equal(pixels[:, 8:], np.asarray(picture)[:, 8:])


def test_exif_turns_the_image_upright(tmp_path: Path, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    lying = picture.transpose(Image.Transpose.ROTATE_90)
    pixels = read_image(save(lying, tmp_path / "turned.jpg", exif=exif, quality=95))
    assert pixels.shape == (32, 16, 3)
    assert close(pixels, picture)


def test_one_pixel(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (1, 1), (200, 10, 30)), tmp_path / "one.png")
    np.testing.assert_array_equal(read_image(path, (16, 8)), np.broadcast_to([200, 10, 30], (16, 8, 3)))


def test_resize_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    assert np.abs(resize(stripes, (16, 16)).astype(int) - 128).max() <= 16  # picking lines would give 127
    assert resize(stripes, (64, 64)) is stripes


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 200)] * 4, st.integers(0, 9))
def test_resize_is_pillows_to_one_level_and_seldom_two(
    height: int, width: int, high: int, wide: int, seed: int
) -> None:
    pictures = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    found = [resize(picture, (high, wide)) for picture in pictures]
    for picture, one in zip(pictures, found, strict=True):
        expected = Image.fromarray(picture).resize((wide, high), Image.Resampling.BILINEAR)
        assert one.dtype == np.uint8
        assert one.flags.c_contiguous
        error = np.abs(one.astype(int) - np.asarray(expected).astype(int))
        assert error.max() <= 2  # each of the two passes rounds
        assert (error == 2).sum() <= 3 + error.size / 1000
    np.testing.assert_array_equal(resize_alike(pictures, (high, wide)), np.stack(found))


@pytest.mark.parametrize("large", [0, 20 * 10 * 3, 1 << 20])
def test_all_are_resized_as_each_is(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resight.imaging.LARGE", large)
    generator = np.random.default_rng(1)
    sizes = [(20, 10), (16, 8), (20, 10), (31, 9), (20, 10), (31, 9)]
    pictures = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    found = resize_all(iter(pictures), (16, 8))
    for picture, one in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(one, resize(picture, (16, 8)))
    assert resize_all([], (16, 8)) == []


def test_resize_takes_what_cannot_be_written_to_and_parts_of_pictures() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    part = picture[5:35, 5:25]
    expected = resize(part.copy(), (16, 8))
    np.testing.assert_array_equal(resize(part, (16, 8)), expected)
    picture.flags.writeable = False
    np.testing.assert_array_equal(resize(part, (16, 8)), expected)


@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp"])
def test_truncated_files_are_named(tmp_path: Path, name: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    path = save(Image.fromarray(noise), tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UserError, match=f"{path} holds no whole image: "):
        read_image(path)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (
            b"<html>404</html>",
            "is a web page. A JPEG, PNG, WEBP, .*, AVIF or HEIF file is expected",
        ),
        (b"what is this", "is not a picture"),
        (b"RIFF\0\0\0\0WAVEfmt ", "is not a picture"),
        (b"\x89PNG\r\n\x1a\n", "no whole image"),
        (b"\xff\xd8\xff\xe0junk", "no whole image"),
    ],
)
def test_files_that_are_no_images(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"{path} .*{sentence}"):
        read_image(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.jpg cannot be read: No such file"):
        read_image(tmp_path / "gone.jpg")


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder\. Name picture files, such as .*/\*\.jpg\."):
        read_image(tmp_path)


def test_floating_point_images_are_refused(tmp_path: Path) -> None:
    path = save(Image.fromarray(np.ones((4, 4), np.float32)), tmp_path / "a.tif")
    with pytest.raises(UserError, match="floating-point"):
        read_image(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_huge_images_are_refused_before_decoding(kind: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (10, 10)).save(stream, kind)
    with pytest.raises(ImageError, match="is 10 x 10 pixels; at most 99 are read") as refused:
        decode(stream.getvalue(), ImageLimits(max_pixels=99))
    assert refused.value.problem == "large"
    with pytest.raises(ImageError, match="is 10 x 10 pixels, too few to show a person: at least 11 x 11"):
        decode(stream.getvalue(), ImageLimits(min_side=11))
    with pytest.raises(ImageError, match="has 0 MB; at most 0 MB are read"):
        decode(stream.getvalue(), ImageLimits(max_bytes=30))
    with pytest.raises(ImageError, match=f"is a {kind} file. A GIF or BMP file is expected"):
        decode(stream.getvalue(), ImageLimits(("GIF", "BMP")))


def test_huge_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(2**27 + 1)
    with pytest.raises(UserError, match=r"huge\.jpg has 134 MB; at most 134 MB are read"):
        read_image(path)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_and_pages_are_refused(kind: str) -> None:
    stream = io.BytesIO()
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "green")]
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="is animated or has several pages"):
        decode(stream.getvalue())


def test_what_cannot_be_read_is_counted_by_its_kind(
    tmp_path: Path, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resight.image_files._read_heif", lambda: False)
    whole = save(picture, tmp_path / "whole.png").read_bytes()
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "green")]
    save(frames[0], tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "mobile.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "wide.ppm").write_bytes(b"P6 100000 100000 255 ")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**27 + 1)
    left_out = LeftOut()
    for name in (
        "empty.jpg",
        "film.gif",
        "text.jpg",
        "mobile.heic",
        "half.png",
        "wide.ppm",
        "huge.jpg",
        "gone",
    ):
        with pytest.raises(UserError) as refused:
            read_image(tmp_path / name)
        left_out.add_unreadable(name, refused.value)
    assert {row["reason"]: (row["count"], row["example"]) for row in left_out.as_list()} == {
        "an empty file": (1, "empty.jpg"),
        "a picture that is animated or has several pages": (1, "film.gif"),
        "a file of another format than those that are read": (1, "text.jpg"),
        "a HEIC picture, which is read with the extra 'heic'": (1, "mobile.heic"),
        "a damaged picture": (1, "half.png"),
        "a picture with too many bytes or pixels": (2, "wide.ppm"),
        "a picture that cannot be read": (1, "gone"),
    }


def test_shrink_keeps_proportions() -> None:
    assert shrink(np.zeros((100, 50, 3), np.uint8), 20).shape == (20, 10, 3)
    assert shrink(np.zeros((1, 2000, 3), np.uint8), 20).shape == (1, 20, 3)
    small = np.zeros((7, 5, 3), np.uint8)
    assert shrink(small, 20) is small


def test_edges_go_to_the_nearest_line_between_pixels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (100, 80, 3), dtype=np.uint8)
    pixels, box = cut(picture, (9.5, 20.49, 10.5, 30.5))
    assert box == (10, 20, 1, 11)
    np.testing.assert_array_equal(pixels, picture[20:31, 10:11])
    assert cut(picture, (-50.0, 10, 10, 190))[1] == (0, 10, 10, 90)
    assert cut(picture, (-50, 10, -10, 90)) is None
    assert cut(picture, (10, 10, 10.4, 90)) is None
    pixels[:] = 0
    assert picture[20:31, 10:11].any()


@given(*[st.floats(-20, 120)] * 4)
def test_a_part_lies_in_the_picture_where_its_box_says(a: float, b: float, c: float, d: float) -> None:
    picture = np.arange(100 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 80, 3)
    left, right, top, bottom = *sorted((a, b)), *sorted((c, d))
    part = cut(picture, (left, top, right, bottom))
    inside = min(right, 80) - max(left, 0) >= 1 and min(bottom, 100) - max(top, 0) >= 1
    if part is None:
        assert not inside
        return
    pixels, (x, y, w, h) = part
    np.testing.assert_array_equal(pixels, picture[y : y + h, x : x + w])
    assert pixels.shape == (h, w, 3)
    assert abs(x - max(left, 0)) <= 0.5
    assert abs(x + w - min(right, 80)) <= 0.5


@pytest.mark.parametrize("side", [9_000, 30_000])  # below and above the bound of Pillow itself
def test_decompression_bomb(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    with pytest.raises(UserError, match=r"bomb\.png (is 9000 x 9000|has more than the 67,108,864) pixels"):
        read_image(path)


def test_natural_order() -> None:
    labels = ["cam10", "2", "cam2", "10", "a", "02", ""]
    assert sorted(labels, key=natural) == ["", "02", "2", "10", "a", "cam2", "cam10"]

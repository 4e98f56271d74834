"""What is no picture of a person, or would fill the memory, is refused by what its beginning says."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from service_fakes import Make, encoded, photo, pixels

from resight.gallery.crops import NewCrop
from resight.imaging import Pixels, shrink
from resight.ingest.boxes import Boxes
from resight.ingest.frames import Frame
from resight.ingest.selection import Selection
from resight.left_out import LeftOut
from resight.service.limits import Limits, Refusal
from resight.service.uploads import UploadReader


def chunk(kind: bytes, contents: bytes) -> bytes:
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))


def png(width: int, height: int, contents: bytes) -> bytes:
    """Return a PNG that says it has that size, whatever it holds."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(contents, 9)) + chunk(b"IEND", b"")


def animation(kind: str) -> bytes:
    frames = [Image.fromarray(pixels(person)) for person in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


JPEG = encoded(pixels(1), "JPEG")

BAD = {
    "empty": (b"", 422, "is empty"),
    "text": (b"hello", 415, "is not a picture"),
    "nul": (b"\0" * 100, 415, "is not a picture"),
    "pdf": (b"%PDF-1.7 ...", 415, "a PDF document"),
    "zip": (b"PK\x03\x04" + b"\0" * 60, 415, "a ZIP file"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "an SVG drawing"),
    "page": (b"  <!DOCTYPE html><script>alert(1)</script>", 415, "a web page"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0", 415, "a HEIF"),
    "video": (b"\0\0\0\x18ftypmp42\0\0\0\0", 415, "a video"),
    "tiff": (encoded(pixels(1), "TIFF"), 415, "a TIFF"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "is not a picture"),
    "gif": (animation("GIF"), 415, "is animated"),
    "webp": (animation("WEBP"), 415, "is animated"),
    "apng": (animation("PNG"), 415, "is animated"),
    "sound": (b"RIFF\0\0\0\0WAVEfmt ", 415, "is not a picture"),
    "start of a jpeg": (b"\xff\xd8\xff\xe0", 415, "holds no whole image"),
    "half a jpeg": (JPEG[: len(JPEG) // 2], 415, "holds no whole image"),
    "half a png": (photo(1)[:200], 415, "holds no whole image"),
    "one pixel": (encoded(np.zeros((1, 1, 3), np.uint8)), 422, "1 x 1 pixels, too few"),
    "a line": (encoded(np.zeros((4000, 2, 3), np.uint8)), 422, "too few"),
    "huge": (png(50_000, 50_000, b"\0" * 1_000_000), 413, "has more than the 25,000,000 pixels"),
    "huge and empty": (png(6000, 5000, b""), 413, "at most 25,000,000 are read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_of_a_person_is_refused(name: str) -> None:
    data, status, sentence = BAD[name]
    with pytest.raises(Refusal) as refused:
        UploadReader(Limits()).read(data)
    assert refused.value.status_code == status
    assert sentence in refused.value.detail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_every_kind_that_is_named_is_read(kind: str) -> None:
    upload = UploadReader(Limits()).read(encoded(pixels(1), kind))
    assert upload.pixels.shape == (64, 32, 3)
    assert abs(upload.pixels.astype(int).mean() - pixels(1).mean()) < 6


def test_a_large_picture_is_kept_small() -> None:
    reader = UploadReader(Limits())
    large = encoded(pixels(1, height=4000), "JPEG")
    assert reader.read(large, preprocess=lambda one: shrink(one, 100)).pixels.shape == (100, 50, 3)
    assert reader.whole(encoded(pixels(1, height=2048), "JPEG")).shape == (1024, 512, 3)


def test_no_more_is_unpacked_than_a_picture_says_that_it_holds() -> None:
    assert UploadReader(Limits()).read(png(8, 8, b"\0" * 50_000_000)).pixels.shape == (8, 8, 3)


def test_a_bomb_is_refused_by_the_service_without_being_unpacked(make: Make) -> None:
    import resource

    running = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        running.search(png(50_000, 50_000, b"\0" * 30_000_000), status=413)
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    )  # kilobytes; unpacked: 7.5 GB


def scene(*people: int) -> Pixels:
    """Return a wide picture with people in it, side by side."""
    picture = np.full((120, 60 * max(2, len(people)), 3), 127, np.uint8)
    for place, person in enumerate(people):
        picture[28:92, 60 * place + 14 : 60 * place + 46] = pixels(person)
    return picture


def finds(*boxes: tuple[float, float, float, float]):  # type: ignore[no-untyped-def]
    def detect(picture: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(boxes, np.float64).reshape(-1, 4), np.linspace(0.9, 0.5, len(boxes))

    return detect


BOXES = ((14.0, 28.0, 46.0, 92.0), (74.0, 28.0, 106.0, 92.0))


@given(*[st.floats(-20, 140)] * 4)
@settings(deadline=None, max_examples=60)
def test_a_box_gives_the_same_pixels_from_a_video_and_from_an_upload(
    a: float, b: float, c: float, d: float
) -> None:
    picture = scene(1, 4)
    edges = np.array([min(a, b), min(c, d), max(a, b), max(c, d)])
    selection = Selection(crops=1, min_height=0, min_sightings=1)
    selection.see(Frame(0, 0.0, picture), Boxes(edges[None], np.array([0.9])), [(1, 0)])
    from_video = selection.finish(1, LeftOut())
    uploaded = UploadReader(Limits(), finds(tuple(edges.tolist()))).persons(encoded(picture))
    assert len(from_video) == len(uploaded)
    for crop, (cut, box) in zip(from_video, uploaded, strict=True):
        assert crop.box == box
        np.testing.assert_array_equal(crop.pixels, cut)


def test_an_upload_searches_like_the_same_file_in_python(make: Make) -> None:
    running = make()
    large = encoded(pixels(1, 7, height=2400), "JPEG", quality=95)
    by_python = running.gallery.search([large], top=3).matches
    by_upload = running.search(large, top=3)["matches"]
    assert [(match["id"], match["score"]) for match in by_upload] == [
        (match.crop.id, match.score) for match in by_python
    ]


def test_the_surest_person_is_searched_for_or_the_one_chosen(make: Make) -> None:
    running = make(detect=finds(*BOXES))
    picture = encoded(scene(1, 4))
    found = running.search(picture, top=6)
    assert {match["name"][0] for match in found["matches"]} == {"1"}
    assert len(found["persons"]) == 2
    assert found["chosen"] == 0
    assert found["persons"][1]["box"] == pytest.approx([74 / 120, 28 / 120, 32 / 120, 64 / 120])
    found = running.search(picture, top=6, choice="1")
    assert {match["name"][0] for match in found["matches"]} == {"4"}
    assert "the detector found 2" in running.search(picture, status=422, choice="2")["error"]


def test_a_picture_without_a_person_is_searched_for_whole_and_said_so(make: Make) -> None:
    running = make(detect=finds())
    found = running.search(photo(3), top=6)
    assert found["persons"] == []
    assert found["chosen"] is None
    page = running.client.post("/search", files={"pictures": photo(3)})
    assert "found no person in this picture" in page.text


def test_a_crop_that_is_cut_out_already_is_not_cut_again() -> None:
    reader = UploadReader(Limits(), finds((2.0, 4.0, 30.0, 60.0)))
    assert reader.read(photo(1)).pixels.shape == (64, 32, 3)
    assert reader.read(photo(1), choice=0).pixels.shape == (56, 28, 3)


def test_a_picture_unlike_everything_is_said_to_be(make: Make) -> None:
    def dressed(person: int, number: int) -> Pixels:
        picture = pixels(person, number)
        picture[32:] = picture[32:] // 8 + 30  # everybody wears dark trousers
        return picture

    seen = [NewCrop(dressed(person, number), camera="lobby") for person in range(50) for number in range(5)]
    running = make(people=seen)
    assert running.search(encoded(dressed(3, 99)))["outlier"] is False
    assert running.search(encoded(dressed(77, 0)))["outlier"] is False
    nobody = encoded(dressed(78, 0)[::-1])
    assert running.search(nobody)["outlier"] is True
    assert "unlike everything" in running.client.post("/search", files={"pictures": nobody}).text


def test_each_person_that_the_detector_finds_is_added(make: Make) -> None:
    running = make(people=[], detect=finds(*BOXES))
    added = running.client.post(
        "/api/items", files={"pictures": encoded(scene(1, 4))}, data={"camera": "gate", "detect": "true"}
    ).json()
    assert added["new"] == 2
    item = running.client.get(f"/api/items/{added['ids'][1]}").json()
    assert (item["box"], item["size"]) == ([74, 28, 32, 64], [64, 32])
    empty = make(people=[], detect=finds())
    answer = empty.client.post("/api/items", files={"pictures": photo(1)}, data={"detect": "true"})
    assert answer.status_code == 422
    assert "found no person" in answer.json()["error"]
    answer = make(people=[]).client.post("/api/items", files={"pictures": photo(1)}, data={"detect": "true"})
    assert "The service has no detector" in answer.json()["error"]

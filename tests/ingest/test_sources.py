"""Videos, folders of frames, and what may be wrong with them."""

import math
import os
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from walking import HEIGHT, WIDTH, Walker, draw, film

from resight.errors import UserError
from resight.ingest.frames import FrameFolder
from resight.ingest.opening import open_source
from resight.ingest.times import Start

WALK = [Walker(1, 5, 40, 6), Walker(2, 280, 150, -5)]
PICTURES = [draw(WALK, index) for index in range(40)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", PICTURES, created="2024-05-31T14:30:00Z")


def save(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name, pixels in zip(names, PICTURES, strict=False):
        Image.fromarray(pixels).save(folder / name)
    return folder


def read(source: object, every: int = 1, after: object = None) -> list:
    return list(source.frames(every, after))  # type: ignore[attr-defined]


def test_a_video_gives_its_frames_with_their_times(video: Path) -> None:
    source = open_source(str(video))
    assert source.total == 40
    assert source.start.origin == "its metadata"
    frames = read(source)
    assert [frame.index for frame in frames] == list(range(40))
    assert [round(frame.time - source.start.seconds, 3) for frame in frames] == [i / 10 for i in range(40)]
    for frame, drawn in zip(frames, PICTURES, strict=True):
        assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(frame.pixels.astype(int) - drawn).mean() < 6
    assert source.notes == []


def test_a_video_may_be_left_before_its_end(video: Path) -> None:
    """With a level, decoding threads report to Python and wait for the lock of the thread that ends them."""
    for _ in range(3):
        assert next(iter(open_source(str(video)).frames(1))) is not None
    assert av.logging.get_level() is None


def test_some_frames_are_left_out(video: Path) -> None:
    assert [frame.index for frame in read(open_source(str(video)), every=7)] == [0, 7, 14, 21, 28, 35]


@pytest.mark.parametrize("codec", ["walk.mp4", "walk.avi", "walk.mkv", "walk.ts"])
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("at", [0, 12, 23, 39])
def test_reading_goes_on_behind_a_position(tmp_path: Path, codec: str, every: int, at: int) -> None:
    path = film(tmp_path / codec, PICTURES)
    whole = read(open_source(str(path)), every)
    cut = at // every
    rest = read(open_source(str(path)), every, whole[cut].position())
    assert [(frame.index, frame.time) for frame in rest] == [
        (frame.index, frame.time) for frame in whole[cut + 1 :]
    ]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(rest, whole[cut + 1 :], strict=True))


def test_a_recording_without_a_time_began_its_length_before_it_was_last_written(tmp_path: Path) -> None:
    path = film(tmp_path / "walk.mp4", PICTURES)
    os.utime(path, (1e9, 1e9))
    source = open_source(str(path))
    assert source.start.seconds == pytest.approx(1e9 - 4, abs=0.2)
    assert not source.start.sure


def test_going_on_does_not_decode_what_was_seen(video: Path, tmp_path: Path) -> None:
    whole = read(open_source(str(video)))
    content = bytearray(video.read_bytes())
    begin = content.index(b"mdat") + 4
    content[begin : begin + 3000] = bytes(3000)  # the first frames can no longer be decoded
    (tmp_path / "walk.mp4").write_bytes(content)
    rest = open_source(str(tmp_path / "walk.mp4"))
    frames = read(rest, 1, whole[30].position())
    assert [frame.index for frame in frames] == list(range(31, 40))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, whole[31:], strict=True))
    assert rest.notes == []
    damaged = open_source(str(tmp_path / "walk.mp4"))
    assert len(read(damaged)) < 40
    assert "damaged packets could not be decoded" in damaged.notes[0]
    (row,) = damaged.left_out.as_list()
    assert (row["reason"], row["example"]) == ("a damaged packet of the video", "before frame 0")
    assert damaged.notes[0].startswith(f"{row['count']} damaged packets")


def test_a_position_of_another_picture_is_found_by_counting(video: Path) -> None:
    position = read(open_source(str(video)))[30].position() | {"sum": 1}
    assert [frame.index for frame in read(open_source(str(video)), 1, position)] == list(range(31, 40))


@pytest.mark.parametrize("name", ["walk.avi", "walk.mkv"])
def test_a_video_that_was_cut_off_ends_with_a_note(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name, PICTURES * 5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(str(path))
    frames = read(source)
    assert 40 < len(frames) < 160
    assert all(later.time > earlier.time for earlier, later in pairwise(frames))
    assert any("it is truncated" in note for note in source.notes)


def test_damaged_pieces_are_left_out_and_counted(tmp_path: Path, video: Path) -> None:
    content = bytearray(video.read_bytes())
    place = content.index(b"mdat") + 20000
    content[place : place + 4000] = bytes(4000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    assert len(read(open_source(str(path)))) > 20  # whatever the decoder makes of it, it goes on


def test_an_mp4_without_its_end_is_explained(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(UserError, match="may be truncated: an MP4 file has its index at the end"):
        open_source(str(path))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("not a video, just some words\n" * 50)
    with pytest.raises(UserError, match=r"notes\.mp4 cannot be read as a video"):
        open_source(str(text))
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(UserError, match="is empty"):
        open_source(str(tmp_path / "empty.mp4"))
    with pytest.raises(UserError, match="does not exist"):
        open_source(str(tmp_path / "nothing.mp4"))
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="is a picture"):
        open_source(str(tmp_path / "a.png"))


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "talk.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(UserError, match="has no video stream"):
        open_source(str(path))


def test_a_video_without_a_frame_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "walk.avi", PICTURES[:4])
    content = path.read_bytes()
    place = content.index(b"movi") + 4
    path.write_bytes(content[:place])
    with pytest.raises(UserError, match="no frame can be decoded"):
        read(open_source(str(path)))


def test_a_folder_goes_by_the_natural_order_of_names(tmp_path: Path) -> None:
    folder = save(tmp_path / "frames", ["f1.png", "f2.png", "f10.png"])
    os.utime(folder / "f1.png", (1e9, 1e9))
    source = open_source(str(folder), rate=2)
    assert source.total == 3
    frames = read(source)
    assert [frame.time for frame in frames] == [1e9, 1e9 + 0.5, 1e9 + 1]
    assert np.array_equal(frames[2].pixels, PICTURES[2])
    assert not source.start.sure
    assert [frame.index for frame in read(source, 2, frames[0].position())] == [2]


def test_a_folder_may_have_times_in_its_names(tmp_path: Path) -> None:
    folder = save(tmp_path / "frames", ["2024-05-31T14-30-00Z.png", "2024-05-31T14-30-07Z.png"])
    assert np.diff([frame.time for frame in read(open_source(str(folder)))]) == [7]
    assert np.diff([frame.time for frame in read(open_source(str(folder), rate=4))]) == [0.25]
    for name, begin, sure in (
        ("2024-05-31T14-30-00Z", 1717165800, True),
        ("cam_1456789012", 1456789012, False),  # may be a serial number
    ):
        numbered = save(tmp_path / f"{name} one", [f"{name}_{number}.png" for number in (1, 2, 10)])
        source = open_source(str(numbered))
        assert [frame.time for frame in read(source)] == [begin, begin + 0.04, begin + 0.08]
        assert source.start.sure == sure
    turned = save(tmp_path / "turned", ["1_2024-05-31T14-30-07Z.png", "2_2024-05-31T14-30-00Z.png"])
    source = open_source(str(turned))
    assert [frame.time - source.start.seconds for frame in read(source)] == [0, 7]
    assert source.notes == ["2 frames are in the order of their times, not of their names."]
    counted = save(tmp_path / "counted", ["1456789012.png", "1456789019.png"])
    source = open_source(str(counted))
    assert [frame.time - 1456789012 for frame in read(source)] == [0, 7]
    assert (source.start.sure, source.sure_until) == (False, -math.inf)
    assert "a guess: give --start" in str(source.start)
    for path in counted.iterdir():
        os.utime(path, (1456789100, 1456789100))
    assert open_source(str(counted)).start == Start(1456789012, "its frames' names")
    named = save(tmp_path / "lobby_2024-05-31T14-30-00Z", ["1.png", "2.png"])
    assert open_source(str(named)).start.origin == "its name"
    assert open_source(str(named), start=7.0).start.seconds == 7.0


def test_photographs_have_the_times_in_their_exif_data(tmp_path: Path) -> None:
    for number, second in enumerate((0, 7, 30)):
        taken = Image.Exif()
        taken.get_ifd(0x8769).update({0x9003: f"2024:05:31 14:30:{second:02}", 0x9011: "+02:00"})
        Image.fromarray(PICTURES[number]).save(tmp_path / f"IMG_{number}.jpg", exif=taken)
    source = open_source(str(tmp_path))
    assert str(source.start).endswith("(from its frames' EXIF data)")
    assert [frame.time - 1717158600 for frame in read(source)] == [0, 7, 30]
    assert source.notes == []
    assert source.sure_until > source.start.seconds
    source = open_source(str(tmp_path), rate=4)
    assert [frame.time - 1717158600 for frame in read(source)] == [0, 0.25, 0.5]
    assert source.start.origin == "its metadata"


def test_frames_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    folder = save(tmp_path / "frames", ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes(b"no picture")
    source = FrameFolder(folder)
    assert [frame.index for frame in read(source)] == [0, 2]
    assert "2.png" in source.notes[0]
    assert source.notes[1] == "1 of 3 frames could not be read."
    assert source.notes[2] == "25 frames per second is a guess. Give --fps."
    assert source.sure_until < 0
    for name in ("1.png", "3.png"):
        (folder / name).write_bytes(b"")
    with pytest.raises(UserError, match="No frame in"):
        read(FrameFolder(folder))


def test_files_that_are_no_frames_are_counted_and_names_may_be_any_bytes(tmp_path: Path) -> None:
    folder = save(tmp_path / "frames", ["1.png"])
    os.rename(folder / "1.png", os.fsencode(folder) + b"/\xd5\xc51.png")
    (folder / "notes.txt").touch()
    (folder / "@eaDir").mkdir()
    (folder / "@eaDir" / "1.png").touch()
    source = FrameFolder(folder)
    assert len(list(read(source))) == 1
    assert [(row["reason"], row["count"]) for row in source.left_out.as_list()] == [
        ("in @eaDir: made by a file server or viewer", 1),
        ("no picture: .txt", 1),
    ]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with pytest.raises(UserError, match="has no frames"):
        open_source(str(tmp_path))

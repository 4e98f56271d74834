"""The times of a video's frames."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from walking import Walker, draw, film

from resight.errors import UserError
from resight.ingest.frames import Frame
from resight.ingest.opening import open_source

WALK = [Walker(1, 5, 40, 6), Walker(2, 280, 150, -5)]
PICTURES = [draw(WALK, index) for index in range(40)]


def seconds(path: Path, **options: float) -> tuple[list[float], list[str]]:
    """Return the frames' seconds after the start, and the notes."""
    source = open_source(str(path), **options)  # type: ignore[arg-type]
    frames = [frame for frame in source.frames(1) if frame is not None]
    return [round(frame.time - source.start.seconds, 3) for frame in frames], source.notes


def joined(folder: Path, first: int) -> Path:
    """Write two joined files of 20 frames; the clock of the second begins with the given frame."""
    parts = (film(folder / "1.ts", PICTURES[:20]), film(folder / "2.ts", PICTURES[20:], first=first))
    path = folder / "2024-05-31T14-30-00Z.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_time_continues_where_the_clock_begins_anew(tmp_path: Path) -> None:
    path = joined(tmp_path, 0)
    times, notes = seconds(path)
    assert times == pytest.approx([index / 10 for index in range(40)])
    assert notes == [
        "The clock of the recording begins anew once, first after 1.9 s, as in joined files. Time continues "
        "there: a guess."
    ]
    source = open_source(str(path))
    assert source.total == 40
    whole = [frame for frame in source.frames(1) if isinstance(frame, Frame)]
    assert source.start.sure
    assert whole[19].time <= source.sure_until < whole[20].time
    for at in (5, 25):
        rest = [frame for frame in open_source(str(path)).frames(1, whole[at].position()) if frame]
        assert [(frame.index, frame.time) for frame in rest] == [
            (frame.index, frame.time) for frame in whole[at + 1 :]
        ]
        assert np.array_equal(rest[0].pixels, whole[at + 1].pixels)


def test_times_that_go_back_are_put_in_order_and_counted(tmp_path: Path) -> None:
    times, notes = seconds(joined(tmp_path, 17))
    assert all(later > earlier for earlier, later in pairwise(times))
    assert times[:20] == pytest.approx([index / 10 for index in range(20)])
    assert times[23:] == pytest.approx([index / 10 for index in range(20, 37)])
    assert notes == [
        "3 frames have times that go back or repeat, first frame 20: they were put right after the frame "
        "before."
    ]


def test_gaps_are_kept_and_said(tmp_path: Path) -> None:
    times, notes = seconds(joined(tmp_path, 319))
    assert times[20:22] == pytest.approx([31.9, 32.0])
    assert notes == ["Gaps between frames of more than 10 s: 1, the longest of 30 s."]


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_avi_files_have_times_in_order(tmp_path: Path, codec: str, b_frames: int) -> None:
    path = film(tmp_path / "walk.avi", PICTURES, codec=codec, b_frames=b_frames)
    times, notes = seconds(path)
    assert times == pytest.approx([index / 10 for index in range(40)])
    assert all("frames have times that go back: the times of decoding" in note for note in notes)
    assert len(notes) == (codec == "libx264" and b_frames > 0)  # FFmpeg finds the order of MPEG-4 by itself
    whole = list(open_source(str(path)).frames(1))
    rest = list(open_source(str(path)).frames(1, whole[12].position()))
    assert [frame.time for frame in rest] == [frame.time for frame in whole[13:]]


@pytest.mark.parametrize("rate", [10, 12])
def test_a_raw_stream_has_the_rate_of_its_header(tmp_path: Path, rate: int) -> None:
    path = film(tmp_path / "walk.h264", PICTURES, codec="libx264", rate=rate)
    times, notes = seconds(path)
    assert times == pytest.approx([index / rate for index in range(40)], abs=0.001)
    assert notes == []
    assert open_source(str(path)).total == 40
    whole = list(open_source(str(path)).frames(1))
    rest = list(open_source(str(path)).frames(1, whole[12].position()))
    assert [frame.time for frame in rest] == [frame.time for frame in whole[13:]]


def test_a_raw_stream_takes_the_rate_that_is_given(tmp_path: Path) -> None:
    path = film(tmp_path / "walk.h264", PICTURES, codec="libx264")
    assert seconds(path, rate=5)[0] == pytest.approx([index / 5 for index in range(40)])
    path = film(
        tmp_path / "2024-05-31T14-30-00Z.mjpeg", PICTURES, codec="mjpeg", options={"strict": "-1"}
    )  # has no rate in its header
    times, notes = seconds(path)
    assert times[-1] == pytest.approx(39 / 25)
    assert notes == ["The file gives no frame rate: 25 is a guess. Give --fps."]
    assert open_source(str(path)).sure_until < 0
    source = open_source(str(path), rate=8)
    assert source.sure_until > source.start.seconds
    times, notes = seconds(path, rate=8)
    assert times[-1] == pytest.approx(39 / 8)
    assert notes == []


def test_an_option_that_would_do_nothing_is_refused(tmp_path: Path) -> None:
    path = str(film(tmp_path / "walk.mp4", PICTURES[:3]))
    with pytest.raises(
        UserError, match=r"--fps is for folders of frames and raw streams; .* Leave --fps out"
    ):
        open_source(path, rate=10)
    with pytest.raises(UserError, match="--duration is for addresses, and this is a path"):
        open_source(path, limit=10)
    with pytest.raises(UserError, match="--patience is for addresses"):
        open_source(path, patience=10)
    with pytest.raises(UserError, match="--fps is for folders of frames and raw streams"):
        open_source("rtsp://127.0.0.1/live", rate=10)


@pytest.mark.parametrize("name", ["2024-05-31T14:30:00+02:00.mp4", "a:b.mp4"])
def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    film(tmp_path / name, PICTURES[:3])
    monkeypatch.chdir(tmp_path)
    source = open_source(name)
    assert len(list(source.frames(1))) == 3
    if name.startswith("2024"):
        assert source.start.seconds == 1717158600  # 12:30 UTC
        assert str(source.start).endswith("(from its name)")


def test_a_title_may_have_another_encoding(tmp_path: Path) -> None:
    path = film(tmp_path / "walk.mkv", PICTURES[:3], title="ABCDEFGH")
    path.write_bytes(path.read_bytes().replace(b"ABCDEFGH", "门口摄像".encode("gbk")))
    assert len(list(open_source(str(path)).frames(1))) == 3

"""Cameras: unreachable ones, and one that breaks off and comes back."""

import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from walking import Walker, draw, film

from resight.errors import UserError
from resight.ingest.boxes import Boxes
from resight.ingest.finding import Finder
from resight.ingest.frames import Frame
from resight.ingest.ingestion import Choices, Ingestion
from resight.ingest.journal import Journal
from resight.ingest.opening import open_source
from resight.ingest.stream import Stream
from resight.ingest.tracking import OverlapTracker
from resight.ingest.video import Video, without_password


class Camera(BaseHTTPRequestHandler):
    """Sends MPEG-TS without a length, a piece at a time; each connection breaks off at its end."""

    content = b""
    connections = 0

    def do_GET(self) -> None:
        type(self).connections += 1
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        stream = io.BytesIO(self.content)
        while piece := stream.read(188 * 40):
            try:
                self.wfile.write(piece)
            except OSError:
                return
            time.sleep(0.004)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[str]:
    walkers = [Walker(1, 5, 40, 3), Walker(2, 280, 150, -2)]
    noise = np.random.default_rng(0).integers(-20, 20, (90, *draw(walkers, 0).shape))
    frames = [np.clip(draw(walkers, i) + noise[i], 0, 255).astype(np.uint8) for i in range(90)]
    Camera.content = film(tmp_path / "walk.ts", frames, rate=25, codec="mpeg2video").read_bytes()
    Camera.connections = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://user:secret@127.0.0.1:{server.server_port}/live"
    server.shutdown()
    server.server_close()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp"])
def test_an_unreachable_camera_is_said_to_be_one_without_its_password(scheme: str, closed_port: int) -> None:
    with pytest.raises(
        UserError, match=r"cannot be opened: Connection refused\. Check the address"
    ) as caught:
        open_source(f"{scheme}://user:secret@127.0.0.1:{closed_port}/live", timeout=2)
    assert "secret" not in str(caught.value)


def test_a_camera_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        begin = time.monotonic()
        with pytest.raises(UserError, match="cannot be opened: no answer in time"):
            open_source(f"rtsp://127.0.0.1:{server.getsockname()[1]}/live", timeout=0.5)
        assert time.monotonic() - begin < 5


def test_passwords_stay_out_of_names() -> None:
    assert without_password("rtsp://me:p@ss@cam:554/a?b=c") == "rtsp://cam:554/a?b=c"


def test_a_camera_is_read_live_and_again_after_it_broke_off(camera: str) -> None:
    source = open_source(camera, limit=6)
    assert isinstance(source, Stream)
    assert "secret" not in source.name
    begin = time.time()
    frames = []
    for frame in source.frames(1):
        if frame is not None:
            frames.append(frame)
            if frame.index > 100:
                break
    assert frames[-1].index > 100  # each connection has 90 frames
    assert Camera.connections >= 3  # one to look at it, two to read it
    assert all(later.index > earlier.index for earlier, later in pairwise(frames))
    assert all(begin <= frame.time <= time.time() for frame in frames)


def test_an_ingestion_of_a_camera_ends_when_it_is_stopped_and_can_be_run_again(
    camera: str, tmp_path: Path
) -> None:
    first, before = _run_for_five_frames(camera, tmp_path)
    again, after = _run_for_five_frames(camera, tmp_path)
    assert len(first) == len(again) == 5
    assert again[0] > first[-1]  # numbers go on, so that names of crops do not meet
    assert (before, after) == (["track-1"], ["track-2"])


def _run_for_five_frames(camera: str, folder: Path) -> tuple[list[int], list[str]]:
    """Return the numbers of the frames, and the tracks of the crops; the journal keeps nobody's colours."""
    source = open_source(camera, limit=20)
    journal = Journal(folder, source.name, "lobby")
    seen: list[int] = []
    added: list[str] = []

    def find(frame: Frame) -> Boxes:
        seen.append(frame.index)
        if len(seen) == 5:
            one.stop()
        return Boxes(np.array([[40.0, 40.0, 72.0, 104.0]]), np.array([0.9]))  # somebody stands there

    one = Ingestion(
        source,
        "lobby",
        finder=Finder(find, OverlapTracker(), {}),
        add=lambda crops: added.extend(crop.tags[-1] for crop in crops),
        journal=journal,
        choices=Choices(crops_per_track=1, min_height=32),
    )
    assert not one.run().already
    with np.load(journal.path) as arrays:
        assert json.loads(arrays["head"].tobytes())["tracker"]["tracks"] == []
    return seen, added


def test_a_camera_that_stays_away_is_given_up(camera: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(camera, patience=1.5)
    frames = source.frames(1)
    assert next(frame for frame in frames if frame is not None).index == 0
    monkeypatch.setattr(Camera, "content", b"")
    begin = time.monotonic()
    list(frames)
    assert time.monotonic() - begin < 12
    assert "sent no frame for 2 s; giving up. The crops found before are in" in source.notes[0]


def test_an_address_with_a_length_is_a_video(tmp_path: Path) -> None:
    path = film(tmp_path / "2024-05-31T14-30-00Z.mp4", [draw([], index) for index in range(20)])

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = path.read_bytes()
            first = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            self.send_response(206)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            self.wfile.write(content[first:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = open_source(f"http://me:secret@127.0.0.1:{server.server_port}/{path.name}")
    assert isinstance(source, Video)
    assert source.name == f"http://127.0.0.1:{server.server_port}/{path.name}"
    assert source.start.origin == "its name"
    assert len([*source.frames(1)]) == 20
    server.shutdown()
    server.server_close()


def test_a_camera_has_no_start(camera: str) -> None:
    with pytest.raises(UserError, match=r"is live.*Leave --start out"):
        open_source(camera, start=5.0)

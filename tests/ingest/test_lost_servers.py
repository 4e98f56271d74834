"""Servers that accept and say nothing, that stop in the middle, or that nobody knows: a sentence, in time."""

import errno
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from walking import Walker, draw, film

from resight.errors import UserError
from resight.gallery.crops import NewCrop
from resight.ingest.background import read_ahead, wait_for
from resight.ingest.boxes import Boxes
from resight.ingest.finding import Finder
from resight.ingest.frames import Frame, SourceLost
from resight.ingest.ingestion import Choices, Ingestion
from resight.ingest.journal import Journal
from resight.ingest.opening import open_source
from resight.ingest.tracking import OverlapTracker
from resight.ingest.video import unreachable

SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
WALKERS = [Walker(1, 5, 40, 6), Walker(2, 280, 150, -4)]


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Answer each connection in a thread; connections stay open until the end. Gives the port."""
    held: list[socket.socket] = []

    def handle(connection: socket.socket) -> None:
        with suppress(OSError):
            answer(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                held.append(server.accept()[0])
                threading.Thread(target=handle, args=(held[-1],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


def announce_and_stop(connection: socket.socket) -> None:
    """Answer as a camera does up to PLAY, and send no picture."""
    while question := connection.recv(4096).decode():
        number = next(line for line in question.split("\r\n") if line.startswith("CSeq"))
        body = SDP if question.startswith("DESCRIBE") else ""
        more = {"SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"}.get(question.split()[0], "")
        more += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n" if body else ""
        connection.sendall(f"RTSP/1.0 200 OK\r\n{number}\r\nSession: 1\r\n{more}\r\n{body}".encode())


def drip(connection: socket.socket) -> None:
    """Send a byte now and then, and never a line's end."""
    for _ in range(200):
        connection.sendall(b"R")
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [announce_and_stop, drip, lambda connection: None])
def test_a_camera_that_sends_no_picture_is_said_not_to_answer(
    answer: Callable[[socket.socket], None],
) -> None:
    begin = time.monotonic()
    with serving(answer) as port, pytest.raises(UserError, match="cannot be opened: no answer in time"):
        open_source(f"rtsp://127.0.0.1:{port}/live", timeout=0.5)
    assert time.monotonic() - begin < 5


def test_an_address_that_nobody_listens_at_is_said_not_to_answer() -> None:
    waiting = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):  # a full queue drops whoever comes next, as a machine that is off does
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(server.getsockname())
        begin = time.monotonic()
        with pytest.raises(UserError, match="cannot be opened: no answer in time"):
            open_source(f"rtsp://127.0.0.1:{server.getsockname()[1]}/live", timeout=0.5)
        assert time.monotonic() - begin < 5
    for each in waiting:
        each.close()


def test_ctrl_c_ends_the_wait_for_a_silent_camera(tmp_path: Path) -> None:
    asked = threading.Event()

    def be_silent(connection: socket.socket) -> None:
        connection.recv(4096)
        asked.set()

    with serving(be_silent) as port:
        command = (sys.executable, "-m", "resight", "ingest")
        options = ("--camera", "gate", "--gallery", "people", "--model", "runs/mine", "--detector", "d.onnx")
        process = subprocess.Popen(
            [*command, f"rtsp://127.0.0.1:{port}/live", *options, "--timeout", "60"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            # shells start what runs in the background with Ctrl-C ignored, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert asked.wait(60)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert (process.returncode, told) == (130, "resight: interrupted.\n")
        assert time.monotonic() - begin < 10


def test_a_name_without_an_address_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_knows(*_: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", nobody_knows)
    told = unreachable("rtsp://kamera/live", OSError(errno.EIO, "Input/output error"))
    assert "the name kamera cannot be resolved. Check the address" in told


def test_waiting_has_an_end_and_hands_errors_on() -> None:
    with pytest.raises(TimeoutError):
        wait_for(threading.Event().wait, 0.05)
    with pytest.raises(ZeroDivisionError):
        wait_for(lambda: 1 / 0, 5)
    assert wait_for(lambda: 3, 5) == 3


def test_frames_read_ahead_come_whole_and_their_reader_ends() -> None:
    closed = threading.Event()

    def frames(number: int) -> Iterator[Frame]:
        try:
            for index in range(number):
                yield Frame(index, 0.0, np.zeros((1, 1, 3), np.uint8))
            time.sleep(0.8)
            raise SourceLost("gone")
        finally:
            closed.set()

    seen: list[Frame | None] = []
    with pytest.raises(SourceLost, match="gone"):
        seen.extend(read_ahead(frames(5)))  # type: ignore[arg-type]
    assert [item and item.index for item in seen] == [0, 1, 2, 3, 4, None]
    closed.clear()
    ahead = read_ahead(frames(50))  # type: ignore[arg-type]
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]
    assert closed.wait(5)


class Recording:
    """A video on a web server that stops in the middle until it is ``whole``."""

    def __init__(self, content: bytes) -> None:
        self.content, self.whole = content, False

    def __call__(self, connection: socket.socket) -> None:
        lines = connection.recv(4096).decode().split("\r\n")
        asked = [line for line in lines if line.lower().startswith("range")]
        first = int(asked[0].split("=")[1].split("-")[0]) if asked else 0
        size = len(self.content)
        connection.sendall(
            b"HTTP/1.1 206 Partial Content\r\nAccept-Ranges: bytes\r\nConnection: close\r\n"
            + f"Content-Range: bytes {first}-{size - 1}/{size}\r\n".encode()
            + f"Content-Length: {size - first}\r\n\r\n".encode()
        )
        end = size if self.whole else size * 2 // 3
        connection.sendall(self.content[first:end])


def test_what_was_found_before_a_recording_broke_off_stays_and_the_rest_follows(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-20, 20, (60, *draw(WALKERS, 0).shape))
    frames = [np.clip(draw(WALKERS, i) + noise[i], 0, 255).astype(np.uint8) for i in range(60)]
    film(tmp_path / "walk.mkv", frames)
    recording = Recording((tmp_path / "walk.mkv").read_bytes())
    added: dict[bytes, NewCrop] = {}  # as galleries do: the same picture again changes nothing

    def ingest(port: int) -> Ingestion:
        source = open_source(f"http://127.0.0.1:{port}/2024-05-31T14-30-00Z.mkv", timeout=1)

        def find(frame: Frame) -> Boxes:
            boxes = [box for walker in WALKERS[:1] if frame.index < 20 and (box := walker.box(frame.index))]
            return Boxes(np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32))

        return Ingestion(
            source,
            "lobby",
            finder=Finder(find, OverlapTracker(), {}),
            add=lambda crops: added.update((np.asarray(crop.picture).tobytes(), crop) for crop in crops),
            journal=Journal(tmp_path / "journal", source.name, "lobby"),
            choices=Choices(min_height=32, crops_per_track=1),
        )

    with serving(recording) as port:
        begin = time.monotonic()
        with pytest.raises(
            SourceLost, match=r"Lost the connection to .*: no answer in time\. What was found"
        ):
            ingest(port).run()
        assert time.monotonic() - begin < 40
        assert len(added) == 1  # who had passed by then
        recording.whole = True
        outcome = ingest(port).run()
    assert (outcome.counts.frames, outcome.counts.tracks) == (60, 1)
    assert len(added) == 1

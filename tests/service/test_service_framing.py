"""Bytes that are no HTTP, sent to ``resight serve``: a line in its console, no traceback, and it goes on."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from resight.gallery.crops import NewCrop
from resight.gallery.gallery import Gallery
from resight.inference.loading import load_model
from resight.models.network import build_model
from resight.models.weights import save_weights

HOST = b"Host: 127.0.0.1\r\n"
CHUNKED = b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
JSON = b"POST /api/marks HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"

BROKEN = {
    "noise": [bytes(range(128, 256)) * 3 + b"\r\n\r\n"],
    "TLS": [bytes.fromhex("1603010200010001fc0303") + bytes(500)],
    "no host": [b"GET / HTTP/1.1\r\n\r\n"],
    "headers cut short": [b"GET / HTTP/1.1\r\n" + HOST + b"X-"],
    "endless header": [b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 200_000],
    "length that is none": [JSON + b"Content-Length: abc\r\n\r\n"],
    "two lengths": [JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
    "length too small": [JSON + b"Content-Length: 2\r\n\r\n{}AND MORE\0\r\n\r\n"],
    "length too large": [JSON + b"Content-Length: 5000\r\n\r\n{}"],
    "bad chunk": [b"POST /api/marks" + CHUNKED + b"ZZZ\r\n"],
    "bad chunk while it is read": [b"POST /api/marks" + CHUNKED, b"2\r\n{}\r\n", b"ZZZ\r\n"],
    "bad chunk after the answer": [b"GET /nowhere" + CHUNKED, b"5\r\nabcde\r\n", b"ZZZ\r\n", b"more\r\n"],
    "garbage after an answer": [b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n", b"\0\1\2\r\n\r\n"],
    "upgrade": [b"GET /health HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"],
}


@dataclass(frozen=True)
class Serving:
    """A service of its own process: its port, and the file that its console goes to."""

    port: int
    console: Path
    process: "subprocess.Popen[bytes]"

    def send(self, pieces: list[bytes]) -> bytes:
        """Send pieces one after the other; return what came back until it closed or fell silent."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.settimeout(0.3)
            try:
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(0.05)
                while more := connection.recv(65536):
                    answer += more
            except OSError:
                pass
        return answer


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("serving")
    torch.manual_seed(0)
    weights = folder / "weights.safetensors"
    trunk = {"name": "osnet", "width": 0.25}
    save_weights(build_model("pooled", 4, trunk=trunk, input_size=[64, 32]), weights)
    noise = np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8)
    model = load_model(weights, device="cpu")
    with Gallery.open(folder / "gallery", model, create=True) as gallery:
        gallery.add([NewCrop(noise, camera="lobby", source="drawn")])
    console = folder / "console.txt"
    command = [sys.executable, "-m", "resight", "serve", "--port", "0"]
    command += ["--gallery", str(folder / "gallery")]
    with console.open("w") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file)
    try:
        while not (told := re.search(r"Open http://127.0.0.1:(\d+)/", console.read_text())):
            assert process.poll() is None, console.read_text()
            time.sleep(0.1)
        yield Serving(int(told[1]), console, process)
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_framing_is_one_line_at_most_and_the_service_goes_on(serving: Serving, kind: str) -> None:
    before = len(serving.console.read_text())
    answer = serving.send(BROKEN[kind])
    assert b" 500 " not in answer
    assert b" 200 OK" in serving.send([b"GET /health HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"])
    told = serving.console.read_text()[before:]
    assert "Traceback" not in told, told
    assert told.splitlines() in ([], ["WARNING:  Invalid HTTP request received."])


def test_what_can_be_answered_is(serving: Serving) -> None:
    assert serving.send(BROKEN["bad chunk while it is read"]).startswith(b"HTTP/1.1 400 ")
    answers = serving.send(BROKEN["bad chunk after the answer"])
    assert answers.startswith(b"HTTP/1.1 404 ")
    assert answers.count(b"HTTP/1.1") == 1


def test_ctrl_c_is_the_usual_end(serving: Serving) -> None:
    """The last test, as it ends the service."""
    before = len(serving.console.read_text())
    serving.process.send_signal(signal.SIGINT)
    assert serving.process.wait(120) == 0
    assert serving.console.read_text()[before:] == ""
    with Gallery.open(serving.console.parent / "gallery") as gallery:
        assert len(gallery) == 1

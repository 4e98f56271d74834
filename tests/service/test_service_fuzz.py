"""Malformed uploads and parameters: every one is answered, none with a 500."""

import json
import random
import string
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import features
from service_fakes import Make, Running, encoded, photo, pixels

KINDS = [kind for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP") if kind != "WEBP" or features.check("webp")]
FIELDS = (
    "camera",
    "not_camera",
    "after",
    "before",
    "tag",
    "person",
    "source",
    "labelled",
    "crop",
    "choice",
    "query_camera",
    "other_cameras",
    "combine",
    "top",
    "offset",
    "rerank",
    "false_match_rate",
    "id",
    "dry_run",
    "time",
    "detect",
    "title",
    "note",
    "crops",
    "query",
    "same",
    "after_id",
    "name",
    "last_likely",
    "pictures",
    "",
    "\x00",
    "a" * 5000,
)
VALUES = (
    "",
    " ",
    "0",
    "1",
    "-1",
    "1e308",
    "nan",
    "inf",
    "9" * 400,
    "true",
    "null",
    "gate",
    "lobby",
    "../../etc/passwd",
    "%00",
    "\x00",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "<script>",
    "' OR 1=1 --",
    "2026-05-04T09:00",
    "2026-13-99",
    "0001-01-01",
    "9999-12-31T23:59:59.999999",
    "1969-12-31T23:59Z",
    "x" * 10_000,
    "2026-05-04T09:00+99:99",
    "average",
    "only",
    "00000000-0000-0000-0000-000000000000",
    "{}",
    "[]",
    "\u202e",
)
PATHS = (
    "/api/search",
    "/search",
    "/api/items",
    "/api/forget",
    "/api/marks",
    "/case",
    "/login",
    "/api/cameras",
    "/",
    "/api/items/{}",
    "/api/items/{}/picture",
    "/api/items/{}/thumbnail",
    "/crops/{}",
    "/static/{}",
    "/{}",
    "/logout",
    "/api/items/{}/attention",
    "/crops/{}/attention",
    "/metrics",
    "/docs",
)


class Fuzzer:
    """Makes one malformed request after another, the same ones each time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.whole = [encoded(pixels(1), kind) for kind in KINDS]

    def picture(self) -> bytes:
        """Return a damaged picture, or no picture."""
        data = bytearray(self.random.choice(self.whole))
        match self.random.randrange(6):
            case 0:
                return bytes(data[: self.random.randrange(len(data))])
            case 1:
                for _ in range(self.random.randrange(1, 30)):
                    data[self.random.randrange(len(data))] = self.random.randrange(256)
            case 2:  # the header, where sizes and counts are
                for _ in range(4):
                    data[self.random.randrange(min(64, len(data)))] = self.random.randrange(256)
            case 3:
                start = self.random.randrange(len(data))
                data[start:start] = data[: self.random.randrange(len(data))]
            case 4:
                return self.random.randbytes(self.random.randrange(2000))
            case _:
                return data[:12] + self.random.randbytes(500)
        return bytes(data)

    def fields(self) -> dict[str, Any]:
        """Return fields that may not be there, of values that may not fit."""
        chosen = self.random.sample(FIELDS, self.random.randrange(5))
        return {name: self.random.choices(VALUES, k=self.random.choice((1, 1, 1, 3))) for name in chosen}

    def request(self) -> tuple[str, str, dict[str, Any]]:
        """Return method, path and body."""
        word = self.random.choice([*VALUES[:-4], "".join(self.random.choices(string.printable, k=8))])
        path = self.random.choice(PATHS).replace(
            "{}", word.replace("\r", "").replace("\n", "").replace("\t", "")
        )
        fields = self.fields()
        match self.random.randrange(8):
            case 0 | 1 | 2:
                files = [
                    ("pictures", (word[:50] or "x", self.picture()))
                    for _ in range(self.random.randrange(1, 4))
                ]
                return (
                    "POST",
                    self.random.choice(("/api/search", "/search", "/api/items", "/case")),
                    {
                        "files": files,
                        "data": {name: value for name, value in fields.items() if name},
                    },
                )
            case 3:
                return "GET", path, {"params": fields}
            case 4:
                said = {
                    name: self.random.choice((value, value[0], None, 3, {})) for name, value in fields.items()
                }
                body: Any = self.random.choice((said, [said], "x", None))
                return (
                    self.random.choice(("POST", "PATCH")),
                    path,
                    {"content": json.dumps(body), "headers": {"content-type": "application/json"}},
                )
            case 5:
                boundary = self.random.choice(("x", "", "x" * 300))
                kind = f"multipart/form-data; boundary={boundary}"
                return (
                    "POST",
                    path,
                    {"content": b"--x\r\n" + self.picture(), "headers": {"content-type": kind}},
                )
            case 6:
                kind = self.random.choice(
                    ("text/plain", "application/x-www-form-urlencoded", "image/png", "\u00fc")
                )
                return "POST", path, {"content": self.picture(), "headers": {"content-type": kind.encode()}}
            case _:
                return self.random.choice(("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")), path, {}


def fuzz(running: Running, seed: int, count: int) -> dict[int, int]:
    """Send malformed requests and return how often each status was answered."""
    fuzzer = Fuzzer(seed)
    seen: dict[int, int] = {}
    for _ in range(count):
        method, path, body = fuzzer.request()
        answer = running.client.request(method, quote(path, safe="/?&=%", errors="replace"), **body)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, (method, path, body, answer.text)
        if answer.status_code >= 400 and method != "HEAD":
            assert isinstance(answer.json()["error"], str) or path == "/login"
    return seen


def intact(running: Running) -> None:
    assert running.client.get("/health").status_code == 200
    assert {
        match["name"][0]
        for match in running.search(photo(2), top=6, camera=["gate", "lobby", "stairs"])["matches"][:4]
    } == {"2"}
    assert running.client.get("/api/gallery").json()["crops"] >= 36


def everywhere(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find persons as a detector may: all of a picture, less than a pixel of its corner, a line."""
    height, width = picture.shape[:2]
    edges = [(0, 0, width, height), (width - 0.3, height - 0.3, width, height), (0, 1, width, 1.2)]
    return np.array(edges[: width % 4], float).reshape(-1, 4), np.array([0.9, 0.6, 0.3][: width % 4])


def test_two_thousand_malformed_requests_do_no_harm(running: Running) -> None:
    seen = fuzz(running, 1, 2000)
    assert seen.get(422, 0) > 400
    assert seen.get(415, 0) > 20
    assert seen.get(200, 0) > 50
    intact(running)


@pytest.mark.slow
def test_twenty_thousand_malformed_requests_do_no_harm_before_a_detector(make: Make) -> None:
    running = make(detect=everywhere)
    fuzz(running, 2, 20_000)
    assert running.client.get("/health").status_code == 200

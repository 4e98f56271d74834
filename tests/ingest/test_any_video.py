"""Short videos of any kind, made by rule, through ``resight ingest``: right, or refused in a sentence."""

import contextlib
import io
import json
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from walking import TALL, WIDE, Walker, draw, film

from resight.commands.main import app
from resight.errors import UserError
from resight.gallery.gallery import Gallery
from resight.models.network import build_model
from resight.models.weights import save_weights

FRAMES = 12
WALKER = Walker(1, 5, 100, 8)
PICTURES = [draw([WALKER], index) for index in range(FRAMES)]
NOON = 1717156800.0  # 2024-05-31 12:00 UTC
NAMES = {
    "lobby": None,
    "2024-05-31T14:00:00+02:00": NOON,
    "lobby_20240531120000000_x": NOON,
    "PXL_20240531_120000000": NOON,
    "cam 2024-05-31_12-00-00": NOON,
    "2024-05-31/12/gate/00.00": NOON,
    "2024-05-31/12-00-00-clip": NOON,
    "20240531-120000-1234": NOON,
    "SN1456789012": None,
    "門口:100%d": None,
}
RAW = ("h264", "mjpeg")
KINDS = [
    *(("mpeg4", suffix) for suffix in ("mp4", "avi", "mkv", "mov")),
    *(("libx264", suffix) for suffix in ("mp4", "avi", "mkv", "ts", "h264")),
    *(("mpeg2video", suffix) for suffix in ("ts", "mpg")),
    *(("mjpeg", suffix) for suffix in ("avi", "mjpeg")),
]


@dataclass(frozen=True)
class Clip:
    """A video to make, and the options to ingest it with."""

    codec: str
    suffix: str
    name: str
    rate: int
    b_frames: int
    aspect: Fraction | None
    interlaced: bool
    restart: int | None
    kept: float
    fps: int | None
    every: int
    start: float | None

    @property
    def step(self) -> float:
        """Seconds between frames, as they are to be read."""
        given = self.fps if self.suffix in RAW else None
        return 1 / (given or (25 if self.suffix == "mjpeg" else self.rate))

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.name}.{self.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"strict": "-1"} if self.codec == "mjpeg" else {}
        options |= {"flags": "+ildct+ilme"} if self.interlaced else {}
        half = FRAMES if self.restart is None else FRAMES // 2
        content = b""
        for pictures, first in ((PICTURES[:half], 0), (PICTURES[half:], self.restart)):
            if first is not None:
                film(
                    path,
                    pictures,
                    rate=self.rate,
                    codec=self.codec,
                    aspect=self.aspect,
                    first=first,
                    b_frames=self.b_frames,
                    options=options,
                )
                content += path.read_bytes()
        path.write_bytes(content[: round(len(content) * self.kept)])
        return path


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    codec, suffix = draw(st.sampled_from(KINDS))
    aspects = (
        [Fraction(16, 15)] if codec == "mpeg2video" else [Fraction(24, 11), Fraction(8, 9), Fraction(1, 1)]
    )
    return Clip(
        codec,
        suffix,
        draw(st.sampled_from(sorted(NAMES))),
        25 if codec == "mpeg2video" else draw(st.sampled_from([5, 10, 12, 25])),
        0 if codec == "mjpeg" else draw(st.integers(0, 2)),
        draw(st.sampled_from([None, *aspects])),  # MPEG-2 has codes for three shapes of the picture
        codec == "mpeg2video" and draw(st.booleans()),
        draw(st.sampled_from([None, 0, 600])) if suffix == "ts" else None,
        draw(st.sampled_from([1.0, 1.0, 1.0, 0.6, 0.02])),
        draw(st.sampled_from([None, None, 8])),
        draw(st.sampled_from([1, 1, 3])),
        draw(st.sampled_from([None, 1.6e9])),
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = build_model("han", 5, widths=(16, 16, 16), input_size=(80, 32), feature_size=64)
    path = tmp_path_factory.mktemp("model") / "weights.safetensors"
    save_weights(model, path)
    return path


def ingest(clip: Clip, path: Path, weights: Path, place: Path) -> Any:
    """Return what the command prints."""
    boxes = place.with_suffix(".txt")
    rows = [(index + 1, *WALKER.box(index)) for index in range(FRAMES)]  # type: ignore[misc]
    boxes.write_text("".join(f"{n},1,{left + 1},{top + 1},{WIDE},{TALL},1\n" for n, left, top, *_ in rows))
    given = ["ingest", path, "--camera", "a", "--gallery", place, "--model", weights, "--boxes", boxes]
    given += ["--timezone", "UTC", "--every", clip.every, "--json", "--min-sightings", 1]
    given += [] if clip.fps is None else ["--fps", clip.fps]
    given += [] if clip.start is None else ["--start", "2020-09-13T12:26:40"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        app([str(one) for one in given], result_action="return_value")
    return json.loads(out.getvalue())


def check(clip: Clip, weights: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, place = clip.write(Path(folder)), Path(folder) / "gallery"
        try:
            found = ingest(clip, path, weights, place)
        except UserError as error:
            said = str(error)
            assert clip.kept < 1 or (clip.fps is not None and "Leave --fps out" in said), said
            return
        assert clip.fps is None or clip.suffix in RAW
        with Gallery.open(place) as gallery:
            crops = list(gallery.crops())
        assert len(crops) == found["crops"]
        known = NOON if clip.start is None else clip.start
        sure = (NAMES[clip.name] is not None or clip.start is not None) and not (
            clip.suffix == "mjpeg" and clip.fps is None
        )
        half = FRAMES // 2
        stretch = float(clip.aspect or 1)
        for crop in crops:
            index = int(crop.name.split()[-1])
            late = clip.restart == 600 and index >= half
            assert index % clip.every == 0
            assert crop.time is not None
            if sure:
                seconds = (600 - half if late else 0) * clip.step + index * clip.step
                shifted = late * 2 * clip.step  # by the muxer, to avoid times of decoding below 0
                assert crop.time.timestamp() == pytest.approx(known + seconds, abs=0.01 + shifted)
            restarted = clip.restart == 0 and half * clip.step > 0.6 and index >= half
            assert crop.time_guessed == (not sure or restarted)
            box = WALKER.box(index)
            assert box is not None
            assert crop.box is not None
            left, top = box[0] * max(1, stretch), box[1] * max(1, 1 / stretch)
            assert crop.box[:2] == pytest.approx((left, top), abs=2)
        if clip.kept == 1:
            assert found["frames"] == found["boxes"] == len(range(0, FRAMES, clip.every))
            assert 1 <= found["crops"] <= 4
        assert found["frames"] <= FRAMES


quiet = [HealthCheck.too_slow]


@settings(max_examples=12, deadline=None, suppress_health_check=quiet, derandomize=True, database=None)
@given(clip=clips())
def test_some_videos(clip: Clip, weights: Path) -> None:
    check(clip, weights)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=quiet)
@given(clip=clips())
def test_many_videos(clip: Clip, weights: Path) -> None:
    check(clip, weights)

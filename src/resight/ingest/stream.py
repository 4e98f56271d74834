"""Cameras: live streams, which may be interrupted and resumed, and do not wait for their reader."""

import math
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from resight.errors import UserError
from resight.ingest.display import Display
from resight.ingest.frames import Frame, Position
from resight.ingest.times import Start
from resight.ingest.video import INSTALL, OPTIONS, TIMEOUT, open_container, reason, unreachable
from resight.left_out import LeftOut
from resight.progress import say

if TYPE_CHECKING:
    from av import VideoFrame

PATIENCE = 300.0
"""Seconds without a frame after which to give up on a stream."""

LONGEST_PAUSE = 30.0
"""Longest pause between two attempts to connect, in seconds; the first is one second, then they double."""

JOIN = 1.0
"""Seconds to wait for the thread to end. If it is blocked by a silent camera, it is abandoned."""


class Stream:
    """A camera's stream. A thread reads it and keeps only the newest frame; older unused frames are dropped.

    Args:
        address: such as ``rtsp://user:password@camera:554/stream``.
        name: the same without the password.
        limit: seconds after which to end; None for no limit.
        timeout: seconds to wait for a server.
        patience: seconds without a frame after which to give up.
    """

    live = True

    def __init__(
        self,
        address: str,
        name: str,
        *,
        limit: float | None = None,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> None:
        self.name, self._address = name, address
        self._limit, self._timeout, self._patience = limit, timeout, patience
        self.total: int | None = None
        self.start = Start(time.time(), "the clock of this machine")
        self.identity: dict[str, Any] = {"live": True}
        self.notes: list[str] = []
        self.left_out = LeftOut()
        self.stretch, self.sure_until = (1.0, 1.0), math.inf
        self._display = Display()
        self._changed = threading.Condition()
        self._newest: tuple[int, float, VideoFrame] | None = None
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._received = 0
        self._connected = False
        try:
            import av  # noqa: F401
        except ImportError:
            raise UserError(f"Videos need PyAV, which is not installed: {INSTALL}") from None

    def frames(self, every: int, after: Position | None = None) -> Iterator[Frame | None]:
        """See ``FrameSource``. Numbers continue after ``after``; dropped frames leave gaps in them.

        Raises:
            UserError: the first connection fails, or delivers no frame.
        """
        self._received = 0 if after is None else after["index"] + 1
        reader = threading.Thread(target=self._read, args=(every,), name="stream", daemon=True)
        reader.start()
        begin = last = time.monotonic()
        try:
            while self._limit is None or time.monotonic() - begin < self._limit:
                with self._changed:
                    self._changed.wait_for(lambda: self._newest is not None or self._failure, timeout=0.5)
                    newest, self._newest = self._newest, None
                    failure = self._failure
                if newest is not None:
                    last = time.monotonic()
                    index, taken, picture = newest
                    yield Frame(index, taken, self._display(picture), None)
                elif failure is not None and not self._connected:
                    raise UserError(unreachable(self.name, failure)) from failure
                elif time.monotonic() - last > self._patience:
                    gone = f"{self.name} sent no frame for {self._patience:.0f} s; giving up."
                    if not self._connected:
                        raise UserError(f"{gone} Check that the camera sends video.")
                    self.notes.append(f"{gone} The crops found before are in the gallery.")
                    return
                else:
                    yield None
        finally:
            self._stop.set()
            reader.join(JOIN)
            self.notes += self._display.notes()

    def _read(self, every: int) -> None:
        pause = 1.0
        while not self._stop.is_set():
            before = self._received
            try:
                self._read_connection(every)
                lost: Exception = EOFError("the stream ended")
            except Exception as error:  # raised in the thread that waits for frames
                lost = error
            with self._changed:
                self._failure = lost
                self._changed.notify()
            if self._stop.is_set() or not self._connected:
                return
            pause = 1.0 if self._received > before else min(2 * pause, LONGEST_PAUSE)
            if self._received > before:
                say(f"Lost the connection to {self.name}: {reason(lost)}. Reconnecting.")
            self._stop.wait(pause)

    def _read_connection(self, every: int) -> None:
        options = OPTIONS["rtsp"] | {"fflags": "nobuffer"}
        with open_container(self._address, options, self._timeout) as container:
            if not container.streams.video:
                raise EOFError("it has no video, only sound or subtitles")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            self._display.aspect = stream.sample_aspect_ratio
            for picture in container.decode(stream):
                if self._stop.is_set():
                    return
                with self._changed:
                    if self._received % every == 0:
                        self._newest = (self._received, time.time(), picture)
                    self._received += 1
                    self._connected = True
                    self._failure = None
                    self._changed.notify()

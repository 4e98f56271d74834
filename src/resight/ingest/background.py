"""Waiting for servers in a thread: FFmpeg hears no Ctrl-C while it waits for one, its caller does."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from resight.ingest.frames import Frame

Result = TypeVar("Result")

AHEAD = 2
"""Frames that are decoded ahead of who looks at them."""

BEAT = 0.5
"""Seconds without a frame after which whoever waits is told that there is none."""


def wait_for(call: Callable[[], Result], limit: float) -> Result:
    """Return what a call returns, or raise what it raises.

    Args:
        call: what may wait for a server.
        limit: seconds. A call that takes longer is left to itself.

    Raises:
        TimeoutError: it took longer.
    """
    done: list[Result] = []
    failed: list[Exception] = []
    ended = threading.Event()

    def run() -> None:
        try:
            done.append(call())
        except Exception as error:  # raised below, where somebody waits
            failed.append(error)
        ended.set()

    threading.Thread(target=run, name="waiting", daemon=True).start()
    if not ended.wait(limit):
        raise TimeoutError
    if failed:
        raise failed[0]
    return done[0]


def read_ahead(frames: Generator[Frame]) -> Iterator[Frame | None]:
    """Yield what a generator yields, and None each time that nothing came for a while."""
    ready: queue.Queue[Frame | Exception | None] = queue.Queue(AHEAD)
    left = threading.Event()

    def hand(item: Frame | Exception | None) -> bool:
        while not left.is_set():
            try:
                ready.put(item, timeout=BEAT)
            except queue.Full:
                continue
            return True
        return False

    def run() -> None:
        end: Exception | None = None
        try:
            for frame in frames:
                if not hand(frame):
                    frames.close()
                    return
        except Exception as error:  # raised below, where somebody waits
            end = error
        hand(end)

    threading.Thread(target=run, name="frames", daemon=True).start()
    try:
        while True:
            try:
                item = ready.get(timeout=BEAT)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        left.set()

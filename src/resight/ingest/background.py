"""Waiting for servers in a thread, because FFmpeg cannot be interrupted while it waits."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from typing import TypeVar

from resight.ingest.frames import Frame

Result = TypeVar("Result")

AHEAD = 2
"""Number of frames to decode ahead."""

BEAT = 0.5
"""Seconds of waiting after which ``read_ahead`` yields None."""


def wait_for(call: Callable[[], Result], limit: float) -> Result:
    """Call a function in a thread, and return its result or raise its exception.

    Args:
        call: may wait for a server.
        limit: in seconds. A call that takes longer is abandoned.

    Raises:
        TimeoutError: the call took longer than ``limit``.
    """
    answer: Future[Result] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # raised in the caller's thread
            answer.set_exception(error)

    # no executor: at exit, the interpreter would wait for its threads
    threading.Thread(target=run, name="waiting", daemon=True).start()
    return answer.result(limit)


def read_ahead(frames: Generator[Frame]) -> Iterator[Frame | None]:
    """Yield a generator's frames, and None after each ``BEAT`` seconds without one."""
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
        except Exception as error:  # raised below, in the caller's thread
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

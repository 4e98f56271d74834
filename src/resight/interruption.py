"""Handling of Ctrl-C and SIGTERM: the work ends cleanly, and one message says how to go on."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

SAME_COMMAND = "The same command goes on where it was."


@contextmanager
def resumable(how: str) -> Iterator[None]:
    """Raise ``KeyboardInterrupt(how)`` at Ctrl-C or SIGTERM; if nested, with the outermost sentence.

    Args:
        how: the sentence that says how to go on, which ``resight`` prints.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    # torchrun must be able to end a process that waits for the others: it runs no Python code meanwhile
    alone = "TORCHELASTIC_RUN_ID" not in os.environ
    try:
        with _handling({signal.SIGTERM: interrupt} if alone else {}):
            yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how) from None


@contextmanager
def stopping(stop: Callable[[], object]) -> Iterator[None]:
    """Call ``stop`` at the first Ctrl-C or SIGTERM; the second one interrupts at once."""

    def first(number: int, frame: object) -> None:
        signal.signal(number, signal.default_int_handler)
        stop()

    with _handling({signal.SIGINT: first, signal.SIGTERM: first}):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM interrupt at once, inside ``stopping``."""
    with _handling({signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.default_int_handler}):
        yield


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process without a word, in a wait of a library that runs no Python code."""
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    with _handling({} if ignored else {signal.SIGINT: signal.SIG_DFL}):
        yield


@contextmanager
def _handling(
    handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], None] | signal.Handlers],
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""One message at Ctrl-C or SIGTERM, and handlers that are put back."""

import os
import signal
import subprocess
import sys

import pytest

from resight.interruption import resumable, stopping

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def _interrupts() -> None:
    """Shells start what runs in the background with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@BOTH
def test_what_was_interrupted_says_how_to_go_on(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match=r"^Go on with: that\.$"), resumable("Go on with: that."):
        os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_outermost_sentence_is_the_one() -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^outer$"), resumable("outer"), resumable("inner"):
        raise KeyboardInterrupt


@BOTH
def test_the_first_signal_stops_and_the_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    calls: list[str] = []

    def work() -> None:
        with stopping(lambda: calls.append("stop")):
            os.kill(os.getpid(), number)
            calls.append("whole")
            os.kill(os.getpid(), number)
            calls.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert calls == ["stop", "whole"]
    assert signal.getsignal(number) is before


def test_torchrun_can_still_end_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    before = signal.getsignal(signal.SIGTERM)
    with resumable("that"):
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("how", "expected"), [("", ""), ("Go on with: that.", " Go on with: that.")])
def test_the_command_line_prints_one_line_and_ends_with_130(how: str, expected: str) -> None:
    code = (
        "from resight.commands import main\n"
        f"def interrupted(): raise KeyboardInterrupt({how!r})\n"
        "main.app = interrupted\n"
        "main.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, f"resight: interrupted.{expected}\n")

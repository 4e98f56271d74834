"""Processes that are to work together meet; Ctrl-C ends the wait for one that does not come."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from torch.distributed import TCPStore

CODE = """
from resight import processes
from resight.commands import main
processes.STORE_PATIENCE = processes.timedelta(seconds=1)
main.app = lambda: processes.together().__enter__()
print(flush=True)
main.run()
"""


def environment(rank: int, port: int) -> dict[str, str]:
    """Return what torchrun at the port tells one of two processes."""
    told = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    return os.environ | told | {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True"}


def start(rank: int, port: int) -> subprocess.Popen[str]:
    """Start one of two processes as torchrun at the port does; wait until it has imported what it needs."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(rank, port),
        # a shell ignores Ctrl-C in what it runs in the background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_ctrl_c_ends_the_wait_for_a_process_that_has_not_begun() -> None:
    torchruns = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    process = start(0, torchruns.port)
    deadline = time.monotonic() + 30
    while torchruns.num_keys() < 2 and time.monotonic() < deadline:  # connected, and said that it is there
        time.sleep(0.05)
    time.sleep(0.2)  # until it waits for the other
    try:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "resight: interrupted.\n")


def test_a_process_that_torchrun_has_left_does_not_join_those_of_another(tmp_path: Path) -> None:
    """Interrupted while it starts processes, torchrun ends and leaves those that it has started."""
    torchruns = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    said = tmp_path / "said"
    started = tmp_path / "started"
    code = CODE.replace("main.app =", f"open({str(started)!r}, 'w'); import time; time.sleep(1); main.app =")
    parent = "import subprocess, sys, pathlib, time\n"
    parent += f"subprocess.Popen([sys.executable, '-c', {code!r}], stderr=open({str(said)!r}, 'w'))\n"
    parent += f"while not pathlib.Path({str(started)!r}).exists(): time.sleep(0.02)\n"
    subprocess.run([sys.executable, "-c", parent], env=environment(0, torchruns.port), check=True, timeout=60)
    deadline = time.monotonic() + 10
    while not said.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert said.read_text() == "resight: torchrun, which started this process, has ended.\n"
    assert torchruns.num_keys() == 0


def test_a_process_ends_if_torchrun_has_ended_before() -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    process = start(1, port)
    try:
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1
    assert said.endswith("resight: torchrun, which started this process, has ended.\n")

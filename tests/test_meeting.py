"""Processes that are to work together meet; Ctrl-C ends the wait for one that does not come."""

import os
import signal
import socket
import subprocess
import sys
import time

from torch.distributed import TCPStore

CODE = """
from resight import processes
from resight.commands import main
processes.STORE_PATIENCE = processes.timedelta(seconds=1)
main.app = lambda: processes.together().__enter__()
print(flush=True)
main.run()
"""


def start(rank: int, port: int) -> subprocess.Popen[str]:
    """Start one of two processes as torchrun at the port does; wait until it has imported what it needs."""
    told = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    told |= {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | told,
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

"""Time and memory of what one process does, and the bare product to read them beside."""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def timed(into: dict[str, float], prefix: str, run: Callable[[], Any]) -> Any:
    """Run, and note the seconds."""
    start, cpu_start = time.perf_counter(), time.process_time()
    value = run()
    into[f"{prefix}seconds"] = time.perf_counter() - start
    into[f"{prefix}cpu_seconds"] = time.process_time() - cpu_start
    return value


def product(left: Any, right: Any) -> None:
    """Multiply the features: at once if the result fits well, else tile by tile."""
    import torch

    if len(left) * len(right) <= 2**29:
        torch.mm(left, right.T)
        return
    buffer = torch.empty(4096 * 16384)
    for rows in left.split(4096):
        for columns in right.split(16384):
            torch.mm(rows, columns.T, out=buffer[: len(rows) * len(columns)].view(len(rows), len(columns)))


class Sampled:
    """The largest value of a field of /proc/self/status while it is open, looked at every 2 ms."""

    def __init__(self, field: str) -> None:
        self.field, self.peak = field, 0.0

    def __enter__(self) -> "Sampled":
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.002):
            self.peak = max(self.peak, memory(self.field))


def memory(name: str) -> float:
    """Return a field of /proc/self/status in MB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6

"""A process that loads a model, embeds generated crops, and prints by how many megabytes it has grown."""

import resource
import signal
import sys
from pathlib import Path
from typing import Any

from resight.inference.embedder import Embedder
from resight.inference.loading import load_model
from resight.inference.runtimes.choice import BATCH, sample_crops

UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of ``ru_maxrss``."""


def main(model: str, device: str, precision: Any, runtime: Any, views: Any) -> None:
    """Measure; the arguments are those of ``Embedder``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    before = _most()
    embedder = Embedder(load_model(model), device=device, precision=precision, runtime=runtime, views=views)
    for count in (1, BATCH):
        embedder.compute(sample_crops(embedder.picture_size, count))
    print((_most() - before) / 1e6)


def _most() -> int:
    """Return the largest amount of memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux's ru_maxrss starts with that of the process that started this one
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


if __name__ == "__main__":
    main(*sys.argv[1:])

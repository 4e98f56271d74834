"""Trainings by several processes at once, as torchrun starts them; each process is forked from one program.

python shared_jobs.py '[{"ranks": 2, "data": ..., "folder": ..., "recipe": {...}, "resume": true}, ...]'
"""

import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.models.network import MODELS
from resight.models.representation import Representation
from resight.models.sona import SONA
from resight.models.trunk import TRUNKS, Trunk
from resight.models.trunks.resnet import HalfInstanceNorm
from resight.models.units import ConvUnit
from resight.training.reading import parse_recipe
from resight.training.trainer import train


@TRUNKS.register("small")
class SmallTrunk(Trunk):
    """Two layers, with instance and batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.strides = {"layer1": 8, "layer2": 16}, {"layer1": 2, "layer2": 4}
        self.layer1 = nn.Sequential(ConvUnit(3, 8, 3, 2), HalfInstanceNorm(8))
        self.layer2 = nn.Sequential(ConvUnit(8, 16, 3, 2), ConvUnit(16, 16))

    def stem(self, images: Tensor) -> Tensor:
        """Return the images."""
        return images


@MODELS.register("varied")
class Varied(SONA):
    """Drawn masks and dropped blocks, normalisation, two branches and maps; float64, to see past rounding."""

    variants: ClassVar = {}  # not SONA's

    def __init__(self, persons: int) -> None:
        super().__init__(
            persons,
            trunk={"name": "small"},
            attention={"layer1": {"name": "sharp", "context": False}},
            drop={"name": "dropblock", "side": 2},
            global_size=8,
            local_size=8,
            input_size=(32, 32),
        )
        self.double()
        self.passes = 0

    def forward(self, images: Tensor) -> Representation:
        """Process images; die in the pass that ``DIES`` names."""
        self.passes += self.training and images.device.type != "meta"
        if DIES and self.passes == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(images)


LIMIT = 240
"""Seconds after which a process is killed, so that none can wait for another for ever."""

DIES = 0
"""Number of the forward pass in which the process kills itself; 0 for never."""


def work(job: dict[str, Any], rank: int) -> None:
    """Train in one of a job's processes; the one that ``dies`` names is killed in its third pass."""
    torch.set_num_threads(1)
    globals()["DIES"] = 3 if job.get("dies") == rank else 0
    recipe = parse_recipe(job["recipe"], "recipe", fitting=False)
    benchmark = open_benchmark(Path(job["data"]), holdout=0)
    resume = job.get("resume", False)
    train(recipe, benchmark, job["folder"], device="cpu", resume=resume, log_steps=1, checkpoint_seconds=0)


def start(job: dict[str, Any], rank: int, port: int) -> int:
    """Fork a process of a job; return its number."""
    if child := os.fork():
        return child
    signal.alarm(LIMIT)
    sys.stderr = open(f"{job['folder']}.{rank}.txt", "a")  # noqa: SIM115
    told = {"RANK": rank, "WORLD_SIZE": job["ranks"], "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in told.items()}
    try:
        work(job, rank)
    except UserError as error:
        print(f"resight: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    """Do the jobs one after the other, and print the exit statuses of each."""
    for module in ("torch._dynamo", "torch.utils.tensorboard"):  # which they would import themselves
        importlib.import_module(module)
    statuses = []
    for job in json.loads(sys.argv[1]):
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        children = [start(job, rank, port) for rank in range(job["ranks"])]
        statuses.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    print(json.dumps(statuses))


if __name__ == "__main__":
    main()

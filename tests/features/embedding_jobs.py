"""A network and crops so small that embedding takes no time; as a script, embeddings to be killed.

The script's argument is a list of jobs, each a list of groups of processes that work together:
python embedding_jobs.py '[["DATA", "OUT", "--kill-at", "7"], ["DATA", "OUT", "--processes", "2"]]'
"""

import argparse
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import resight.features.decoder
import resight.features.embedding
from resight.errors import UserError
from resight.features.crop_list import crops_to_embed
from resight.features.embedding import embed_crops
from resight.image_files import read_file
from resight.inference.embedder import Embedder
from resight.models.network import MODELS, Network, Views, build_model
from resight.models.representation import Branch, Representation

BATCH, CHUNK = 4, 8


@MODELS.register("minute")
class Minute(Network):
    """A convolution, and two branches that differ in length."""

    def __init__(self, persons: int, *, views: Views = "one") -> None:
        super().__init__((16, 8), views)
        self.trunk = nn.Conv2d(3, 6, 3, 2)
        self.wider = nn.Linear(6, 10)

    def forward(self, images: Tensor) -> Representation:
        """Return the branches."""
        found = self.trunk(images).relu().mean((2, 3))
        return Representation({"global": Branch(found), "local": Branch(self.wider(found))})


def minute(seed: int = 0, views: Views = "one") -> Network:
    """Build the network."""
    torch.manual_seed(seed)
    return build_model("minute", 3, views=views)


def draw_pictures(folder: Path, names: list[str]) -> list[Path]:
    """Write pictures of noise, all different, of several kinds and sizes."""
    generator = np.random.default_rng(len(names))
    paths = [folder / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (20 + number % 3, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def job(arguments: list[str]) -> None:
    """Embed once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of each process's network")
    parser.add_argument("--kill-at", type=int, default=0, help="of the files that take or lose their names")
    parser.add_argument("--disk", type=int, help="size in bytes of the largest file that can be written")
    parser.add_argument("--log", type=Path, help="file to write each crop into that is read")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.disk is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.disk, options.disk))
    resight.features.embedding.CHUNK = CHUNK
    if options.log is not None:
        log_reading(options.log)
    if options.kill_at:
        kill_at(options.kill_at)
    seed = options.seeds[int(os.environ.get("RANK", "0")) % len(options.seeds)]
    embedder = Embedder(minute(seed), batch_size=BATCH, device="cpu", precision="float32")
    embed_crops(embedder, crops_to_embed(options.data), options.out)


def log_reading(file: Path) -> None:
    """Write down each path that is read, whatever becomes of the process."""

    def logged(path: Path) -> bytes:
        with file.open("a") as stream:
            stream.write(f"{path.name}\n")
        return read_file(path)

    resight.features.decoder.read_file = logged  # type: ignore[attr-defined]


def kill_at(number: int) -> None:
    """Make the process kill itself as a file takes its name, or is deleted, for the n-th time."""
    left = [number]

    def deadly(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(*arguments, **named)

        return run

    Path.replace = deadly(Path.replace)  # type: ignore[method-assign]
    Path.unlink = deadly(Path.unlink)  # type: ignore[method-assign]


def main() -> None:
    """Run each job in processes of its own, and print how each process ended.

    They are forked from here, before any tensor is made, because importing PyTorch takes longer than they do.
    """
    statuses = []
    for arguments in json.loads(sys.argv[1]):
        count = int(arguments[arguments.index("--processes") + 1]) if "--processes" in arguments else 1
        port = free_port()
        children = [start(arguments, rank, count, port) for rank in range(count)]
        statuses.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    print(json.dumps(statuses))


def start(arguments: list[str], rank: int, count: int, port: int) -> int:
    """Fork a process as torchrun would start it; return its number."""
    if child := os.fork():
        return child
    if count > 1:
        told = {"RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in told.items()}
    try:
        job(arguments)
    except UserError as error:
        print(f"resight: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()

"""A network, a recipe and crops so small that a run takes a second; as a script, trainings to be killed.

The script's argument is a list of trainings: python tiny.py '[["DATA", "RUN"], ["DATA", "RUN", "--resume"]]'
"""

import argparse
import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.models.network import MODELS, Network
from resight.models.representation import Branch, Representation
from resight.training.reading import parse_recipe
from resight.training.recipe import Recipe
from resight.training.trainer import train

KILL_AT = 0
"""Number of the forward pass at which the process kills itself; 0 for never."""


@MODELS.register("tiny")
class Tiny(Network):
    """A convolution, batch normalisation and dropout: weights, running statistics and chance."""

    def __init__(self, persons: int) -> None:
        super().__init__((16, 8))
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3))
        self.classifier = nn.Linear(8, persons)
        self.passes = 0

    def forward(self, images: Tensor) -> Representation:
        """Return one branch; die at the pass that ``KILL_AT`` names."""
        self.passes += self.training and images.device.type != "meta"
        if KILL_AT and self.passes == KILL_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        embedding = self.trunk(images).mean((2, 3))
        return Representation({"global": Branch(embedding, self.classifier(embedding))})


def make_crops(root: Path, persons: int = 7, test_persons: int = 0, seed: int = 0) -> Path:
    """Draw 2 cameras x 3 crops of each person in Market-1501 layout: each person has a colour."""
    generator = np.random.default_rng(seed)
    train_folder = root / "bounding_box_train"
    for person in range(1, persons + test_persons + 1):
        colour = generator.integers(0, 256, 3)
        for camera in (1, 2):
            for crop in range(3):
                folder = train_folder
                if person > persons:
                    folder = root / ("query" if crop == 0 else "bounding_box_test")
                folder.mkdir(parents=True, exist_ok=True)
                noise = generator.normal(0, 25, (32, 16, 3))
                pixels = np.clip(colour + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{person:04d}_c{camera}s1_{crop:06d}_00.png")
    return root


def tiny_recipe(**changes: Any) -> Recipe:
    """Return a recipe of two stages, 5 epochs, with everything that has a state."""
    first = {
        "name": "warm",
        "epochs": 3,
        "sampler": {"name": "random", "batch_size": 8},
        "augment": [{"name": "mirror"}, {"name": "random-erasing"}],
        "objective": [{"term": "cross-entropy", "label_smoothing": 0.1}],
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4},
        "schedule": [{"name": "warm-up", "epochs": 1}, {"name": "cosine"}],
        "clip_gradient": 1.0,
    }
    second = first | {
        "name": "main",
        "epochs": 2,
        "sampler": {"name": "pk", "persons": 4, "crops": 2, "epoch": "crops"},
        "optimizer": {"name": "adamw", "lr": 0.01},
        "schedule": {"name": "one-cycle"},
    }
    content = {"name": "tiny", "model": {"name": "tiny"}, "stages": [first, second], "ema": 0.9, **changes}
    return parse_recipe(content, "tiny recipe")


def train_as_told(arguments: list[str]) -> None:
    """Train once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--kill-at", type=int, default=0)
    parser.add_argument("--disk", type=int, help="size in bytes of the largest file that can be written")
    options = parser.parse_args(arguments)
    globals()["KILL_AT"] = options.kill_at
    torch.set_num_threads(1)
    if options.disk is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.disk, options.disk))
    recipe = tiny_recipe(precision=options.precision)
    benchmark = open_benchmark(options.data, holdout=0)
    train(
        recipe,
        benchmark,
        options.folder,
        device="cpu",
        resume=options.resume,
        log_steps=2,
        checkpoint_seconds=0,
    )


def main() -> None:
    """Run each training in a process of its own, and print how each ended.

    They are forked from here, before any tensor is made, because importing PyTorch takes longer than they do.
    """
    for module in ("torch._dynamo", "torch.utils.tensorboard"):  # which they would import themselves
        importlib.import_module(module)
    statuses = []
    for arguments in json.loads(sys.argv[1]):
        if (child := os.fork()) == 0:
            try:
                train_as_told(arguments)
            except UserError as error:
                print(f"resight: {error}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(statuses))


if __name__ == "__main__":
    main()

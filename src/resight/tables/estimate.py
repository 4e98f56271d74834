"""How long a plan takes and how much disk it needs, before it runs."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from resight.data.examples import cameras_of, labels_of
from resight.data.samplers import SAMPLERS
from resight.device import autocast, resolve_device
from resight.errors import UserError
from resight.models.complexity import measure
from resight.models.network import build_model
from resight.tables.jobs import Job
from resight.training.fitting import bare_model
from resight.training.recipe import Recipe

BATCH = 8
COPIES = 5
"""Tensors on the disk for each parameter: weights, and a checkpoint with two moments and an average."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the missing runs need.

    Attributes:
        seconds: of training, one run after the other; without decoding pictures and testing.
        disk: bytes of their folders.
        free: bytes free where they will be.
    """

    seconds: float
    disk: int
    free: int

    def check(self, out: Path) -> None:
        """Refuse too little space.

        Raises:
            UserError: the runs need more than is free.
        """
        if self.disk > self.free:
            raise UserError(
                f"The runs need about {self.disk / 1e9:.1f} GB in {out}, where {self.free / 1e9:.1f} GB are "
                "free. Free some space, choose another folder with --out, or run fewer --rows."
            )


def estimate(jobs: Sequence[Job], device: str, out: Path) -> Needs:
    """Needs what jobs need that are not finished.

    The time of a training step is measured once for each kind of network, on a few made-up crops, and scaled
    by multiply-adds.

    Args:
        jobs: not finished; of an interrupted one, the whole time is counted.
        device: name of the device to train on.
        out: folder of the runs.
    """
    pace: dict[str, float] = {}
    seconds, disk = 0.0, 0
    for job in jobs:
        cost = measure(bare_model(job.recipe.model))
        kind = json.dumps([job.recipe.model.name, job.recipe.model.settings.get("trunk")])
        if kind not in pace:
            pace[kind] = _seconds_of_a_crop(job.recipe, resolve_device(device)) / cost.multiply_adds
        seconds += pace[kind] * cost.multiply_adds * _crops(job)
        disk += 4 * COPIES * cost.parameters
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    return Needs(seconds, disk, shutil.disk_usage(there).free)


def _crops(job: Job) -> int:
    """Return how many crops a training processes."""
    data, seed = job.trained.data, job.recipe.seed
    known = labels_of(data), seed, cameras_of(data)
    samplers = (
        (SAMPLERS.build(stage.sampler.name, *known, **stage.sampler.settings), stage.epochs)
        for stage in job.recipe.stages
    )
    return sum(epochs * sum(map(len, sampler.batches(0))) for sampler, epochs in samplers)


def _seconds_of_a_crop(recipe: Recipe, device: torch.device) -> float:
    """Return the time of a forward and a backward pass, divided by the number of crops; the second one's."""
    model = build_model(recipe.model.name, 2, **recipe.model.settings).to(device).train()
    images = torch.rand(BATCH, 3, *model.input_size, device=device)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        with autocast(device, recipe.precision):
            branches = model(images).branches.values()
        total = sum(
            (branch.embedding.float().square().sum() for branch in branches), torch.zeros(()).to(device)
        )
        total.backward()
        total.item()  # waits for a GPU
        seconds = time.perf_counter() - start
    return seconds / BATCH

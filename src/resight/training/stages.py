"""A recipe's stages, combined with a model and data, and the position of a step in them."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Optimizer

from resight.data.augment import AUGMENTATIONS
from resight.data.examples import Examples
from resight.data.loader import Loader
from resight.data.samplers import SAMPLERS, Sampler
from resight.draws import Part
from resight.errors import UserError
from resight.losses.objective import Objective
from resight.models.complexity import example
from resight.models.network import Network
from resight.processes import Processes
from resight.seeds import derive_seed
from resight.training.optimizers import OPTIMIZERS
from resight.training.recipe import Recipe, Stage
from resight.training.schedules import SCHEDULES, Point, Schedule, factor_at

DRAWN = 1000
"""Batches for estimating the share without a positive pair."""


@dataclass(frozen=True)
class Phase:
    """A stage that is ready to run.

    Attributes:
        stage: its recipe.
        loader: its batches.
        objective: on the device.
        schedules: their factors are multiplied.
        first_step, first_epoch: where it begins, in the run's steps and epochs, counted from 0.
    """

    stage: Stage
    loader: Loader
    objective: Objective
    schedules: tuple[Schedule, ...]
    first_step: int
    first_epoch: int

    @property
    def end_step(self) -> int:
        """The run's first step after the stage."""
        return self.first_step + len(self.loader) * self.stage.epochs

    def point(self, step: int) -> Point:
        """Return the position of a step of the run in this stage."""
        return Point(step - self.first_step, len(self.loader), self.stage.epochs)

    def crops_before(self, step: int) -> int:
        """Return the number of crops of this stage before a step of the run."""
        sizes = self.loader.batch_sizes
        steps = min(max(step, self.first_step), self.end_step) - self.first_step
        epochs, rest = divmod(steps, len(sizes))
        return epochs * sum(sizes) + sum(sizes[:rest])

    def optimizer(self, model: Network) -> Optimizer:
        """Make the stage's optimiser for the model's and the objective's parameters."""
        chosen = self.stage.optimizer
        return OPTIMIZERS.build(
            chosen.name, [*model.parameters(), *self.objective.parameters()], **chosen.settings
        )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        return float(self.stage.optimizer.settings["lr"]) * factor_at(self.schedules, self.point(step))

    def adjust(self, optimizer: Optimizer, step: int) -> None:
        """Set the learning rate of a step, and Adam's betas where they change."""
        settings = self.stage.optimizer.settings
        for group in optimizer.param_groups:
            group["lr"] = self.rate(step)
            if settings.get("late_betas") is not None:
                late = self.point(step).time >= settings["late_from"]
                group["betas"] = tuple(settings["late_betas" if late else "betas"])


def check_sampler(
    recipe: Recipe, labels: NDArray[np.int64], cameras: NDArray[np.int64] | None = None, processes: int = 1
) -> None:
    """Refuse data from which a sampler cannot make batches, without reading any picture.

    Args:
        recipe: of the run.
        labels: int64 [N], person or class of each training picture.
        cameras: int64 [N], -1 where it is not known; None if none is.
        processes: that share each batch.

    Raises:
        UserError: there are too few, or a random sampler is used with terms that need two crops of a person;
            batches cannot be divided among the processes.
    """
    for number, stage in enumerate(recipe.stages):
        sampler = SAMPLERS.build(stage.sampler.name, labels, recipe.seed, cameras, **stage.sampler.settings)
        _refuse_parts(number, stage, sampler, processes)
        needy = [name for name, weight, term in stage.terms() if weight and term.needs_positives]
        if needy and stage.sampler.name == "random":
            batches, crops = _without_positives(sampler, labels)
            raise UserError(
                f"stages.{number}.sampler: {' and '.join(map(repr, needy))} can only learn from crops whose "
                "person has another crop in the batch. Of random batches of "
                f"{stage.sampler.settings['batch_size']} from these data, {batches:.0%} have no such crop, "
                f"and {crops:.0%} of all crops have no such partner. Use P x K batches: "
                "{name: pk, persons: 8, crops: 4, epoch: crops}."
            )


def _refuse_parts(number: int, stage: Stage, sampler: Sampler, processes: int) -> None:
    """Refuse batches that have no equal parts of two crops or more; those of P x K have whole persons."""
    divisor, settings = processes * stage.accumulate, stage.sampler.settings
    unit, each = ("persons", settings["crops"]) if stage.sampler.name == "pk" else ("crops", 1)
    counts = [len(batch) // each for batch in sampler.batches(0)]
    uneven = next((count for count in counts if count % divisor), None)
    if uneven is None:
        needy = unit == "crops" or any(weight and term.needs_positives for _, weight, term in stage.terms())
        if stage.accumulate > 1 and needy and min(counts) // stage.accumulate < 2:
            raise UserError(
                f"stages.{number}.accumulate: a part of a batch would have one of its {min(counts)} {unit}, "
                f"and there is nothing to compare it with. Set it to {max(1, min(counts) // 2)} or less; got "
                f"{stage.accumulate}."
            )
        return
    if uneven == counts[0]:
        key = "persons" if unit == "persons" else "batch_size"
        remedy = f"Set {key} to a multiple of {divisor}, or change the number of processes or accumulate."
    else:
        remedy = (
            f"It is the last of an epoch: leave it out with --set stages.{number}.sampler.drop_last=true."
        )
    raise UserError(
        f"stages.{number}.sampler: a batch of {uneven} {unit} cannot be divided into {divisor} equal parts "
        f"(processes: {processes}, accumulate: {stage.accumulate}). {remedy}"
    )


def _without_positives(sampler: Sampler, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Estimate, from a thousand batches, the share of batches and of crops without a positive pair."""
    batches: list[NDArray[np.int64]] = []
    while len(batches) < DRAWN:
        batches += sampler.batches(len(batches))
    counts = [np.unique(labels[batch], return_counts=True)[1] for batch in batches]
    alone = sum(int((count == 1).sum()) for count in counts) / sum(map(len, batches))
    return sum(bool((count == 1).all()) for count in counts) / len(counts), alone


def make_phases(
    recipe: Recipe,
    model: Network,
    examples: Examples,
    device: torch.device,
    processes: Processes,
) -> list[Phase]:
    """Build every stage before training, so that parts that do not fit are found now.

    Args:
        recipe: of the run.
        model: its network.
        examples: the training pictures.
        device: where to train.
        processes: that share each batch.

    Raises:
        UserError: the model does not produce a term's inputs, or there are too few data for a sampler.
    """
    shapes = example(model)
    classes = examples.classes
    phases: list[Phase] = []
    taken: NDArray[np.int64] | None = None
    first_step = first_epoch = 0
    for number, stage in enumerate(recipe.stages):
        sampler = SAMPLERS.build(
            stage.sampler.name, classes, recipe.seed, examples.cameras, **stage.sampler.settings
        )
        augmentations = [AUGMENTATIONS.build(item.name, **item.settings) for item in stage.augment]
        torch.manual_seed(derive_seed(recipe.seed, "objective", number))
        parts = [
            Part(turn * processes.count + processes.rank, stage.accumulate * processes.count)
            for turn in range(stage.accumulate)
        ]
        phase = Phase(
            stage,
            Loader(
                examples.pixels,
                classes,
                sampler,
                augmentations,
                device,
                recipe.seed,
                examples.aspects,
                parts,
                taken,
                first_epoch,
            ),
            Objective(deepcopy(stage.terms()), shapes, examples.number).to(device),
            tuple(SCHEDULES.build(item.name, **item.settings) for item in stage.schedule),
            first_step,
            first_epoch,
        )
        phases.append(phase)
        if not isinstance(examples.pixels, np.ndarray):
            taken = phase.loader.taken_before(first_epoch + stage.epochs)
        first_step, first_epoch = phase.end_step, first_epoch + stage.epochs
    return phases


def phase_at(phases: Sequence[Phase], step: int) -> Phase:
    """Return the phase of a step of the run."""
    return next(phase for phase in phases if step < phase.end_step)

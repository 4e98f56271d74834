"""The loop of training steps, with checks of the loss, logging and checkpoints; resumable after a kill."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from resight.data.examples import Examples
from resight.data.loader import Batch
from resight.device import autocast, seed_draws
from resight.draws import drawing_for
from resight.errors import UserError
from resight.interruption import interruptible, resumable, stopping
from resight.models.network import Network
from resight.processes import Processes
from resight.progress import Bar, say
from resight.seeds import derive_seed
from resight.training.averaging import Average
from resight.training.checkpoint import CHECKPOINT, FORMAT, State, load_checkpoint, save_checkpoint
from resight.training.comparing import differences, what_counts
from resight.training.fitting import untrained
from resight.training.metrics import MetricsLog
from resight.training.recipe import Recipe
from resight.training.run import how_to_resume
from resight.training.sharing import shared
from resight.training.stages import Phase, phase_at

NAMED = 8
"""Crops of a batch to name in an error message; the log names all."""


class Loop:
    """A run in progress: everything that changes from step to step.

    Args:
        recipe: of the run.
        phases: its stages, built.
        model: on the device.
        examples: the training data; their names are for messages, their identity is stored in checkpoints.
        folder: of the run.
        device: where the model is.
        processes: that train together; the first one logs, evaluates and writes checkpoints.
        log_steps: steps between two checks of the loss; each check waits for a GPU.
        checkpoint_seconds: longest time between two checkpoints.

    Attributes:
        labels: int64 [N], pseudo-labels of the examples in this epoch, if the run makes its own.
    """

    def __init__(
        self,
        recipe: Recipe,
        phases: Sequence[Phase],
        model: Network,
        examples: Examples,
        folder: Path,
        device: torch.device,
        processes: Processes,
        log_steps: int,
        checkpoint_seconds: float,
    ) -> None:
        self.recipe, self.phases, self.model, self.examples = recipe, phases, model, examples
        self.processes = processes
        self.log: MetricsLog | None = None
        self.folder, self.device, self.log_steps, self.checkpoint_seconds = (
            folder,
            device,
            log_steps,
            checkpoint_seconds,
        )
        self.average = Average(model, recipe.ema) if recipe.ema is not None else None
        self.labels: Tensor | None = None
        self.steps = phases[-1].end_step
        self.step = 0
        self.seconds = 0.0
        self._enter(phases[0])
        self._sums: dict[str, Any] = {}
        self._clear_sums()
        self._window: list[Tensor] = []

    @property
    def best(self) -> Network:
        """The model to evaluate and save: the average, if the recipe has one."""
        return self.model if self.average is None else self.average.model

    @property
    def checkpoint(self) -> Path:
        """The path of the last checkpoint."""
        return self.folder / CHECKPOINT

    def restore(self) -> None:
        """Go back to the last checkpoint.

        Raises:
            UserError: it is damaged, or of another recipe, data or version; the message says what differs.
        """
        state = load_checkpoint(self.checkpoint)
        self._refuse_changes(state)
        self.step, self.seconds, self._sums = state["step"], state["seconds"], state["sums"]
        self.model.load_state_dict(state["model"])
        if self.average is not None and state["average"] is not None:
            self.average.model.load_state_dict(state["average"])
        if self.step < self.steps:
            self._enter(phase_at(self.phases, self.step))
            if self.step > self.phase.first_step:  # else the state is of the stage before
                self.phase.objective.load_state_dict(state["objective"])
                try:
                    self.optimizer.load_state_dict(state["optimizer"])
                except ValueError as error:
                    raise UserError(
                        f"{self.checkpoint} is of another version of Resight, whose optimiser groups the "
                        "parameters otherwise. Begin a new run, with another --out."
                    ) from error

    def run(self, evaluate: Callable[[Network], dict[str, Any]] | None) -> None:
        """Train to the end.

        Args:
            evaluate: called every ``evaluate_every`` epochs, but not at the end; its result is logged. None
                if nothing can be evaluated.

        Raises:
            UserError: the loss is not finite, the disk is full, or another process has stopped.
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once a checkpoint is written.
        """
        interrupted = threading.Event()

        def stop() -> None:
            interrupted.set()
            say("Finishing this step and writing a checkpoint; press Ctrl-C again to stop without.")

        crops, done = (
            sum(phase.crops_before(step) for phase in self.phases) for step in (self.steps, self.step)
        )
        with (
            resumable(how_to_resume(self.folder)),
            MetricsLog(self.folder, self.step) if self.processes.rank == 0 else nullcontext() as self.log,
            self.processes.user_errors(),
            stopping(stop),
            Bar(f"Training {self.recipe.name} (crops)", crops, done) as self.bar,
        ):
            while self._begin_epoch():
                if evaluate is not None and self.log is not None:
                    with interruptible():  # nothing is lost: there is a checkpoint
                        self._evaluate_if_due(evaluate, self.log)
                self._epoch(interrupted)

    def _begin_epoch(self) -> bool:
        """Enter the stage of the next epoch; return False if there is none."""
        if self.step < self.steps and (phase := phase_at(self.phases, self.step)) is not self.phase:
            self._enter(phase)
        return self.step < self.steps

    def _enter(self, phase: Phase) -> None:
        self.phase, self.optimizer = phase, phase.optimizer(self.model)
        self._trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self._shared: DistributedDataParallel | None = None
        if self.processes.count > 1:
            self._shared = shared(self.model, untrained(self.recipe.model, phase.stage))

    def _epoch(self, interrupted: threading.Event) -> None:
        """Train to the end of the current epoch."""
        point = self.phase.point(self.step)
        epoch_end = self.step - point.step + (point.epoch + 1) * point.steps_per_epoch
        self._mark = self._saved = time.monotonic()
        self.model.train()
        self.model.begin_epoch(self.phase.first_epoch + point.epoch)
        start = point.step % point.steps_per_epoch
        batches = self.phase.loader.epoch(self.phase.first_epoch + point.epoch, start)
        while parts := list(islice(batches, self.phase.stage.accumulate)):
            self._window.append(self._train(parts))
            self.step += 1
            self.bar.advance(self._crops(1))
            ended, stopped = self.step == epoch_end, self.processes.any(interrupted.is_set())
            if ended or self.step % self.log_steps == 0 or stopped:
                self._look()
                if ended:
                    self._log_epoch()
                if ended or stopped or time.monotonic() - self._saved > self.checkpoint_seconds:
                    self._save()
            # or while an epoch's last checkpoint was written: no step may follow
            if stopped or (ended and self.processes.any(interrupted.is_set())):
                raise KeyboardInterrupt

    def _crops(self, steps: int) -> int:
        """Return the number of crops in the last steps."""
        return self.phase.crops_before(self.step) - self.phase.crops_before(self.step - steps)

    def _train(self, parts: Sequence[Batch]) -> Tensor:
        """Do one step with the parts of a batch; return the loss and each term, float32 [1 + terms]."""
        self.phase.adjust(self.optimizer, self.step)
        self.optimizer.zero_grad()
        found = []
        for batch in parts:
            with self._without_averaging() if batch is not parts[-1] else nullcontext():
                found.append(self._gradient(batch, len(parts)))
        if self.phase.stage.clip_gradient is not None:
            clip_grad_norm_(self._trained, self.phase.stage.clip_gradient)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.step)
        return torch.stack(found).mean(0)

    def _gradient(self, batch: Batch, parts: int) -> Tensor:
        """Add the gradient of one part of a batch; return the loss and each term."""
        model = self.model if self._shared is None else self._shared
        seed_draws(self.device, derive_seed(self.recipe.seed, "step", self.step))  # as for the whole batch
        with drawing_for(batch.part), autocast(self.device, self.recipe.precision):
            representation = model(self.model.normalise(batch.images))
        loss, terms = self.phase.objective(representation, batch.persons)
        (loss / parts).backward()
        return torch.stack([loss.detach(), *terms.values()])

    def _without_averaging(self) -> AbstractContextManager[None]:
        """Return the context for parts of a batch after which the processes do not exchange gradients yet."""
        return nullcontext() if self._shared is None else self._shared.no_sync()

    def _look(self) -> None:
        """Wait for the steps since the last check, check their losses and log their means."""
        values = torch.stack(self._window).double().cpu()
        if not values.isfinite().all():
            self._stop(values)
        now = time.monotonic()
        crops, seconds = self._crops(len(values)), now - self._mark
        sums, steps = values.sum(0).tolist(), len(values)
        self._window, self._mark = [], now
        self.seconds += seconds
        self._log("steps", [value / steps for value in sums], crops / seconds)
        self._sums["steps"] += steps
        self._sums["crops"] += crops
        self._sums["seconds"] += seconds
        self._sums["values"] = [
            a + b for a, b in zip(self._sums["values"] or [0.0] * len(sums), sums, strict=True)
        ]
        self.bar.advance(0, f"epoch {self._epoch_number()}/{self.recipe.epochs} loss {sums[0] / steps:.3f}")

    def _log_epoch(self) -> None:
        means = [value / self._sums["steps"] for value in self._sums["values"]]
        self._log("epoch", means, self._sums["crops"] / self._sums["seconds"])
        self._clear_sums()

    def _log(self, kind: str, means: Sequence[float], crops_per_second: float) -> None:
        if self.log is None:
            return
        self.log.write(
            kind,
            self.step,
            epoch=self._epoch_number(),
            stage=self.phase.stage.name,
            loss=means[0],
            terms=dict(zip(self.phase.objective.names, means[1:], strict=True)),
            lr=self.phase.rate(self.step - 1),
            crops_per_second=round(crops_per_second, 1),
        )

    def _epoch_number(self) -> int:
        """Return the epoch of the last step, counted over the whole run from 1."""
        return self.phase.first_epoch + self.phase.point(self.step - 1).epoch + 1

    def _clear_sums(self) -> None:
        self._sums = {"steps": 0, "crops": 0, "seconds": 0.0, "values": None}

    def _stop(self, values: Tensor) -> None:
        """Raise an error for a loss that is not finite."""
        if self.log is None:
            raise UserError("The loss is not finite; see the message of the first process.")
        bad = int((~values.isfinite().all(1)).nonzero()[0, 0])
        step = self.step - len(values) + bad
        names = ("loss", *self.phase.objective.names)
        losses = {name: f"{value:g}" for name, value in zip(names, values[bad].tolist(), strict=True)}
        point = self.phase.point(step)
        batches = self.phase.loader.sampler.batches(self.phase.first_epoch + point.epoch)
        paths = [self.examples.names[item] for item in batches[point.step % point.steps_per_epoch]]
        self.log.write(
            "stopped", self.step, epoch=self._epoch_number(), bad_step=step + 1, losses=losses, crops=paths
        )
        more = f" and {len(paths) - NAMED} more, all named in {self.log.path}" if len(paths) > NAMED else ""
        found = ", ".join(f"{name} {value}" for name, value in losses.items())
        kept = "The last checkpoint is unharmed. " if self.checkpoint.exists() else ""
        raise UserError(
            f"The loss is not finite at step {step + 1}: {found}. "
            f"The batch's crops: {', '.join(paths[:NAMED])}{more}. {kept}"
            "Check these crops; if they are fine, lower the learning rate, set clip_gradient or use "
            "precision=float32."
        )

    def _evaluate_if_due(self, evaluate: Callable[[Network], dict[str, Any]], log: MetricsLog) -> None:
        """Evaluate between two epochs, also if a run was killed at that point."""
        every, point = self.recipe.evaluate_every, self.phase.point(self.step)
        epochs = self.phase.first_epoch + point.epoch
        due = every and epochs and epochs % every == 0 and point.step % point.steps_per_epoch == 0
        if due and not log.has("evaluation", self.step):
            log.write("evaluation", self.step, epoch=epochs, **evaluate(self.best))

    def _save(self) -> None:
        if self.processes.rank != 0:
            return
        state = State(
            format=FORMAT,
            step=self.step,
            recipe=self.recipe.as_dict(),
            data=self.examples.identity,
            model=self.model.state_dict(),
            average=None if self.average is None else self.average.model.state_dict(),
            objective=self.phase.objective.state_dict(),
            optimizer=self.optimizer.state_dict(),
            sums=self._sums,
            seconds=self.seconds,
            labels=self.labels,
        )
        save_checkpoint(state, self.checkpoint)
        self._mark = self._saved = time.monotonic()

    def _refuse_changes(self, state: State) -> None:
        changed = differences(what_counts(state["recipe"]), what_counts(self.recipe.as_dict()))
        changed |= differences(state["data"], self.examples.identity, "data.")
        if changed:
            raise UserError(
                f"The run {self.folder} cannot be resumed, because these differ:\n"
                + "\n".join(
                    f"  {place}: {old!r} in the run, {new!r} now" for place, (old, new) in changed.items()
                )
                + "\nResume with the original recipe and data, or begin a new run in another folder."
            )

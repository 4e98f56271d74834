"""Learning-rate schedules: functions of the progress of a stage, without state.

A schedule is built from its settings and called with a ``Point``; it returns the factor of the optimiser's
``lr``. Several schedules of one stage are multiplied, so warm-up combines with any other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from resight.errors import UserError
from resight.registry import Registry


@dataclass(frozen=True, slots=True)
class Point:
    """A point in a stage of training.

    Attributes:
        step: steps of the stage before this one, 0 or more.
        steps_per_epoch: steps of one epoch.
        epochs: epochs of the stage.
    """

    step: int
    steps_per_epoch: int
    epochs: int

    @property
    def epoch(self) -> int:
        """Number of the current epoch, counted from 0."""
        return self.step // self.steps_per_epoch

    @property
    def time(self) -> float:
        """Epochs done, with the fraction of the current one."""
        return self.step / self.steps_per_epoch

    @property
    def share(self) -> float:
        """Share of the stage that is done, 0 at the first step and below 1 at the last."""
        return self.step / (self.steps_per_epoch * self.epochs)


Schedule = Callable[[Point], float]
SCHEDULES: Registry[Schedule] = Registry("schedule", "resight.training")

Factor = Annotated[float, Field(gt=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def factor_at(schedules: tuple[Schedule, ...], point: Point) -> float:
    """Return the product of the schedules' factors at the point (1 without any)."""
    return math.prod(schedule(point) for schedule in schedules)


@SCHEDULES.register("constant")
def constant() -> Schedule:
    """Always 1."""
    return lambda point: 1.0


@SCHEDULES.register("step")
def step(*, every: Annotated[int, Field(ge=1)], factor: Factor = 0.1) -> Schedule:
    """``factor ** floor(epoch / every)``."""
    return lambda point: factor ** (point.epoch // every)


@SCHEDULES.register("multi-step")
def multi_step(*, epochs: tuple[Annotated[int, Field(ge=1)], ...], factor: Factor = 0.1) -> Schedule:
    """``factor ** n``, where n is the number of listed epochs that have passed."""
    return lambda point: factor ** sum(point.epoch >= milestone for milestone in epochs)


@SCHEDULES.register("warm-up")
def warm_up(
    *,
    epochs: Annotated[float, Field(gt=0)],
    start: Fraction = 0.01,
    every: Annotated[int, Field(ge=1)] | None = None,
) -> Schedule:
    """Linear, step by step, from ``start`` at the first step to 1 after ``epochs``; then 1.

    With ``every``, in steps of this many epochs: each has the value of the line at its start.
    """

    def factor(point: Point) -> float:
        time = point.time if every is None else point.epoch // every * every
        return start + (1 - start) * min(1.0, time / epochs)

    return factor


@SCHEDULES.register("cosine")
def cosine(*, end: Fraction = 0.0) -> Schedule:
    """``end + (1 - end) (1 + cos(pi share)) / 2``: half a cosine over the stage, step by step."""
    return lambda point: _glide(1.0, end, point.share)


@SCHEDULES.register("one-cycle")
def one_cycle(*, rise: Factor = 0.3, start: Fraction = 0.04, end: Fraction = 0.0) -> Schedule:
    """Half a cosine from ``start`` to 1 over the share ``rise`` of the stage, then another down to ``end``.

    Step by step; after Smith and Topin 2018, without the cycling of momentum.
    """

    def factor(point: Point) -> float:
        if point.share < rise:
            return _glide(start, 1.0, point.share / rise)
        return _glide(1.0, end, (point.share - rise) / (1 - rise))

    return factor


@SCHEDULES.register("exponential")
def exponential(
    *,
    after: Annotated[float, Field(ge=0)],
    until: Annotated[float, Field(gt=0)] | None = None,
    factor: Factor = 0.001,
) -> Schedule:
    """``factor ** ((t - after) / (until - after))`` once t > ``after``, t in epochs, step by step.

    TriNet's schedule (Hermans et al. 2017, Eq. 9), which Sharp attention and the support neighbor loss use.

    Args:
        after: epoch up to which the rate is constant.
        until: epoch at which the factor reaches ``factor``; the stage's last by default.
        factor: of the rate at ``until``.

    Raises:
        UserError: ``until`` is not later than ``after``.
    """
    if until is not None and until <= after:
        raise UserError(f"'until' must be later than 'after'; got until {until:g} and after {after:g}.")

    def value(point: Point) -> float:
        span = (point.epochs if until is None else until) - after
        return factor ** ((point.time - after) / span) if point.time > after else 1.0

    return value


def _glide(start: float, end: float, share: float) -> float:
    """Go from start to end along half a cosine as share goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

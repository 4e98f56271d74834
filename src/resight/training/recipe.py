"""Recipes as typed data; ``training.reading`` reads them from YAML and checks them."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import yaml
from pydantic import Field, field_validator

from resight.device import Precision
from resight.errors import UserError
from resight.losses.term import Term
from resight.registry import Settings
from resight.training.components import (
    Augmentation,
    Model,
    ObjectiveTerm,
    Optimizer,
    Sampler,
    Schedules,
)


class Stage(Settings):
    """A phase of training with its own objective, optimiser and schedule.

    Attributes:
        name: shown in messages and logs.
        epochs: number of passes of the sampler.
        sampler: chooses the crops of each batch.
        augment: augmentations, in order.
        objective: the terms; their weighted sum is minimised.
        optimizer: created at the stage's start.
        schedule: one, or several that are multiplied; constant if there is none.
        clip_gradient: largest L2 norm of the whole gradient, or None.
        accumulate: parts into which a batch is divided, to need less memory: their gradients are averaged.
            Batch normalisation and terms that compare crops see one part at a time.
    """

    name: Annotated[str, Field(min_length=1)] = "main"
    epochs: Annotated[int, Field(ge=1)]
    sampler: Sampler
    augment: tuple[Augmentation, ...] = ()
    objective: tuple[ObjectiveTerm, ...]
    optimizer: Optimizer
    schedule: Schedules = ()
    clip_gradient: Annotated[float, Field(gt=0)] | None = None
    accumulate: Annotated[int, Field(ge=1)] = 1

    def terms(self) -> list[tuple[str, float, Term]]:
        """Return the terms of the objective, each after its name and weight; always the same ones."""
        return [(item.name, item.weight, item.built) for item in self.objective]

    @field_validator("objective")
    @classmethod
    def _names_differ(cls, terms: tuple[ObjectiveTerm, ...]) -> tuple[ObjectiveTerm, ...]:
        _check_names([term.name for term in terms], "term")
        return terms


class Labelling(Settings):
    """How ``resight adapt`` makes pseudo-labels before each epoch.

    Attributes:
        neighbours, averaged: k1 and k2 of the k-reciprocal neighbours in one camera.
        within: largest Jaccard distance between two neighbours in a cluster.
        crops: fewest crops within this distance of a core crop, itself included.
        rivals: clusters of a camera whose similarity to a cluster of another one is subtracted, as a mean.
        alike: most that crops to adapt to may be alike: 0 is as drawn crops of two persons are, 1 as those of
            one (see ``unusable.Likeness``).
        patience: epochs without a better internal measure after which the adaptation stops.
        adapt_statistics: compare vectors with the batch statistics of each crop's camera, where cameras are
            known (see ``models.statistics``).
    """

    neighbours: Annotated[int, Field(ge=1)] = 6
    averaged: Annotated[int, Field(ge=1)] = 3
    within: Annotated[float, Field(gt=0, lt=1)] = 0.5
    crops: Annotated[int, Field(ge=2)] = 2
    rivals: Annotated[int, Field(ge=1)] = 5
    alike: Annotated[float, Field(allow_inf_nan=False)] = 0.8
    patience: Annotated[int, Field(ge=1)] = 3
    adapt_statistics: bool = False


class Recipe(Settings):
    """Everything that defines a run, except the data.

    Attributes:
        name: of the recipe; the file's name by default.
        description, source: for readers: what it is, and its paper and section.
        model: network and settings.
        pretrained: source of the trunk's initial weights: ``imagenet``, ``drawn-people`` (the model that
            comes with Resight), or the path of a file; or None.
        stages: phases of training, in order; weights pass from one to the next.
        precision: of forward and backward passes; ``auto``: bfloat16 if the device computes in it.
        ema: decay of the moving average of the weights, which is then evaluated and saved; or None.
        seed: of all random draws.
        evaluate_every: epochs between evaluations during training; 0: none before the end.
        recompute: layers of the trunk whose activations the backward pass computes again, so that they need
            not be kept: less memory, more time, the same gradients.
        labelling: how pseudo-labels are made, in a recipe for ``resight adapt``; or None.
    """

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    source: str = ""
    model: Model
    pretrained: Annotated[str, Field(min_length=1)] | None = None
    stages: tuple[Stage, ...]
    precision: Precision = "auto"
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    evaluate_every: Annotated[int, Field(ge=0)] = 0
    recompute: tuple[str, ...] = ()
    labelling: Labelling | None = None

    @field_validator("stages")
    @classmethod
    def _names_differ(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        _check_names([stage.name for stage in stages], "stage")
        return stages

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def with_epochs(self, epochs: int) -> "Recipe":
        """Return a copy with this many epochs in all, shared among the stages in the same proportions.

        Raises:
            UserError: there are fewer epochs than stages.
        """
        stages = self.stages
        if epochs < len(stages):
            raise UserError(
                f"The recipe {self.name} has {len(stages)} stages, and each needs an epoch or more; got "
                f"--epochs {epochs}."
            )
        ends = [
            round(epochs * sum(stage.epochs for stage in stages[: number + 1]) / self.epochs)
            for number in range(len(stages))
        ]
        ends = [min(max(end, at + 1), epochs - len(stages) + at + 1) for at, end in enumerate(ends)]
        shares = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        changed = (
            stage.model_copy(update={"epochs": share}) for stage, share in zip(stages, shares, strict=True)
        )
        return self.model_copy(update={"stages": tuple(changed)})

    def as_dict(self) -> dict[str, Any]:
        """Return the whole recipe, defaults filled in, as plain data."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return the whole recipe, defaults filled in, as YAML that ``load_recipe`` reads back."""
        return yaml.dump(self.as_dict(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _check_names(names: Sequence[str], word: str) -> None:
    if not names:
        raise ValueError(f"at least one {word} is needed.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two {word}s are named '{twice}'; give each its own 'name'.")


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, but with lists of plain values on one line."""

    def represent_list(self, data: Iterable[Any]) -> yaml.SequenceNode:
        flow = not any(isinstance(item, dict | list) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(list, _Dumper.represent_list)

"""Components in a recipe: mappings with a name and settings, checked by the constructor."""

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Annotated, Any

import pydantic
import torch
from pydantic import Field, PlainSerializer, PlainValidator, WrapValidator
from pydantic_core import PydanticCustomError
from torch.nn import Parameter

from resight.data.augment import AUGMENTATIONS
from resight.data.samplers import SAMPLERS
from resight.errors import UserError, did_you_mean
from resight.losses.term import TERMS, Term
from resight.models.dropblock import DROPS
from resight.models.network import MODELS
from resight.models.trunk import ATTENTIONS, TRUNKS
from resight.registry import Registry, Settings
from resight.training.optimizers import OPTIMIZERS
from resight.training.schedules import SCHEDULES

REGISTRIES: dict[str, Registry[Any]] = {
    "model": MODELS,
    "trunk": TRUNKS,
    "attention": ATTENTIONS,
    "branch_attention": ATTENTIONS,
    "drop": DROPS,
    "sampler": SAMPLERS,
    "augment": AUGMENTATIONS,
    "objective": TERMS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""Key of a recipe -> the registry of its components."""


class Component(Settings):
    """A component by name, with all its settings (defaults filled in) as plain data."""

    name: str
    settings: dict[str, Any]


class WeightedTerm(Settings):
    """A term of an objective: which one, its name in the log, its weight and its settings."""

    term: str
    name: str
    weight: float
    settings: dict[str, Any]

    @cached_property
    def built(self) -> Term:
        """The term, built once a recipe: what ``prepare`` makes for data belongs into a copy of it."""
        return TERMS.build(self.term, **self.settings)


class TermFrame(Settings):
    """Settings of every entry of an objective, in addition to the term's own."""

    name: Annotated[str, Field(min_length=1)] | None = None
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0


def _parse(key: str, value: object) -> Component:
    """Read ``{name: ..., **settings}``; what was read before is kept."""
    if isinstance(value, Component):
        return value
    name, settings = _split(value, "name", REGISTRIES[key])
    complete = REGISTRIES[key].defaults(name, settings)
    if key in ("augment", "schedule"):
        _try(lambda: REGISTRIES[key].build(name, **complete))
    elif key == "optimizer":
        _try(lambda: OPTIMIZERS.build(name, [Parameter(torch.zeros(1))], **complete))
    return Component(name=name, settings=complete)


def _parse_term(value: object) -> WeightedTerm:
    """Read ``{term: ..., name: ..., weight: ..., **settings}``; what was read before is kept."""
    if isinstance(value, WeightedTerm):
        return value
    term, given = _split(value, "term", TERMS)
    both = pydantic.create_model(term, __base__=(TERMS.settings(term), TermFrame))
    settings = both(**given).model_dump(mode="json")
    name, weight = settings.pop("name"), settings.pop("weight")
    complete = WeightedTerm(term=term, name=name or term, weight=weight, settings=settings)
    _try(lambda: complete.built)
    return complete


def _split(value: object, key: str, registry: Registry[Any]) -> tuple[str, dict[str, Any]]:
    """Separate the component's name from its settings."""
    if not isinstance(value, Mapping) or not isinstance(value.get(key), str):
        raise _mistake(f"Input should be a mapping such as {{{key}: {registry.names()[0]}, ...}}")
    if value[key] not in registry.names():
        raise _mistake(f"Unknown {registry.kind} '{value[key]}'.{did_you_mean(value[key], registry.names())}")
    return value[key], {str(name): setting for name, setting in value.items() if name != key}


def _try(build: Callable[[], object]) -> None:
    """Construct it once: settings that are each valid may exclude each other."""
    try:
        build()
    except (UserError, ValueError) as error:
        raise _mistake(str(error)) from None


def _mistake(message: str) -> PydanticCustomError:
    return PydanticCustomError("component", "{message}", {"message": message})


def _flat(component: Component) -> dict[str, Any]:
    return {"name": component.name, **component.settings}


def _flat_term(term: WeightedTerm) -> dict[str, Any]:
    return {"term": term.term, "name": term.name, "weight": term.weight, **term.settings}


def _one_or_several(
    value: object, several: Callable[[object], tuple[Component, ...]]
) -> tuple[Component, ...]:
    return (_parse("schedule", value),) if isinstance(value, Mapping) else several(value)


def _short(schedules: tuple[Component, ...]) -> object:
    flat = [_flat(schedule) for schedule in schedules]
    return flat[0] if len(flat) == 1 else flat


Model = Annotated[Component, PlainValidator(partial(_parse, "model")), PlainSerializer(_flat)]
Sampler = Annotated[Component, PlainValidator(partial(_parse, "sampler")), PlainSerializer(_flat)]
Augmentation = Annotated[Component, PlainValidator(partial(_parse, "augment")), PlainSerializer(_flat)]
Optimizer = Annotated[Component, PlainValidator(partial(_parse, "optimizer")), PlainSerializer(_flat)]
Schedule = Annotated[Component, PlainValidator(partial(_parse, "schedule")), PlainSerializer(_flat)]
Schedules = Annotated[tuple[Schedule, ...], WrapValidator(_one_or_several), PlainSerializer(_short)]
"""One schedule, or a list of schedules that are multiplied."""
ObjectiveTerm = Annotated[WeightedTerm, PlainValidator(_parse_term), PlainSerializer(_flat_term)]

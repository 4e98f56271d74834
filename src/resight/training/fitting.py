"""Checking that the parts of a recipe fit each other, before any data are read."""

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache

import torch

from resight.data.augment import AUGMENTATIONS
from resight.errors import UserError, did_you_mean
from resight.losses.objective import Objective
from resight.models.complexity import example
from resight.models.network import Network, build_model
from resight.models.representation import Representation
from resight.models.trunk import Trunk
from resight.training.components import Component
from resight.training.gradients import Reach, trace, trained
from resight.training.recipe import Recipe, Stage

PERSONS = 2


def bare_model(model: Component) -> Network:
    """Build a network without values, on the ``meta`` device, for its shapes and sizes.

    Raises:
        UserError: its settings do not fit each other.
    """
    with torch.device("meta"):
        return build_model(model.name, PERSONS, **model.settings)


@lru_cache(64)
def _example_of(name: str, settings: str) -> tuple[Network, Representation, Reach]:
    """Return a model from its settings in JSON, its output, and the parameters on which this depends.

    It takes a third of a second.
    """
    model = bare_model(Component(name=name, settings=json.loads(settings)))
    return model, *trace(model)


def incompatibilities(recipe: Recipe) -> list[tuple[str, str]]:
    """Return (place in the recipe, sentence) for each part that does not fit."""
    try:
        model, shapes, reached = _example_of(recipe.model.name, json.dumps(recipe.model.settings))
    except UserError as error:
        return [("model", str(error))]
    except (RuntimeError, ValueError) as error:  # of a layer that cannot have its size
        return [("model", f"It cannot be computed with these settings: {str(error).splitlines()[0]}")]
    mistakes = [
        (f"stages.{number}.{place}", sentence)
        for number, stage in enumerate(recipe.stages)
        for place, sentence in _incompatibilities_of(stage, model, shapes)
    ]
    mistakes += _not_recomputable(recipe, model)
    return mistakes or list(_never_trained(recipe, model, shapes, reached))


def untrained(model: Component, stage: Stage) -> list[str]:
    """Return the names of the parameters that get no gradient in a stage of a recipe that fits."""
    bare, shapes, reached = _example_of(model.name, json.dumps(model.settings))
    terms = deepcopy([term for _, weight, term in stage.terms() if weight])
    for term in terms:
        term.prepare(shapes, PERSONS)
    learning = trained(reached, shapes, terms)
    return [name for name in _trainable(bare) if name not in learning]


def _trainable(model: Network) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def _not_recomputable(recipe: Recipe, model: Network) -> Iterator[tuple[str, str]]:
    trunk = getattr(model, "trunk", None)
    layers = trunk.channels if isinstance(trunk, Trunk) else {}
    for layer in recipe.recompute:
        if layer not in layers:
            known = did_you_mean(layer, layers) if layers else " It has no trunk: leave recompute out."
            yield "recompute", f"The model {recipe.model.name} has no layer '{layer}' in a trunk.{known}"


def _never_trained(
    recipe: Recipe, model: Network, shapes: Representation, reached: Reach
) -> Iterator[tuple[str, str]]:
    """Yield a mistake if parameters get no gradient in any stage."""
    learning: set[str] = set()
    for stage in recipe.stages:
        terms = [term for _, weight, term in stage.terms() if weight]  # prepared above
        learning |= trained(reached, shapes, terms)
    everything = _trainable(model)
    idle = [name for name in everything if name not in learning]
    if idle:
        shown = ", ".join(idle[:4]) + (f" and {len(idle) - 4} more" if len(idle) > 4 else "")
        yield (
            "model",
            f"{len(idle)} of its {len(everything)} parameter tensors can never get a gradient, because no "
            f"term of any stage depends on them: {shown}. Add a term that does, or leave that part of the "
            "model out (an identity classifier by 'classifier: false').",
        )


def _incompatibilities_of(stage: Stage, model: Network, shapes: Representation) -> Iterator[tuple[str, str]]:
    """Yield (place in the stage, sentence)."""
    terms = stage.terms()
    try:
        Objective(terms, shapes, PERSONS)
    except UserError as error:
        yield "objective", str(error)
    idle = [f"'{name}'" for name, _, term in terms if term.needs_positives]
    if idle and stage.sampler.name == "pk" and stage.sampler.settings["crops"] == 1:
        yield (
            "sampler",
            "With one crop of each person in a batch, no crop has another of its person, and "
            f"{' and '.join(idle)} would learn nothing. Set crops to 2 or more.",
        )
    size = _augmented_size(stage, model.picture_size)
    if any(item.name == "downscale" for item in stage.augment):
        try:
            example(model, size=size)
        except (RuntimeError, ValueError) as error:
            yield "augment", f"The model cannot process pictures of {size[0]} x {size[1]} pixels: {error}"
    elif size != model.input_size:
        yield (
            "augment",
            f"The model takes {model.input_size[0]} x {model.input_size[1]} pixels; the augmentation makes "
            f"{size[0]} x {size[1]} of its pictures of {model.picture_size[0]} x {model.picture_size[1]}. "
            "Add random-resized-crop, or set its size.",
        )


def _augmented_size(stage: Stage, size: tuple[int, int]) -> tuple[int, int]:
    images = torch.zeros(2, 3, *size, dtype=torch.uint8)
    generator = torch.Generator()
    for item in stage.augment:
        images = AUGMENTATIONS.build(item.name, **item.settings)(images, generator)
    return images.shape[2], images.shape[3]

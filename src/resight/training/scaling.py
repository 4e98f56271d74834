"""Shorter and longer trainings: a recipe with other epochs, and its schedules changed alike."""

from typing import Any

from resight.training.reading import parse_recipe
from resight.training.recipe import Recipe

WHOLE = ("every", "epochs")
"""Settings of schedules that are whole numbers of epochs, or lists of them; ``warm-up`` takes fractions."""


def scaled(recipe: Recipe, scale: float) -> Recipe:
    """Return the recipe with about this share of its epochs, at least one a stage; see ``rescaled``."""
    return rescaled(recipe, max(len(recipe.stages), round(recipe.epochs * scale)))


def rescaled(recipe: Recipe, epochs: int) -> Recipe:
    """Return the recipe with this many epochs in all.

    Epochs that schedules and optimisers name are multiplied by the share, and the rate at which sharp
    attention's temperature falls is divided by it, so that everything happens at the same part.

    Raises:
        UserError: there are fewer epochs than stages.
    """
    if epochs == recipe.epochs:
        return recipe
    shorter = recipe.with_epochs(epochs)
    content = shorter.as_dict()
    for stage, before, after in zip(content["stages"], recipe.stages, shorter.stages, strict=True):
        share = after.epochs / before.epochs
        schedules = stage["schedule"]
        for schedule in schedules if isinstance(schedules, list) else [schedules]:
            _shorten(schedule, share)
        _scale(stage["optimizer"], "late_from", share)
    _cool_faster(content["model"], shorter.epochs / recipe.epochs)
    return parse_recipe(content, f"recipe {recipe.name}", fitting=False)


def _shorten(schedule: dict[str, Any], share: float) -> None:
    for key in WHOLE:
        value = schedule.get(key)
        if isinstance(value, list):
            schedule[key] = [max(1, round(epoch * share)) for epoch in value]
        elif isinstance(value, int):
            schedule[key] = max(1, round(value * share))
        elif value is not None:
            _scale(schedule, key, share)
    _scale(schedule, "after", share)
    _scale(schedule, "until", share)


def _scale(settings: dict[str, Any], key: str, factor: float) -> None:
    if settings.get(key) is not None:
        settings[key] *= factor


def _cool_faster(value: Any, share: float) -> None:
    """Divide the rate of every ``sharp`` attention in a model's settings."""
    if isinstance(value, dict):
        if value.get("name") == "sharp":
            _scale(value, "rate", 1 / share)
        for item in value.values():
            _cool_faster(item, share)
    elif isinstance(value, list):
        for item in value:
            _cool_faster(item, share)

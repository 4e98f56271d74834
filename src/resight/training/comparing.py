"""Comparing two recipes: the differences that affect training, by place."""

from collections.abc import Mapping
from typing import Any


def what_counts(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's plain data without what does not affect the weights."""
    return {
        key: value
        for key, value in recipe.items()
        if key not in ("name", "description", "source", "evaluate_every", "recompute")
    }


def differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the differences between two trees of plain data: place -> value in each, None if there is none.

    Places are dotted, such as ``stages.0.optimizer.lr``. Of lists of mappings of unequal lengths, only items
    without an equal in the other list count, each at the place in its own list.
    """
    if isinstance(old, list) and isinstance(new, list):
        if len(old) == len(new):
            old, new = dict(enumerate(old)), dict(enumerate(new))
        elif any(isinstance(item, dict) for item in [*old, *new]):
            old, new = _without(old, new), _without(new, old)
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in [*old, *(key for key in new if key not in old)]:
            found |= differences(old.get(key), new.get(key), f"{path}{key}.")
        return found
    return {} if old == new else {path.rstrip("."): (old, new)}


def _without(items: list[Any], others: list[Any]) -> dict[int, Any]:
    """Return the items that are left, by place, when one equal item is taken away for each of the others."""
    others, left = list(others), {}
    for place, item in enumerate(items):
        if item in others:
            others.remove(item)
        else:
            left[place] = item
    return left

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
    """Return the differences between two trees of plain data: place -> value in each."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        old, new = dict(enumerate(old)), dict(enumerate(new))
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in [*old, *(key for key in new if key not in old)]:
            found |= differences(old.get(key), new.get(key), f"{path}{key}.")
        return found
    return {} if old == new else {path.rstrip("."): (old, new)}

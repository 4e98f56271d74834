"""``resight summarize``: mean and spread of the scores of several runs."""

from pathlib import Path
from typing import TYPE_CHECKING

from resight.commands.options import Json
from resight.commands.output import figure_name, print_json, print_spreads, print_table

if TYPE_CHECKING:
    from resight.training.summary import Summary

SHOWN = 2
"""Number of scores of each run in the table."""


def summarize(*runs: Path, json: Json = False) -> None:
    """Print mean, standard deviation and 95 % interval over runs of several splits or seeds.

    The runs must have the same recipe and data set, and differ only in seed or split; any other difference is
    an error. The scores are those that 'resight train' wrote to each run's folder.

    Args:
        runs: folders of at least two runs.
    """
    from resight.training.summary import summarise

    found = summarise(runs)
    if json:
        print_json(found.as_dict())
        return
    first = found.runs[0]
    recipe, data = first.run.recipe.name, first.run.info["data"]["name"]
    print_spreads(found.spreads, f"{recipe} on {data}: {_which(found)}")
    names = [*first.figures][:SHOWN]
    rows = [
        [one.run.folder, one.seed, one.split or "-", *(f"{100 * one.figures[name]:.1f}" for name in names)]
        for one in found.runs
    ]
    print_table(["Run", "Seed", "Split", *map(figure_name, names)], rows)


def _which(found: "Summary") -> str:
    """Describe how many runs there are and how they differ."""
    differ = found.differ
    same = [kind for kind in ("seed", "split") if kind not in differ]
    words = [f"{kind}s differ" for kind in differ] + [f"the {kind} is the same" for kind in same]
    return f"{len(found.runs)} runs; {', '.join(words)}"

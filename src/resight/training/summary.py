"""Mean and spread of the scores of several runs of one recipe, with other seeds or splits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resight.errors import UserError
from resight.evaluation.statistics import Spread, spread
from resight.files import read_json
from resight.program import command_line
from resight.training.comparing import differences, what_counts
from resight.training.run import SCORES, Run, how_to_resume


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """A run and its stored scores.

    Attributes:
        run: the run.
        scores: content of ``scores.json``.
        seed: of the run.
        split: its number, the name of its listing, or None if neither was given.
    """

    run: Run
    scores: Mapping[str, Any]
    seed: int
    split: str | None

    @property
    def figures(self) -> dict[str, float]:
        """The scores that are fractions, by name; for a run with draws, their means."""
        return {name: value for name, value in self.scores.items() if isinstance(value, float)}


@dataclass(frozen=True, slots=True)
class Summary:
    """Scores over runs.

    Attributes:
        runs: in the order given.
        spreads: of each score over the runs; the interval is for runs like these.
    """

    runs: tuple[ScoredRun, ...]
    spreads: dict[str, Spread]

    @property
    def differ(self) -> list[str]:
        """Which of ``seed`` and ``split`` differ between runs."""
        found = ["seed"] if len({one.seed for one in self.runs}) > 1 else []
        return [*found, "split"] if len({one.split for one in self.runs}) > 1 else found

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data, scores as fractions."""
        first = self.runs[0]
        return {
            "recipe": first.run.recipe.name,
            "data": first.run.info["data"]["name"],
            "protocol": first.scores["protocol"],
            "differ": self.differ,
            "number": len(self.runs),
            "spread": {name: asdict(figure) for name, figure in self.spreads.items()},
            "runs": [
                {"run": str(one.run.folder), "seed": one.seed, "split": one.split, **one.figures}
                for one in self.runs
            ],
        }


def summarise(folders: Sequence[Path]) -> Summary:
    """Summarise the stored scores of runs.

    Args:
        folders: of two or more runs, scored by ``resight train`` on their own test parts.

    Raises:
        UserError: a run is missing, not complete or without scores; runs differ in more than seed and split
            (each difference is named), or two do not differ.
    """
    if len(folders) < 2:
        raise UserError(f"Name at least two runs, to compute their mean and spread; got {len(folders)}.")
    runs = tuple(_scored(Run.open(folder)) for folder in folders)
    first = runs[0]
    known = {_identity(first): first}
    for other in runs[1:]:
        if found := differences(_setting(first), _setting(other)):
            lines = (f"  {place}: {one!r} and {two!r}" for place, (one, two) in found.items())
            raise UserError(
                f"{first.run.folder} and {other.run.folder} differ in more than seed and split:\n"
                + "\n".join(lines)
                + "\nSummarise runs of one recipe, on one data set, scored alike."
            )
        twin = known.setdefault(_identity(other), other)
        if twin is not other:
            raise UserError(
                f"{twin.run.folder} and {other.run.folder} have the same recipe, seed and training data: the "
                "second adds nothing, and would make the interval too narrow. Name one of them."
            )
    spreads = {name: spread([one.figures[name] for one in runs]) for name in first.figures}
    return Summary(runs, spreads)


def _scored(run: Run) -> ScoredRun:
    if not run.complete:
        raise UserError(f"The run {run.folder} is not complete. {how_to_resume(run.folder)}")
    path, again = run.folder / SCORES, command_line("train", run.folder, "--resume")
    if not path.is_file():
        raise UserError(
            f"The run {run.folder} has no {SCORES}: it was ended before the test, or its data had no test "
            f"part. To test it: {again}. Or train with a test part, such as --holdout N."
        )
    scores = read_json(path, f"Remove it and test the run again: {again}")
    return ScoredRun(run, scores, run.recipe.seed, _split(run.info["data"]["opened"]))


def _split(opened: Mapping[str, Any]) -> str | None:
    """Return the split of the run, from its options or its listing."""
    if opened.get("listing") is not None:
        return Path(opened["listing"]).name
    if opened.get("split") is not None:
        return str(opened["split"])
    given = [option for reader in opened["readers"][:1] for option in reader.split(",")]
    return next((option.removeprefix("split=") for option in given if option.startswith("split=")), None)


def _setting(one: ScoredRun) -> dict[str, Any]:
    """Return everything that must be equal in summarised runs, as plain data."""
    data = one.run.info["data"]
    opened = {name: value for name, value in data["opened"].items() if name not in ("split", "listing")}
    opened["paths"] = [Path(path).name for path in opened["paths"]]  # a set may have another path
    opened["readers"] = [_without_split(reader) for reader in opened["readers"]]
    same = ("protocol", "gallery_side", "cmc", "metric", "ap", "reranking")
    scored = {name: one.scores.get(name) for name in same}
    recipe = {name: value for name, value in what_counts(one.run.recipe.as_dict()).items() if name != "seed"}
    return {**recipe, "data": opened, "scores": scored | {"figures": sorted(one.figures)}}


def _without_split(reader: str) -> str:
    return ",".join(option for option in reader.split(",") if not option.startswith("split="))


def _identity(one: ScoredRun) -> str:
    """Return what identifies a repetition: seed and training data."""
    return json.dumps([one.seed, one.run.info["data"].get("identity", one.split)], sort_keys=True)

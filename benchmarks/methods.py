"""Scores of recipes on one data set, several seeds each: single parts beside their combinations.

python benchmarks/methods.py --data DATA [--holdout N] [--recipes softmax-fast sal-fast ...] [--seeds 0 1 2]
    [--runs runs/methods] [--write NAME]

Trains what is not trained yet (each run is a process, and resumes where it was), then prints a table: mean
and standard deviation over the seeds. --write keeps it as benchmarks/results/NAME.json with recipe, seed,
data counts and hardware of each run; never the pictures, or their paths.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

RECIPES = (
    *("softmax-fast", "triplet-fast", "softmax-triplet-fast"),
    *("sal-fast", "sona-plain-fast", "sona-2-fast", "sona-3-fast", "sona-23-fast", "sharp-fast", "sn-fast"),
    *("han-small-fast", "han-sn-sac-fast", "sona-sac-quadruplet-sn-fast"),
)
RESULTS = Path(__file__).parent / "results"
SHOWN = {"rank1": "rank-1", "mAP": "mAP", "mINP": "mINP"}


def main() -> None:
    """Train, collect, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--holdout", type=int)
    parser.add_argument("--recipes", nargs="+", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--runs", type=Path, default=Path("runs/methods"))
    parser.add_argument("--write", metavar="NAME", help="keep the results in benchmarks/results/NAME.json")
    options = parser.parse_args()
    results = [one_run(options, recipe, seed) for seed in options.seeds for recipe in options.recipes]
    for recipe in options.recipes:
        of_recipe = [result["scores"] for result in results if result["recipe"] == recipe]
        print(
            f"{recipe:30s}",
            *(f"{title} {spread([s[key] for s in of_recipe])}" for key, title in SHOWN.items()),
        )
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{options.write}.json").write_text(json.dumps(results, indent=1) + "\n")


def one_run(options: argparse.Namespace, recipe: str, seed: int) -> dict[str, Any]:
    """Train the recipe with that seed unless it is done; return its figures."""
    folder: Path = options.runs / f"{recipe}-s{seed}"
    if not (folder / "scores.json").exists():
        begun = (folder / "run.json").exists()
        command = [
            sys.executable,
            "-m",
            "resight.commands.main",
            "train",
            recipe,
            "--data",
            str(options.data),
        ]
        command += ["--out", str(folder), "--seed", str(seed), "--json"]
        command += ["--holdout", str(options.holdout)] if options.holdout is not None else []
        subprocess.run(command + ["--resume"] * begun, check=True, stdout=subprocess.DEVNULL)
    info = json.loads((folder / "run.json").read_text())
    scores = json.loads((folder / "scores.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    speeds = [line["crops_per_second"] for line in lines if line["kind"] == "epoch"]
    return {
        "recipe": recipe,
        "seed": seed,
        "epochs": info["epochs"],
        "parameters": info["model"]["parameters"],
        "data": {"name": info["data"]["name"], "counts": info["data"]["counts"]},
        "scores": {key: scores[key] for key in ("rank1", "rank5", "rank10", "mAP", "mINP", "queries")},
        "seconds": info["seconds"],
        "crops_per_second": max(speeds),
        "precision": info["precision"],
        "machine": info["machine"],
        "versions": info["versions"],
    }


def spread(values: list[float]) -> str:
    """Return the mean in per cent, with the standard deviation of several."""
    middle = f"{100 * mean(values):.1f}"
    return f"{middle} +- {100 * stdev(values):.1f}" if len(values) > 1 else middle


if __name__ == "__main__":
    main()

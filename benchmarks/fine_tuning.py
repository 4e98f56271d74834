"""What weights that were trained on drawn people alone are worth as a start for training on real ones.

python benchmarks/fine_tuning.py OUT --real DATA [--persons 10 50 200 658] [--recipe fine-tune]
    [--set KEY=VALUE ...] [--seed 0] [--write NAME]

Trains the recipe on some persons of the training part, from its own start (``pretrained``) and from
random weights, and tests both on its test part. Persons are chosen at random, and smaller choices are part of
larger ones. Killed at any time, the same command goes on. --write keeps the scores as
benchmarks/results/NAME.json.
Smoke test: --persons 10 --set stages.0.epochs=1 stages.0.sampler.epoch=2
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from resight.data.benchmark import Benchmark
from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.files import write_json
from resight.inference.embedder import Embedder
from resight.inference.loading import load_model
from resight.training.reading import load_recipe
from resight.training.run import INFO
from resight.training.testing import embed_benchmark, score_benchmark
from resight.training.trainer import train

RESULTS = Path(__file__).parent / "results"
STARTS = ("own", "random")


def main() -> None:
    """Train, test and print what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path, required=True, help="labelled crops, with a test part")
    parser.add_argument("--persons", type=int, nargs="+", default=[10, 50, 200, 658])
    parser.add_argument("--recipe", default="fine-tune")
    parser.add_argument("--set", dest="overrides", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", metavar="NAME", help="keep the scores in benchmarks/results/NAME.json")
    options = parser.parse_args()
    benchmark = open_benchmark(options.real)
    results: list[dict[str, Any]] = []
    print("persons  crops  start   rank-1   mAP")
    for number in options.persons:
        for start in STARTS:
            result = one_run(options, benchmark, number, start)
            results.append(result)
            scores = f"{100 * result['rank1']:6.1f} {100 * result['mAP']:5.1f}"
            print(f"{number:7d} {result['crops']:6d}  {start:6s}  {scores}", flush=True)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        kept = {"recipe": options.recipe, "set": options.overrides, "seed": options.seed, "runs": results}
        (RESULTS / f"{options.write}.json").write_text(json.dumps(kept, indent=1) + "\n")


def one_run(options: argparse.Namespace, benchmark: Benchmark, number: int, start: str) -> dict[str, Any]:
    """Train and test once, unless it is done; return the scores."""
    folder: Path = options.out / f"{number}-{start}"
    if (folder / "result.json").exists():
        result: dict[str, Any] = json.loads((folder / "result.json").read_text())
        return result
    some = take_persons(benchmark, number, options.seed)
    more = ["pretrained=null"] if start == "random" else []
    recipe = load_recipe(options.recipe, [*options.overrides, *more])
    run = train(recipe, some, folder, seed=options.seed, resume=(folder / INFO).exists())
    scores = score_benchmark(embed_benchmark(Embedder(load_model(run)), some), some)
    result = {"persons": number, "crops": len(some.train), "start": start}
    result |= {"rank1": scores.rank(1), "mAP": scores.mAP}
    write_json(folder / "result.json", result)
    return result


def take_persons(benchmark: Benchmark, number: int, seed: int) -> Benchmark:
    """Return the data set with the training crops of the first ``number`` persons of a random order."""
    persons = np.unique([crop.person for crop in benchmark.train])
    if number > len(persons):
        raise UserError(f"{benchmark.root} has {len(persons)} persons to train on; got --persons {number}.")
    chosen = set(np.random.default_rng(seed).permutation(persons)[:number].tolist())
    return replace(benchmark, train=tuple(crop for crop in benchmark.train if crop.person in chosen))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))

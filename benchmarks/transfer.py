"""How well a network trained on drawn people alone knows real ones, and what each factor of drawing changes.

python benchmarks/transfer.py OUT --real DATA [--factors tone boxes ...] [--always focus ...] [--runs 24]
    [--switch NAME:KEY=VALUE ...]
    [--crops 90000] [--persons 1500] [--cameras 15] [--recipe han-small-fast] [--set KEY=VALUE ...]
    [--processes 2] [--write NAME]

Each run draws a set, trains the recipe on it from random weights for so many crops, and embeds the real
persons. Its score is the mean mAP over eight galleries of 48 persons each, drawn from the odd half of the
real persons (1st, 3rd, ...); the even half is there to confirm. Small galleries show differences that large
ones drown. With --factors, the runs are a randomised on/off design, and the table has the change of mAP from
off to on of each factor, with its 95 % interval; without, all runs draw the same factors and differ by their
seed. A part of the recipe is a factor too: --switch mixstyle:model.attention.level1=mixstyle sets the key in
the runs where mixstyle is on. A name may have several keys.

Each run is a process of its own on one core, with its output in OUT/RUN/log.txt. Killed at any time, the same
command goes on. Pictures and their cache are deleted after each run; OUT/RUN has
the weights and result.json. --write keeps all results as benchmarks/results/NAME.json, without any picture.
Smoke test: --runs 4 --crops 400 --persons 20 --cameras 5 --factors tone --galleries 2 --size 10
    --switch mixstyle:model.attention.level1=mixstyle
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from screening import SIZES, design, effects

from resight.data.benchmark import Benchmark
from resight.data.opening import open_benchmark, open_data
from resight.errors import UserError
from resight.files import write_json
from resight.people.factors import factor_meanings, read_factors
from resight.people.generate import synthesize
from resight.training.reading import load_recipe

RESULTS = Path(__file__).parent / "results"
SEEN = 4
"""Times that a crop may be seen in training."""


def main() -> None:
    """Draw, train and score what is missing, and print the table."""
    options = read_options()
    rows: list[dict[str, bool]] = [{}] * options.runs
    if names := screened(options):
        rows = design(options.runs, names, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    settings = {name: str(value) for name, value in sorted(vars(options).items()) if name not in FREE}
    record = options.out / "transfer.json"
    if record.exists() and (there := json.loads(record.read_text())) != settings:
        differing = [name for name in settings if there.get(name) != settings[name]]
        raise UserError(
            f"{options.out} was begun with other settings ({', '.join(differing)}). Name another."
        )
    write_json(record, settings)

    if options.run is not None:
        one_run(options, options.run, rows[options.run])
        return
    with ThreadPoolExecutor(options.processes) as pool:
        try:
            results = list(pool.map(lambda number: in_process(options, number), range(options.runs)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    print_table(rows, results)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        kept = {"settings": {key: value for key, value in settings.items() if key != "real"}, "runs": results}
        (RESULTS / f"{options.write}.json").write_text(json.dumps(kept, indent=1) + "\n")


FREE = ("out", "processes", "write", "run")
"""Options that may differ when a bench is continued."""


def read_options() -> argparse.Namespace:
    """Parse the command line and refuse what cannot be run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path, required=True, help="labelled crops of real persons")
    parser.add_argument("--factors", nargs="+", default=[], choices=factor_meanings(), metavar="FACTOR")
    parser.add_argument("--switch", dest="switches", nargs="+", default=[], metavar="NAME:KEY=VALUE")
    parser.add_argument("--always", nargs="+", default=[], metavar="FACTOR[=STRENGTH]", help="on in all runs")
    parser.add_argument("--runs", type=int, default=24, help=f"with --factors one of {SIZES}")
    parser.add_argument(
        "--crops", type=int, default=90_000, help="to train on, counted each time one is seen"
    )
    parser.add_argument("--persons", type=int, default=1500)
    parser.add_argument("--cameras", type=int, default=15)
    parser.add_argument("--height", type=int, default=160, help="of a drawn crop")
    parser.add_argument("--recipe", default="han-small-fast")
    parser.add_argument("--set", dest="overrides", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--galleries", type=int, default=8)
    parser.add_argument("--size", type=int, default=48, help="persons of each gallery")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="one per core")
    parser.add_argument("--write", metavar="NAME", help="keep the results in benchmarks/results/NAME.json")
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)  # the process of this one run
    options = parser.parse_args()
    drawn = options.persons * options.cameras
    if options.crops > SEEN * drawn or options.crops < drawn:
        parser.error(
            f"{drawn} drawn crops are seen once to {SEEN} times: --crops is from {drawn} to {SEEN * drawn}"
        )
    try:
        read_factors(options.always)
        for switch in options.switches:
            name, colon, override = switch.partition(":")
            if not colon or name in factor_meanings():
                parser.error(f"--switch is NAME:KEY=VALUE, with a name that no factor has; got '{switch}'")
            load_recipe(options.recipe, [*options.overrides, override])
        if names := screened(options):
            design(options.runs, names, options.seed)
    except (UserError, ValueError) as error:
        parser.error(str(error))
    return options


def screened(options: argparse.Namespace) -> list[str]:
    """Return the names of what is on in half of the runs: factors of drawing, then parts of the recipe."""
    return [*options.factors, *dict.fromkeys(switch.partition(":")[0] for switch in options.switches)]


def in_process(options: argparse.Namespace, number: int) -> dict[str, Any]:
    """Do one run in a process of its own, on one core, unless it is done; return its result."""
    folder: Path = options.out / f"run-{number:02d}"
    if not (folder / "result.json").exists():
        folder.mkdir(exist_ok=True)
        one_core = {
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "RESIGHT_CACHE": str(folder / "cache"),
        }
        command = [sys.executable, *sys.argv, "--run", str(number)]
        with (folder / "log.txt").open("a") as log:
            done = subprocess.run(command, env=os.environ | one_core, stdout=log, stderr=log)
        if done.returncode:
            raise UserError(f"Run {number} ended with status {done.returncode}; see {folder / 'log.txt'}.")
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    print(f"run {number}: odd half {result['odd']:.2f}, even half {result['even']:.2f}", flush=True)
    return result


def one_run(options: argparse.Namespace, number: int, row: dict[str, bool]) -> None:
    """Draw, train and score one run, or what is missing of it."""
    import torch

    from resight.inference.embedder import Embedder
    from resight.inference.loading import load_model
    from resight.training.run import INFO
    from resight.training.trainer import train

    torch.set_num_threads(1)
    folder: Path = options.out / f"run-{number:02d}"
    seed = options.seed if row else options.seed + number
    factors = [*options.always, *(f"{name}={float(row[name])}" for name in options.factors)]
    switched = [switch.partition(":") for switch in options.switches]
    overrides = [*options.overrides, *(override for name, _, override in switched if row[name])]
    drawn = synthesize(
        folder / "people",
        persons=options.persons,
        cameras=options.cameras,
        crops=1,
        test_persons=0,
        height=options.height,
        seed=seed,
        processes=1,
        factors=factors,
    )
    recipe = load_recipe(options.recipe, overrides)
    recipe = recipe.with_epochs(max(round(options.crops / drawn.train), len(recipe.stages)))
    run_folder = folder / "run"
    resume = (run_folder / INFO).exists()
    run = train(recipe, open_benchmark(drawn.folder), run_folder, seed=seed, resume=resume)
    scores = score(options, Embedder(load_model(run)), real_persons(options.real))
    result = {
        "factors": read_factors(factors).active(),
        "switches": [name for name, on in row.items() if on and name not in options.factors],
        "seed": seed,
        "crops": recipe.epochs * drawn.train,
    } | scores
    write_json(folder / "result.json", result)
    for name in ("people", "cache"):
        shutil.rmtree(folder / name, ignore_errors=True)


def real_persons(root: Path) -> Benchmark:
    """Return all labelled crops of a data set: each person's first crop in each camera is a query."""
    benchmark = open_data([root])
    assert isinstance(benchmark, Benchmark)
    crops = dict.fromkeys((*benchmark.train, *benchmark.query, *benchmark.gallery))
    first: dict[tuple[int, int | None], Any] = {}
    for crop in sorted((crop for crop in crops if crop.person > 0), key=lambda crop: crop.path.name):
        first.setdefault((crop.person, crop.camera), crop)
    query = dict.fromkeys(first.values())
    gallery = tuple(crop for crop in crops if crop.person > 0 and crop not in query)
    return replace(benchmark, train=(), query=tuple(query), gallery=gallery)


def score(options: argparse.Namespace, embedder: Any, real: Benchmark) -> dict[str, Any]:
    """Return the mean mAP (per cent) over the galleries of either half, and those of each gallery."""
    from resight.evaluation.scores import evaluate
    from resight.training.testing import embed_benchmark

    embedded = embed_benchmark(embedder, real)
    persons = np.unique(embedded.query.persons.numpy())
    result: dict[str, Any] = {}
    for half, known in (("odd", persons[::2]), ("even", persons[1::2])):
        random = np.random.default_rng(options.seed)
        galleries = []
        for _ in range(options.galleries):
            chosen = random.choice(known, min(options.size, len(known)), replace=False)
            sides = (
                side.take(torch_rows(np.isin(side.persons.numpy(), chosen)))
                for side in (embedded.query, embedded.gallery)
            )
            galleries.append(100 * float(evaluate(*sides, real.protocol).mAP))
        result |= {half: mean(galleries), f"{half}_galleries": galleries}
    return result


def torch_rows(chosen: Any) -> Any:
    """Return the positions of the chosen rows."""
    import torch

    return torch.from_numpy(np.flatnonzero(chosen))


def print_table(rows: list[dict[str, bool]], results: list[dict[str, Any]]) -> None:
    """Print the effects, or the mean of the runs where they have none."""
    for half in ("odd", "even"):
        scores = [result[half] for result in results]
        spread = f" +- {stdev(scores):.2f}" if len(scores) > 1 else ""
        print(f"\n{half} half: mean mAP {mean(scores):.2f}{spread} over {len(scores)} runs")
        if rows[0]:
            for name, (value, low, high) in effects(rows, scores).items():
                print(f"  {name:12s} {value:+6.2f}   [{low:+.2f}, {high:+.2f}]")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))

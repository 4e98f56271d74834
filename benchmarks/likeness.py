"""How unlike real crops drawn ones are to a network trained on real people, and what each factor changes.

python benchmarks/likeness.py MODEL --real DATA [--factors tone boxes ...] [--always focus ...] [--persons 30]
    [--cameras 6] [--height 128] [--write NAME]

Much cheaper than training (benchmarks/transfer.py): it draws the same persons with each factor at full
strength and embeds them. The measure is the kernel distance of Binkowski et al. (*Demystifying MMD GANs*,
ICLR 2018): 100 times the unbiased squared maximum mean discrepancy of unit vectors with a cubic kernel; two
halves of the real persons have about 0. Its change from the plain drawing has a 95 % interval, from 200
resamples of the drawn persons. A guide: a lower distance does not prove that a network trained on such crops
knows real people better.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.data.benchmark import Benchmark
from resight.data.opening import open_data
from resight.imaging import read_image
from resight.inference.embedder import Embedder, unit
from resight.inference.loading import load_model
from resight.people.crops import World
from resight.people.factors import Factors, factor_meanings, read_factors

RESULTS = Path(__file__).parent / "results"
REAL, RESAMPLES = 1000, 200

Vectors = NDArray[np.float32]


def main() -> None:
    """Embed, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--real", type=Path, required=True, help="crops of real persons")
    parser.add_argument("--factors", nargs="+", default=tuple(factor_meanings()), metavar="FACTOR[=STRENGTH]")
    parser.add_argument("--always", nargs="+", default=[], metavar="FACTOR[=STRENGTH]", help="on in all")
    parser.add_argument("--persons", type=int, default=30)
    parser.add_argument("--cameras", type=int, default=6)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", metavar="NAME", help="keep the results in benchmarks/results/NAME.json")
    options = parser.parse_args()
    embedder = Embedder(load_model(options.model))
    opened = open_data([options.real])
    assert isinstance(opened, Benchmark)
    crops = sorted({*opened.train, *opened.query, *opened.gallery}, key=lambda crop: crop.path.name)
    chosen = np.random.default_rng(options.seed).permutation(len(crops))[:REAL]
    real = embed(embedder, [read_image(crops[row].path) for row in chosen])
    results: dict[str, Any] = {}
    plain: tuple[Vectors, Vectors] | None = None
    for name in ("none", *options.factors):
        on = read_factors([*options.always, *([] if plain is None else [name])])
        drawn = embed(embedder, draw(options, on))
        parts = kernel(drawn, drawn), kernel(drawn, real).mean(1)
        plain = parts if plain is None else plain
        results[name] = compare(parts, plain, mean_of_pairs(kernel(real, real)), options)
        distance, change, low, high = results[name].values()
        print(f"{name:14s} {distance:6.2f}  {change:+6.2f} [{low:+.2f}, {high:+.2f}]", flush=True)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{options.write}.json").write_text(json.dumps(results, indent=1) + "\n")


def draw(options: argparse.Namespace, factors: Factors) -> list[Any]:
    """Return a crop of each person in each camera, person by person."""
    world = World(options.seed, options.height, factors)
    pairs = product(range(1, options.persons + 1), range(options.cameras))
    return [np.asarray(world.crop(person, camera, 0, 0).image) for person, camera in pairs]


def embed(embedder: Embedder, pictures: list[Any]) -> Vectors:
    """Return the unit vectors of pictures."""
    return unit(embedder(embedder.preprocess(pictures)))


def kernel(left: Vectors, right: Vectors) -> Vectors:
    """Return the cubic kernel of unit vectors, at most 1."""
    values: Vectors = ((8 * (left @ right.T) + 1) / 9) ** 3
    return values


def mean_of_pairs(values: Vectors) -> float:
    """Return the mean of a kernel [N, N] without its diagonal."""
    return float((values.sum() - np.trace(values)) / len(values) / (len(values) - 1))


def compare(
    parts: tuple[Vectors, Vectors], plain: tuple[Vectors, Vectors], real: float, options: argparse.Namespace
) -> dict[str, float]:
    """Return the distance, and its change from the plain drawing's with the ends of its interval."""

    def distance(of: tuple[Vectors, Vectors], rows: NDArray[np.int64]) -> float:
        inner, different = of[0][np.ix_(rows, rows)], rows[:, None] != rows
        return 100 * float(inner[different].mean() + real - 2 * of[1][rows].mean())

    random = np.random.default_rng(options.seed)
    rows = np.arange(len(parts[0])).reshape(options.persons, options.cameras)
    draws = (rows[random.integers(options.persons, size=options.persons)].ravel() for _ in range(RESAMPLES))
    changes = [distance(parts, draw) - distance(plain, draw) for draw in draws]
    whole = distance(parts, rows.ravel())
    low, high = np.quantile(changes, (0.025, 0.975))
    return {
        "distance": whole,
        "change": whole - distance(plain, rows.ravel()),
        "low": float(low),
        "high": float(high),
    }


if __name__ == "__main__":
    main()

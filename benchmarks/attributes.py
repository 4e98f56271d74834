"""Error rates of a model by what the drawing knows of a person: skin, body, clothes, bag, hat and view.

python benchmarks/attributes.py OUT [--model drawn-people] [--persons 200] [--cameras 12]
    [--factors all=0.6 ...] [--write NAME]

Draws people whom no training saw (another seed) and searches each query among all crops of other cameras.
The error rate is the share of queries whose first hit is another person. Its 95 % interval is from 1,000
resamples of the persons. --write keeps the table as benchmarks/results/NAME.json.
Smoke test: --persons 10 --cameras 3
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.data.crop import Crop
from resight.data.opening import open_benchmark
from resight.inference.embedder import Embedder
from resight.inference.loading import load_model
from resight.models.packaged import NAME
from resight.people.crops import World
from resight.people.factors import read_factors
from resight.people.generate import synthesize
from resight.training.testing import embed_benchmark, score_benchmark

RESULTS = Path(__file__).parent / "results"
FACTORS = ["all=0.6", "focus", "tone=0.3", "lens=0.4", "look_alikes=0.3"]
LIGHT, DARK = 0.38, 0.2
"""Linear luminance of skin from which it counts as light, and below which it counts as dark."""
CHILD, STOOPS = 1.45, 0.08
"""Height in metres below which a person counts as a child; radians from which an old one's back is bent."""


def main() -> None:
    """Draw, search and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default=NAME)
    parser.add_argument("--persons", type=int, default=200)
    parser.add_argument("--cameras", type=int, default=12)
    parser.add_argument("--factors", nargs="*", default=FACTORS)
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--write", metavar="NAME", help="keep the table in benchmarks/results/NAME.json")
    options = parser.parse_args()
    drawn = synthesize(
        options.out,
        persons=options.persons,
        test_persons=options.persons,
        cameras=options.cameras,
        crops=2,
        height=128,
        seed=options.seed,
        factors=options.factors,
    )
    benchmark = open_benchmark(drawn.folder)
    embedded = embed_benchmark(Embedder(load_model(options.model)), benchmark)
    scores = score_benchmark(embedded, benchmark)
    wrong = (scores.per_query.first_match_rank > 1).numpy()
    world = World(options.seed, 128, read_factors(options.factors))
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, crop in enumerate(embedded.query_crops):
        for attribute in (("all", ""), *attributes(world, crop)):
            rows[attribute].append(row)
    persons = np.array([crop.person for crop in embedded.query_crops])
    result: dict[str, Any] = {"mAP": scores.mAP, "rank1": scores.rank(1), "errors": []}
    print(f"mAP {100 * scores.mAP:.1f}, rank-1 {100 * scores.rank(1):.1f}")
    print("queries  persons  error  95 % interval")
    for (name, value), of_it in sorted(rows.items()):
        low, high = interval(wrong[of_it], persons[of_it])
        error, count = float(wrong[of_it].mean()), len(set(persons[of_it].tolist()))
        result["errors"].append(
            {"attribute": name, "value": value, "queries": len(of_it), "persons": count}
            | {"error": error, "low": low, "high": high}
        )
        rate = f"{100 * error:5.1f}  {100 * low:5.1f} to {100 * high:5.1f}"
        print(f"{len(of_it):7d}  {count:7d}  {rate}  {name} {value}")
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{options.write}.json").write_text(json.dumps(result, indent=1) + "\n")


def attributes(world: World, crop: Crop) -> Iterator[tuple[str, str]]:
    """Yield what is known of a query's person and of its view."""
    assert crop.camera is not None
    who, _ = world.figure(crop.person)
    luminance = float(np.dot(who.skin, (0.2126, 0.7152, 0.0722)))
    yield "skin", "light" if luminance >= LIGHT else "dark" if luminance < DARK else "medium"
    ages = "child" if who.height < CHILD else "old" if who.stoop >= STOOPS else None
    yield "body", ages or ("male" if who.male else "female")
    yield "upper garment", who.top.kind
    yield "pattern", "plain" if who.top.pattern == "plain" else "patterned"
    yield "lower garment", who.bottom.kind
    yield "bag", who.bag.kind if who.bag.kind in ("none", "backpack") else "another"
    yield "hat", "none" if who.hat == "none" else "some"
    away = abs((world.tracklet(crop.person, crop.camera - 1, 0).walk.heading + np.pi) % (2 * np.pi) - np.pi)
    yield "view", "front" if away < np.pi / 3 else "back" if away > 2 * np.pi / 3 else "side"


def interval(wrong: NDArray[np.bool_], persons: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 2.5 and 97.5 % points of the error rate over resamples of the persons."""
    random, known = np.random.default_rng(0), np.unique(persons)
    errors = np.array([wrong[persons == person].sum() for person in known])
    counts = np.array([(persons == person).sum() for person in known])
    drawn = random.integers(len(known), size=(1000, len(known)))
    low, high = np.quantile(errors[drawn].sum(1) / counts[drawn].sum(1), (0.025, 0.975))
    return float(low), float(high)


if __name__ == "__main__":
    main()

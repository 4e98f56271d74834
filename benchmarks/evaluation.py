"""Time and memory of scoring, beside the bare product of the features and a plain NumPy implementation.

    python benchmarks/evaluation.py [--scale 0.2] [--rounds 5] [--write]

Features are drawn, clustered by person, at the size of Market-1501: 3,368 queries, 15,913 gallery crops,
2,048 numbers each; 750 persons, 6 cameras. Each measurement has a process of its own; the methods take turns,
so that what else the machine does falls on all of them. Where it does much, set OMP_NUM_THREADS=1 and read
the CPU seconds. Memory is the process's peak above what it held with the features loaded (Linux). The bounds
that the project keeps at full size: at most 1.4 times the product's time, and 300 MB.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

QUERIES, GALLERY, SIZE, PERSONS, CAMERAS = 3368, 15913, 2048, 750, 6
SPREAD = 3.6  # of a person's crops about their mean, the means' being 1
TIMES_BOUND, MEGABYTES_BOUND = 1.4, 300
RESULTS = Path(__file__).parent / "results" / "evaluation.json"
PRODUCT, RESIGHT = "product of the features", "resight"


def main() -> None:
    """Measure every method in turn, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of the numbers of queries and gallery crops"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--write", action="store_true", help=f"keep the figures in {RESULTS.name} under results/"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.scale)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    for turn in range(options.rounds):
        for name in METHODS:
            print(f"round {turn + 1} of {options.rounds}: {name}", file=sys.stderr)
            command = [sys.executable, __file__, "--scale", str(options.scale), "--one", name]
            found[name].append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    result = summarise(found, options.scale)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)


def summarise(found: dict[str, list[dict[str, float]]], scale: float) -> dict[str, Any]:
    """Return medians by method; what each takes of the product is compared round by round."""
    methods = {}
    for name, rounds in found.items():
        methods[name] = {key: median(one[key] for one in rounds) for key in rounds[0]}
        for key, ratio in (("seconds", "times_product"), ("cpu_seconds", "times_product_cpu")):
            pairs = zip(rounds, found[PRODUCT], strict=True)
            methods[name][ratio] = median(one[key] / product[key] for one, product in pairs)
    return {
        "queries": round(QUERIES * scale),
        "gallery": round(GALLERY * scale),
        "size": SIZE,
        "rounds": len(found[PRODUCT]),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "load": os.getloadavg()[0],
        "machine": platform.machine(),
        "methods": methods,
    }


def print_table(result: dict[str, Any]) -> None:
    """Print one line a method, and whether the bounds are kept."""
    print(
        f"{result['queries']:,} x {result['gallery']:,} x {result['size']:,}; {result['cores']} cores, "
        f"threads: {result['threads']}; medians of {result['rounds']}; load {result['load']:.1f}"
    )
    columns = {
        "s": ("seconds", 2),
        "x product": ("times_product", 2),
        "CPU s": ("cpu_seconds", 2),
        "x product, CPU": ("times_product_cpu", 2),
        "MB": ("megabytes", 0),
        "rank-1": ("rank1", 4),
        "mAP": ("mAP", 4),
    }
    print(f"{'':24}" + "".join(f"{title:>{len(title) + 4}}" for title in columns))
    for name, method in result["methods"].items():
        cells = [
            f"{method[key]:{len(title) + 4}.{digits}f}"
            for title, (key, digits) in columns.items()
            if key in method
        ]
        print(f"{name:24}" + "".join(cells))
    if (result["queries"], result["gallery"]) == (QUERIES, GALLERY):
        ours = result["methods"][RESIGHT]
        kept = ours["times_product"] <= TIMES_BOUND and ours["megabytes"] <= MEGABYTES_BOUND
        bounds = f"{TIMES_BOUND} x the product, {MEGABYTES_BOUND} MB"
        print(f"Bounds ({bounds}): {'kept' if kept else 'MISSED'}", file=sys.stderr)


def measure(name: str, scale: float) -> dict[str, float]:
    """Run one method once on drawn features; return seconds, megabytes and, if it scores, rank-1 and mAP."""
    method = METHODS[name]
    method(*draw(0.01))  # loads the libraries
    sides = draw(scale)
    forget_peak()
    before = memory("VmRSS")
    start, cpu_start = time.perf_counter(), time.process_time()
    scores = method(*sides)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    megabytes = memory("VmHWM") - before
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "megabytes": megabytes, **scores}


def draw(scale: float) -> tuple[Any, Any]:
    """Return query and gallery, clustered by person."""
    import torch

    from resight.evaluation.embedded import Embedded

    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(PERSONS, SIZE, generator=generator)

    def side(crops: int) -> Embedded:
        persons = torch.randint(1, PERSONS + 1, (crops,), generator=generator)
        features = torch.randn(crops, SIZE, generator=generator)
        for start in range(0, crops, 256):  # so that no copy of them all raises the peak
            part = slice(start, start + 256)
            features[part].mul_(SPREAD).add_(centres[persons[part] - 1])
        return Embedded(features, persons, torch.randint(0, CAMERAS, (crops,), generator=generator))

    return side(round(QUERIES * scale)), side(round(GALLERY * scale))


def forget_peak() -> None:
    """Let the peak start anew from what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def memory(field: str) -> float:
    """Return a field of /proc/self/status in MB."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def product(query: Any, gallery: Any) -> dict[str, float]:
    """Multiply the features, once."""
    import torch

    torch.mm(query.features, gallery.features.T)
    return {}


def resight(query: Any, gallery: Any, metric: Any = "cosine") -> dict[str, float]:
    """Score with this package."""
    from resight.evaluation.scores import evaluate

    scores = evaluate(query, gallery, metric=metric)
    return {"rank1": scores.rank(1), "mAP": scores.mAP}


def plain_numpy(query: Any, gallery: Any) -> dict[str, float]:
    """Score as one would write it down: the full matrix, and a sort of each row."""
    import numpy as np

    def unit(features: Any) -> Any:
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    similarity = unit(query.features.numpy()) @ unit(gallery.features.numpy()).T
    persons, cameras = gallery.persons.numpy(), gallery.cameras.numpy()
    hits, precisions = [], []
    for row, person, camera in zip(similarity, query.persons.numpy(), query.cameras.numpy(), strict=True):
        order = np.argsort(-row)
        right = persons[order] == person
        right = right[~(right & (cameras[order] == camera))]
        if right.any():
            ranks = np.flatnonzero(right) + 1
            hits.append(ranks[0] == 1)
            precisions.append((np.arange(1, len(ranks) + 1) / ranks).mean())
    return {"rank1": float(np.mean(hits)), "mAP": float(np.mean(precisions))}


METHODS: dict[str, Callable[[Any, Any], dict[str, float]]] = {
    PRODUCT: product,
    RESIGHT: resight,
    "resight, euclidean": lambda query, gallery: resight(query, gallery, "euclidean"),
    "plain NumPy": plain_numpy,
}


if __name__ == "__main__":
    main()

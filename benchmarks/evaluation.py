"""Time and memory of scoring and re-ranking, beside bare products of the features and plain NumPy.

    python benchmarks/evaluation.py [--cases scores re-ranking ...] [--scale 0.2] [--rounds 5] [--log FILE]
        [--write]

Features are drawn, clustered by person: at the sizes of Market-1501 (scores, re-ranking) and of MSMT17
(msmt17), and with 500,000 distractors in a memory-mapped file (distractors). Each measurement has a process
of its own, in which the bare product is timed right before the method, so that what else the machine does
falls on both: read the ratios. The product is of queries and gallery; for re-ranking, of all crops with all.
``--scale`` multiplies the numbers of queries and crops; the bounds are those of full size. Memory is the
process's peak above what it held with the features loaded, and in all (Linux); a mapped file does not count.
Draws up to 2.2 GB into --folder. Plain NumPy is left out where it needs more than ``PLAIN_BYTES``.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from evaluation_methods import STEPS, averaged, curve, first_crops, load, plainly, reranked, resight
from measuring import Sampled, memory, product, timed

PERSONS_EACH = 4.5  # queries a person
CAMERAS = 6
SPREAD = 3.6  # of a person's crops about their mean, the means' being 1
EXPAND, AUGMENT = 5, 10  # neighbours that a query, and a gallery crop, is averaged with
PLAIN_BYTES = 12e9
RESULTS = Path(__file__).parent / "results" / "evaluation.json"
PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "evaluation.md"
START, END = "<!-- evaluation.py --write: from here -->", "<!-- to here -->"


@dataclass(frozen=True)
class Case:
    """Sizes at scale 1, what is measured, and the bounds that the project keeps.

    Attributes:
        whole: methods whose bare product is of all crops with all, N x N x d; the others' is Q x G x d.
        times, megabytes, in_all: bounds by method: times the product, MB above the features, MB in all.
    """

    queries: int
    gallery: int
    size: int
    methods: tuple[str, ...]
    distractors: int = 0
    whole: tuple[str, ...] = ()
    times: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    in_all: dict[str, float] = field(default_factory=dict)

    def scaled(self, scale: float) -> tuple[int, int, int]:
        """Return queries, gallery crops, distractors."""
        return round(self.queries * scale), round(self.gallery * scale), round(self.distractors * scale)


SCORES, EUCLIDEAN, EXPANDED, AUGMENTED, RERANKED, CURVE, PLAIN, PLAIN_RERANKED = (
    "resight",
    "resight, euclidean",
    f"resight, queries averaged with {EXPAND}",
    f"resight, gallery averaged with {AUGMENT}",
    "resight, re-ranked",
    f"resight, curve of {STEPS + 1} sizes",
    "plain NumPy",
    "plain NumPy, re-ranked",
)
CASES = {
    "scores": Case(
        3368,
        15913,
        2048,
        (SCORES, EUCLIDEAN, EXPANDED, AUGMENTED, PLAIN),
        whole=(AUGMENTED,),
        times={SCORES: 1.4},
        megabytes={SCORES: 300},
    ),
    "re-ranking": Case(
        3368,
        15913,
        2048,
        (RERANKED, PLAIN_RERANKED),
        whole=(RERANKED, PLAIN_RERANKED),
        times={RERANKED: 1.1},
        megabytes={RERANKED: 1500},
    ),
    "msmt17": Case(
        11659,
        82161,
        2048,
        (SCORES, RERANKED, PLAIN, PLAIN_RERANKED),
        whole=(RERANKED, PLAIN_RERANKED),
        in_all={SCORES: 6000, RERANKED: 6000},
    ),
    "distractors": Case(
        3368, 15913, 1024, (SCORES, CURVE, PLAIN), distractors=500_000, in_all={SCORES: 2000, CURVE: 2000}
    ),
}


def main(arguments: list[str] | None = None) -> None:
    """Measure every method of every case in turn, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=tuple(CASES))
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of queries and crops")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--log", type=Path, help="file to keep each measurement in, and go on from after a break"
    )
    parser.add_argument("--skip-plain", action="store_true", help="leave plain NumPy out")
    parser.add_argument("--folder", type=Path, help="where to draw features; by default a temporary one")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs and results")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "METHOD"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(*options.one, options.folder)))
        return
    results = {}
    known: dict[str, dict[str, float]] = {}
    if options.log and options.log.exists():
        known = dict(map(json.loads, options.log.read_text().splitlines()))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in options.cases:
            case = CASES[name]
            draw(case, options.scale, Path(folder))
            methods = [method for method in case.methods if fits(case, method, options.scale)]
            if options.skip_plain:
                methods = [method for method in methods if method not in (PLAIN, PLAIN_RERANKED)]
            found: dict[str, list[dict[str, float]]] = {method: [] for method in methods}
            for turn in range(options.rounds):
                for method in methods:
                    key = f"{name}, scale {options.scale}, round {turn + 1} of {options.rounds}: {method}"
                    if key not in known:
                        print(key, file=sys.stderr)
                        command = [sys.executable, __file__, "--folder", folder, "--one", name, method]
                        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                        known[key] = json.loads(done.stdout)
                        if options.log:
                            with options.log.open("a") as stream:
                                stream.write(json.dumps([key, known[key]]) + "\n")
                    found[method].append(known[key])
            results[name] = summarise(case, found, options.scale)
    if options.write:
        write(results)
    print(json.dumps(results, indent=2) if options.json else "\n\n".join(map(table, results.values())))


def fits(case: Case, method: str, scale: float) -> bool:
    """Tell whether a method can run: plain NumPy's matrices must not be too large."""
    queries, gallery, distractors = case.scaled(scale)
    if method == PLAIN_RERANKED:
        return 5 * 4 * (queries + gallery) ** 2 < PLAIN_BYTES
    crops = gallery + distractors
    return method != PLAIN or 4 * (queries * crops + 2 * crops * case.size) < PLAIN_BYTES


def draw(case: Case, scale: float, folder: Path) -> None:
    """Write query and gallery, clustered by person, as folders of .npy files; distractors are person 0."""
    generator = np.random.default_rng(0)
    queries, gallery, distractors = case.scaled(scale)
    persons = max(2, round(queries / PERSONS_EACH))
    centres = generator.standard_normal((persons + 1, case.size), np.float32)
    for name, crops, others in (("query", queries, 0), ("gallery", gallery, distractors)):
        side = folder / name
        side.mkdir(exist_ok=True)
        labels = np.zeros(crops + others, np.int64)
        labels[:crops] = generator.integers(1, persons + 1, crops)
        np.save(side / "persons.npy", labels)
        np.save(side / "cameras.npy", generator.integers(0, CAMERAS, crops + others))
        shape = (crops + others, case.size)
        features = np.lib.format.open_memmap(side / "features.npy", "w+", np.float32, shape)
        for start in range(0, len(labels), 4096):
            part = slice(start, start + 4096)
            noise = generator.standard_normal((len(labels[part]), case.size), np.float32)
            features[part] = SPREAD * noise + centres[labels[part]]
        features.flush()


def measure(name: str, method: str, folder: Path) -> dict[str, float]:
    """Run the bare product and then a method, once; return seconds, megabytes, rank-1 and mAP."""
    import torch

    case, mapped = CASES[name], CASES[name].distractors > 0
    sides = [load(folder / side, mapped) for side in ("query", "gallery")]
    whole = method in case.whole
    RUNS[method](*map(first_crops, sides))  # loads the libraries
    result: dict[str, float] = {}
    factors = [side.features for side in sides]
    if whole:
        factors = [torch.cat(factors)] * 2
    timed(result, "product_", lambda: product(*factors))
    factors.clear()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = memory("RssAnon" if mapped else "VmRSS")
    with Sampled("RssAnon") as sampled:
        scores = timed(result, "", lambda: RUNS[method](*sides))
    peak = sampled.peak if mapped else memory("VmHWM")  # no peak is kept of memory that no file backs
    return result | {"megabytes": peak - before, "in_all": peak, **scores}


RUNS: dict[str, Callable[[Any, Any], dict[str, float]]] = {
    SCORES: resight,
    EUCLIDEAN: lambda query, gallery: resight(query, gallery, metric="euclidean"),
    EXPANDED: lambda query, gallery: averaged(query, gallery, expand=EXPAND),
    AUGMENTED: lambda query, gallery: averaged(query, gallery, augment=AUGMENT),
    RERANKED: reranked,
    CURVE: curve,
    PLAIN: plainly,
    PLAIN_RERANKED: lambda query, gallery: plainly(query, gallery, rerank=True),
}


def summarise(case: Case, found: dict[str, list[dict[str, float]]], scale: float) -> dict[str, Any]:
    """Return medians by method; what each takes of the product is compared round by round."""
    methods: dict[str, dict[str, Any]] = {}
    for name, rounds in found.items():
        methods[name] = {key: median(one[key] for one in rounds) for key in rounds[0]} | {
            "rounds": len(rounds)
        }
        for key in ("seconds", "cpu_seconds"):
            methods[name][f"times_{key}"] = median(one[key] / one[f"product_{key}"] for one in rounds)
        if scale == 1:
            methods[name]["bounds"] = [
                f"{told} {bound:,.4g}: {'kept' if methods[name][key] <= bound else 'MISSED'}"
                for told, bounds, key in (
                    ("times the product", case.times, "times_seconds"),
                    ("MB above the features", case.megabytes, "megabytes"),
                    ("MB in all", case.in_all, "in_all"),
                )
                if (bound := bounds.get(name)) is not None
            ]
    queries, gallery, distractors = case.scaled(scale)
    return {
        "queries": queries,
        "gallery": gallery,
        "distractors": distractors,
        "size": case.size,
        "rounds": len(next(iter(found.values()))),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "load": round(os.getloadavg()[0], 1),
        "machine": platform.machine(),
        "methods": methods,
    }


def table(result: dict[str, Any]) -> str:
    """Return a case as a table in Markdown."""
    crops = f"({result['gallery']:,} + {result['distractors']:,})" if result["distractors"] else ""
    lines = [
        f"{result['queries']:,} x {crops or format(result['gallery'], ',')} x {result['size']:,}"
        f"{', gallery memory-mapped' if crops else ''}; {result['cores']} cores, threads: "
        f"{result['threads']}, load {result['load']}; medians of {result['rounds']}",
        "",
        "| | s | product, s | x product | x product, CPU | MB above features | MB in all | rank-1 | mAP | "
        "bounds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in result["methods"].items():
        fewer = f" ({one['rounds']} rounds)" if one.get("rounds", result["rounds"]) < result["rounds"] else ""
        lines.append(
            f"| {name}{fewer} | {one['seconds']:.2f} | {one['product_seconds']:.2f} | "
            f"{one['times_seconds']:.2f} | {one['times_cpu_seconds']:.2f} | "
            f"{one['megabytes']:.0f} | {one['in_all']:.0f} | {one['rank1']:.4f} | "
            f"{one['mAP']:.4f} | {'; '.join(one.get('bounds', []))} |"
        )
    return "\n".join(lines)


def write(results: dict[str, Any]) -> None:
    """Keep the figures, those of cases that were not run included."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept = {name: found for name in CASES if (found := (known | results).get(name))}
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")
    text = PAGE.read_text()
    before, after = text[: text.index(START)], text[text.index(END) :]
    tables = "\n\n".join(f"**{name}**: {table(found)}" for name, found in kept.items())
    PAGE.write_text(f"{before}{START}\n\n{tables}\n\n{after}")


if __name__ == "__main__":
    main()

"""Galleries: time and recall of searches, behind filters too; time of adding; memory.

    python benchmarks/gallery.py [--cases search graph large adding means] [--scale 0.2] [--json]

Vectors are drawn, twenty a person. "NumPy" is ``features @ query`` on a memory map, with the best sorted out.
In each round every kind of search is made once, in random order, each for another query, so that other work
of the machine falls on all of them: read the ratios, which are medians over the queries.

search  100,000 crops of 1,024 numbers, as a gallery of that size is searched: time, and recall of the first
        ten behind each kind of filter that keeps 1 to 95 % of the crops
graph   the same for 200,000 crops of 512 numbers with an HNSW graph, which is built first
large   1,000,000 crops of 512 numbers: filled and searched in processes whose memory is measured
means   the same as ``search`` with each camera's mean removed from the vectors, beside a gallery that keeps
        them, and what the means take of adding 1,000 crops
adding  crops a second into a gallery, beside ``resight embed`` (of an untrained HAN-Small, or of --run)

``--scale`` multiplies the crops. Galleries stay in ``--folder``, by default a temporary one, so that a second
call with the same folder needs not build them again.
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from adding import adding
from camera_means import means
from drawn_galleries import CAMERAS, SHARES, Array, build, cameras, draw, filters

from resight.gallery.crops import Filter
from resight.gallery.gallery import Gallery

LARGE, LARGE_WIDTH, PART = 1_000_000, 512, 50_000
WARMING = 20
"""Searches in a process until its memory maps are set up."""


def search(options: argparse.Namespace) -> dict[str, Any]:
    """Search as a gallery of 100,000 crops is searched."""
    return _searched(options, round(100_000 * options.scale), 1024, None)


def graph(options: argparse.Namespace) -> dict[str, Any]:
    """Search by a graph."""
    return _searched(options, round(200_000 * options.scale), 512, 1)


def _searched(options: argparse.Namespace, crops: int, width: int, graph_from: int | None) -> dict[str, Any]:
    file = options.folder / f"vectors-{crops}-{width}.npy"
    if not file.exists():
        np.save(file, draw(crops, width, 1))
    features = np.load(file, mmap_mode="r")
    place = options.folder / f"{'searched' if graph_from is None else 'graph'}-{crops}"
    found: dict[str, Any] = {"crops": crops, "width": width}
    found |= build(place, [features], width=width, graph_from=graph_from)
    if options.prepare:
        return found
    queries = draw(crops, width, 2)[: options.rounds + WARMING]
    with Gallery.open(place) as gallery:
        found |= gallery.facts() | {"bytes": gallery.size()}
        found["rows"] = _times(gallery, features, queries, options.rounds)
        found["recall"] = _recall(gallery, features, queries[: options.recalled])
    return found


def _times(gallery: Gallery, features: Array, queries: Array, rounds: int) -> list[dict[str, Any]]:
    """Time each kind of search, in ms."""
    kinds = {"all": Filter(), "all but 1 camera": Filter(not_cameras=cameras(1))}
    kinds |= {f"{count} of {CAMERAS} cameras": Filter(cameras=cameras(count)) for count in (1, 8, 12, 19)}
    jobs: dict[str, Callable[[Array], object]] = {
        name: lambda query, where=where: gallery.search(vectors=query[None], where=where)  # type: ignore[misc]
        for name, where in kinds.items()
    }
    jobs["all, exact"] = lambda query: gallery.search(vectors=query[None], exact=True)
    jobs["NumPy"] = lambda query: _best(features, query, np.ones(len(features), bool), 20)
    for query in queries[rounds:]:
        for job in jobs.values():
            job(query)
    generator = random.Random(0)
    orders = {name: generator.sample(range(rounds), rounds) for name in jobs}
    times = {name: np.zeros(rounds) for name in jobs}
    for turn in range(rounds):
        for name in generator.sample(list(jobs), len(jobs)):
            row = orders[name][turn]
            begin = time.perf_counter()
            jobs[name](queries[row])
            times[name][row] = 1000 * (time.perf_counter() - begin)
    return [
        {
            "search": name,
            "p50_ms": float(np.percentile(some, 50)),
            "p95_ms": float(np.percentile(some, 95)),
            "times_all": float(np.median(some / times["all"])),
            "times_numpy": float(np.median(some / times["NumPy"])),
        }
        for name, some in times.items()
    ]


def _best(features: Array, query: Array, kept: Any, count: int) -> list[int]:
    scores = features @ query
    if not kept.all():
        scores[~kept] = -2
    best = np.argpartition(scores, -count)[-count:]
    return [int(row) for row in best[np.argsort(-scores[best])]]


def _recall(gallery: Gallery, features: Array, queries: Array) -> dict[str, Any]:
    """Return the share of the first ten that is found behind each kind of filter that keeps each share."""

    def recall(where: Filter, kept: Any) -> float:
        hits = 0
        for query in queries:
            matches = gallery.search(vectors=query[None], where=where, top=10).matches
            ids = {uuid.UUID(match.crop.id).int for match in matches}
            hits += len(ids & set(_best(features, query, kept, 10)))
        return hits / 10 / len(queries)

    found: dict[str, Any] = {"all": recall(Filter(), np.ones(len(features), bool))}
    for share in SHARES:
        kinds = filters(len(features), share)
        found[f"{share} %"] = {kind: recall(*one) for kind, one in kinds.items()}
    return found


def large(options: argparse.Namespace) -> dict[str, Any]:
    """Fill and search a large gallery, each in a process of its own whose memory is measured."""
    found: dict[str, Any] = {"crops": round(LARGE * options.scale), "width": LARGE_WIDTH}
    command = [sys.executable, __file__, "--folder", str(options.folder), "--scale", str(options.scale)]
    for step in ("fill",) if options.prepare else ("fill", "search"):
        with subprocess.Popen(
            [*command, "--rounds", str(options.rounds), "--inside", step], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            most = 0.0
            while process.poll() is None:
                most = max(most, _anonymous_gb(process.pid))
                time.sleep(0.2)
            if process.returncode:
                raise SystemExit(process.returncode)
            found |= json.loads(process.stdout.read()) | {f"{step}_anonymous_peak_gb": most}
    return found


def _anonymous_gb(pid: int) -> float:
    """Return the memory of a process that no file stands behind, so that it cannot be dropped for others."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1e6


def inside(options: argparse.Namespace) -> dict[str, Any]:
    """Do one step of ``large``."""
    crops = round(LARGE * options.scale)
    place, part = options.folder / f"large-{crops}", min(crops, PART)
    if options.inside == "fill":
        parts = (draw(part, LARGE_WIDTH, 1, start) for start in range(0, crops, part))
        found: dict[str, Any] = build(place, parts, width=LARGE_WIDTH)
    else:
        queries = draw(part, LARGE_WIDTH, 2)[: options.recalled + 3]
        with Gallery.open(place) as gallery:
            found = gallery.facts() | {"bytes": gallery.size()} | _large_searches(gallery, queries)
    found[f"{options.inside}_peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return found


def _large_searches(gallery: Gallery, queries: Array) -> dict[str, float]:
    kinds = {"all": Filter()} | {f"{count}_cameras": Filter(cameras=cameras(count)) for count in (1, 8, 19)}
    found = {}
    for name, where in kinds.items():
        times, hits = [], 0
        for query in queries:
            begin = time.perf_counter()
            matches = gallery.search(vectors=query[None], top=10, where=where).matches
            times.append(1000 * (time.perf_counter() - begin))
            exact = gallery.search(vectors=query[None], top=10, where=where, exact=True).matches
            hits += len({one.crop.id for one in matches} & {one.crop.id for one in exact})
        found[f"{name}_p50_ms"] = float(np.median(times[3:]))
        found[f"{name}_recall_at_10"] = hits / 10 / len(queries)
    return found


def show(case: str, found: dict[str, Any]) -> None:
    """Print a case's figures."""
    told = {name: value for name, value in found.items() if name not in ("rows", "recall")}
    print(f"{case}: " + ", ".join(f"{name} {_word(value)}" for name, value in told.items()))
    _table(found.get("rows", []))
    recall = dict(found.get("recall", {}))
    if recall:
        print(f"recall of the first ten, all crops: {recall.pop('all'):.4f}; behind filters:")
        _table([{"keeps": share, **kinds} for share, kinds in recall.items()])
    print(flush=True)


def _table(rows: list[dict[str, Any]]) -> None:
    for number, row in enumerate(rows):
        if not number:
            print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
        print("| " + " | ".join(_word(value) for value in row.values()) + " |")


def _word(value: object) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def machine() -> dict[str, Any]:
    """Return the processor, its cores, and how busy it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    wide = any("avx512f" in line for line in lines)
    return {
        "processor": (names or [platform.processor()])[0] + (", AVX-512" if wide else ""),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


CASES = {case.__name__: case for case in (search, graph, large, adding, means)}


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--recalled", type=int, default=50, help="queries whose recall is measured")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--prepare", action="store_true", help="only draw and build what the cases need")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", choices=["fill", "search"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        json.dump(inside(options), sys.stdout)
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        options.folder.mkdir(parents=True, exist_ok=True)
        results: dict[str, Any] = machine()
        for case in options.cases:
            results[case] = CASES[case](options)
            if not options.json:
                show(case, results[case])
    if options.json:
        json.dump(results, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

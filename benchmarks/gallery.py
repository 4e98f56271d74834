"""Galleries: time of searches and of adding, recall of the graph, memory.

    python benchmarks/gallery.py [--cases exact graph large large_graph adding] [--scale 0.2] [--json]

Vectors are drawn, twenty a person. In each round every kind of search is made once, in random order, so that
what else the machine does falls on all of them: read the ratios, medians over the queries of the time for the
same one without a filter. "NumPy" is ``features @ query`` on a memory map, with the best sorted out; with a
filter, on the rows that it keeps.

exact        100,000 crops of 1,024 numbers, each compared; filters of cameras
graph        the same, by the HNSW graph: time to build, recall of the first ten
large        1,000,000 crops of 512 numbers, each compared, in processes of their own whose memory is measured
large_graph  the same, by the HNSW graph
adding       crops a second into a gallery, beside ``resight embed`` (of an untrained HAN-Small, or of --run)

``--scale`` multiplies the crops. Galleries stay in ``--folder``, by default a temporary one, so that a second
call with the same folder needs not build them again. Full size takes about an hour on 2 cores, most of it for
graphs.
"""

import argparse
import json
import os
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
from adding import adding  # noqa: F401 (a case)
from drawn_galleries import CAMERAS, NEVER, Array, build, draw
from numpy.typing import NDArray

from resight.gallery.crops import Filter
from resight.gallery.gallery import Gallery

CASES = ("exact", "graph", "large", "large_graph", "adding")


WARMING = 400
"""Searches in a process until its memory maps are set up: the first take twice as long by the graph."""


def cameras(count: int) -> tuple[str, ...]:
    return tuple(f"cam{number}" for number in range(count))


FILTERS: dict[str, Filter] = {
    "all": Filter(),
    **{f"{count} of {CAMERAS} cameras": Filter(cameras=cameras(count)) for count in (1, 5, 8, 9, 12, 19)},
    "all but 1 camera": Filter(not_cameras=cameras(1)),
}


def kept_rows(where: Filter, crops: int) -> NDArray[np.int64]:
    numbers = np.arange(crops) % CAMERAS
    if where.not_cameras:
        return np.flatnonzero(numbers >= 1)
    return np.flatnonzero(numbers < len(where.cameras)) if where.cameras else np.arange(crops)


def by_numpy(features: Array, query: Array, where: Filter) -> list[int]:
    if where == Filter():
        scores = features @ query
        best = np.argpartition(scores, -20)[-20:]
        return [int(row) for row in best[np.argsort(-scores[best])]]
    rows = kept_rows(where, len(features))
    scores = features[rows] @ query
    best = np.argpartition(scores, -20)[-20:]
    return [int(row) for row in rows[best[np.argsort(-scores[best])]]]


def searches(
    gallery: Gallery, features: Array, queries: Array, exact: bool, rounds: int
) -> tuple[list[dict[str, Any]], float]:
    """Time each kind of search; return that, and the median of the first 100 in this process, in ms.

    In each round all kinds, in random order, each with another query: right after another search for the same
    one, its crops are in the processor's caches.
    """
    jobs: dict[str, Callable[[Array], list[int]]] = {}
    for name, where in FILTERS.items():
        jobs[name] = lambda query, where=where: [  # type: ignore[misc]
            uuid.UUID(match.crop.id).int
            for match in gallery.search(vectors=query[None], where=where, exact=exact).matches
        ]
    for name in ("all", f"8 of {CAMERAS} cameras"):
        jobs[f"NumPy, {name}"] = lambda query, name=name: by_numpy(features, query, FILTERS[name])  # type: ignore[misc]

    def timed(job: Callable[[Array], list[int]], query: Array) -> tuple[float, list[int]]:
        begin = time.perf_counter()
        result = job(query)
        return 1000 * (time.perf_counter() - begin), result

    first = [timed(jobs["all"], query)[0] for query in queries[rounds:]]
    generator = random.Random(0)
    orders = {name: generator.sample(range(rounds), rounds) for name in jobs}
    times = {name: np.zeros(rounds) for name in jobs}
    found: dict[str, dict[int, list[int]]] = {name: {} for name in jobs}
    for turn in range(rounds):
        for name in generator.sample(list(jobs), len(jobs)):
            row = orders[name][turn]
            times[name][row], found[name][row] = timed(jobs[name], queries[row])
    hits = dict.fromkeys(jobs, 0)
    for name in jobs:
        for row, result in found[name].items():
            best = by_numpy(features, queries[row], FILTERS[name.removeprefix("NumPy, ")])
            hits[name] += len(set(result[:10]) & set(best[:10]))
    rows = [
        {
            "search": name,
            "p50_ms": float(np.percentile(times[name], 50)),
            "p95_ms": float(np.percentile(times[name], 95)),
            "times_all": float(np.median(times[name] / times["all"])),
            "recall_at_10": hits[name] / 10 / rounds,
        }
        for name in jobs
    ]
    return rows, float(np.median(first[:100]))


def drawn(folder: Path, crops: int, width: int) -> Array:
    """Return the vectors of a size, in a memory map."""
    file = folder / f"vectors-{crops}-{width}.npy"
    if not file.exists():
        np.save(file, draw(crops, width, 1))
    mapped: Array = np.load(file, mmap_mode="r")
    return mapped


def exact(options: argparse.Namespace) -> dict[str, Any]:
    """Search by comparing each crop."""
    return _searched(options, NEVER)


def graph(options: argparse.Namespace) -> dict[str, Any]:
    """Search by the graph."""
    return _searched(options, round(50_000 * options.scale))


def _searched(options: argparse.Namespace, graph_from: int) -> dict[str, Any]:
    crops = round(100_000 * options.scale)
    features = drawn(options.folder, crops, 1024)
    place = options.folder / f"{'exact' if graph_from == NEVER else 'graph'}-{crops}"
    found = build(place, [features], width=1024, graph_from=graph_from)
    if options.prepare:
        return found
    queries = draw(crops, 1024, 2)[: options.rounds + WARMING]
    for file in place.rglob("*"):
        if file.is_file():
            file.read_bytes()  # nothing waits for the disk, as nothing of the memory map does
    with Gallery.open(place) as gallery:
        rows, first = searches(gallery, features, queries, graph_from == NEVER, options.rounds)
        told = {"crops": crops, "width": 1024, **found, **gallery.facts()}
        return told | {"first_100_p50_ms": first, "rows": rows}


def large(options: argparse.Namespace) -> dict[str, Any]:
    """Fill a large gallery, and compare each crop, each in a process of its own whose memory is measured."""
    return _inside(options, "fill", "compare")


def large_graph(options: argparse.Namespace) -> dict[str, Any]:
    """Build its graph and search by it, likewise."""
    return _inside(options, "fill", "build", "search")


def _inside(options: argparse.Namespace, *steps: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--folder", str(options.folder)]
    command += ["--scale", str(options.scale), "--rounds", str(options.rounds), "--inside"]
    found: dict[str, Any] = {"crops": round(1_000_000 * options.scale), "width": LARGE_WIDTH}
    for step in steps[:-1] if options.prepare else steps:
        with subprocess.Popen([*command, step], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            most = 0.0
            while process.poll() is None:
                most = max(most, _anonymous_gb(process.pid))
                time.sleep(0.2)
            if process.returncode:
                raise SystemExit(process.returncode)
            found |= json.loads(process.stdout.read())
        if f"{step}_peak_gb" in found:
            found[f"{step}_anonymous_peak_gb"] = most
    return found


def _anonymous_gb(pid: int) -> float:
    """Return the memory of a process that no file stands behind, so that it cannot be dropped for others."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1e6


LARGE_WIDTH, PART = 512, 50_000


def inside(options: argparse.Namespace) -> dict[str, Any]:
    """Do one step."""
    crops = round(1_000_000 * options.scale)
    place, part = options.folder / f"large-{crops}", min(crops, PART)
    if options.inside == "fill":
        parts = (draw(part, LARGE_WIDTH, 1, start) for start in range(0, crops, part))
        return build(place, parts, width=LARGE_WIDTH, graph_from=crops // 4, compacted=False)
    queries = draw(part, LARGE_WIDTH, 2)[: options.rounds + 3]
    found: dict[str, Any] = {}
    with Gallery.open(place) as gallery:
        if options.inside == "build":
            begin, cpu = time.perf_counter(), time.process_time()
            if not gallery.facts()["indexed"]:
                gallery._store.compact()
            found["building_s"] = time.perf_counter() - begin
            found["building_cpu_s"] = time.process_time() - cpu
        else:
            exact = options.inside == "compare"
            found |= _large_searches(gallery, queries, exact) | gallery.facts()
        found["bytes"] = gallery.size()
    found[f"{options.inside}_peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return found


def _large_searches(gallery: Gallery, queries: Array, exact: bool) -> dict[str, float]:
    kinds = {"all": Filter()} | {
        f"{count}_cameras": Filter(cameras=cameras(count)) for count in (1, 4, 8, 12)
    }
    found = {}
    for query in queries:  # until the process's memory maps are set up
        gallery.search(vectors=query[None], top=10, exact=exact)
    for name, where in kinds.items():

        def search(query: Array, exact: bool = exact, where: Filter = where) -> set[str]:
            matches = gallery.search(vectors=query[None], top=10, exact=exact, where=where).matches
            return {match.crop.id for match in matches}

        found[f"{name}_p50_ms"] = p50(search, queries)
        if not exact:
            hits = [len(search(query) & search(query, exact=True)) for query in queries]
            found[f"{name}_recall_at_10"] = sum(hits) / 10 / len(queries)
    return found


def p50(search: Callable[[Array], object], queries: Array) -> float:
    times = []
    for query in queries:
        begin = time.perf_counter()
        search(query)
        times.append(1000 * (time.perf_counter() - begin))
    return float(np.median(times[3:]))


def show(case: str, found: dict[str, Any]) -> None:
    """Print a case's figures."""
    told = {name: value for name, value in found.items() if name != "rows"}
    print(f"{case}: " + ", ".join(f"{name} {_word(value)}" for name, value in told.items()))
    rows = found.get("rows", [])
    if rows:
        print("| " + " | ".join(rows[0]) + " |")
        print("|" + "---|" * len(rows[0]))
        for row in rows:
            print("| " + " | ".join(_word(value) for value in row.values()) + " |")
    print(flush=True)


def _word(value: object) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--prepare", action="store_true", help="only draw and build what the cases need")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", choices=["fill", "compare", "build", "search"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        json.dump(inside(options), sys.stdout)
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        options.folder.mkdir(parents=True, exist_ok=True)
        results = {}
        for case in options.cases:
            results[case] = globals()[case](options)
            if not options.json:
                show(case, results[case])
    if options.json:
        json.dump({"cores": os.cpu_count(), "load": os.getloadavg()[0], **results}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

"""Crops a second that the synthetic pedestrians are drawn at, and the processor seconds that each takes.

python benchmarks/people.py [--height 256] [--processes N] [--json]. The bound that the project keeps is 30
crops a second with two processes on two otherwise idle cores, at the command's default size; the processor
seconds say the same where other work shares the cores.
"""

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

from resight.people.generate import synthesize

BOUND = 30.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=60)
    parser.add_argument("--cameras", type=int, default=6)
    parser.add_argument("--crops", type=int, default=4)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before, start = _processor_seconds(), time.monotonic()
        made = synthesize(
            Path(folder) / "set",
            persons=options.persons,
            cameras=options.cameras,
            crops=options.crops,
            height=options.height,
            processes=options.processes,
        )
        wall, processor = time.monotonic() - start, _processor_seconds() - before
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.jpg")) / made.drawn
    result = {
        "crops": made.drawn,
        "height": options.height,
        "processes": options.processes,
        "crops_per_second": round(made.drawn / wall, 1),
        "processor_seconds_per_crop": round(processor / made.drawn, 4),
        "bytes_per_crop": round(size),
        "bound": BOUND,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "machine": platform.processor() or platform.machine(),
    }
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return
    print(
        f"{result['crops_per_second']} crops/s with {options.processes} processes "
        f"(bound: {BOUND:.0f} at height 256 on two idle cores); "
        f"{result['processor_seconds_per_crop']} processor seconds a crop, start-up included; "
        f"{result['bytes_per_crop']} bytes a crop; load of the machine {result['load']}."
    )


def _processor_seconds() -> float:
    """Return the processor time of this process and of the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    main()

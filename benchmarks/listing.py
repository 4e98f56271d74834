"""How long listing a folder of pictures takes, against ``os.scandir`` alone, in turn; and the memory.

python benchmarks/listing.py --files 1000000
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

from resight.folders import list_images
from resight.left_out import LeftOut


def scan(folder: str) -> int:
    """Count the files below a folder by ``os.scandir`` alone."""
    with os.scandir(folder) as entries:
        return sum(scan(e.path) if e.is_dir(follow_symlinks=False) else 1 for e in entries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="list this folder instead of an own one")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        root = options.folder or Path(own)
        for number in range(0 if options.folder else options.files):
            folder = root / f"{number // 1000:04}"
            if number % 1000 == 0:
                folder.mkdir()
            (folder / f"{number // 1000:04}_c1s1_{number % 1000:06}_00.jpg").touch()
        ratios = []
        for _ in range(options.runs):
            start = time.perf_counter()
            scan(str(root))
            alone = time.perf_counter()
            found = list_images(root, deep=True, left_out=LeftOut())
            ratios.append((time.perf_counter() - alone) / (alone - start))
    result = {
        "files": len(found),
        "times_of_scandir": [round(ratio, 2) for ratio in ratios],
        "median": round(statistics.median(ratios), 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    if options.json:
        print(json.dumps(result))
    else:
        times = f"{result['median']} times os.scandir ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{len(found):,} files: {times}, {result['peak_mb']} MB at most")


if __name__ == "__main__":
    main()

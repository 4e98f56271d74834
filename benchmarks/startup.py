"""How long ``resight --help`` takes: seconds of whole processes, median of several.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time

RUNS = 7


def main() -> None:
    command = [sys.executable, "-m", "resight.commands.main", "--help"]
    seconds = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    print(f"resight --help: {statistics.median(seconds[1:]):.2f} s (median of {RUNS})")


if __name__ == "__main__":
    main()

"""Crops a second from the decoded cache, against decoding each image when it is needed.

Makes its own random JPEGs, so it needs no data: python benchmarks/loading.py [--json]. The bound that the
project keeps is 10,000 crops a second at 256 x 128 on two cores, from the memory map to batches of uint8.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from resight.data.augment import AUGMENTATIONS
from resight.data.cache import PixelCache
from resight.data.crop import Crop
from resight.data.loader import Loader
from resight.data.samplers import SAMPLERS
from resight.imaging import Pixels, read_image

BATCH = 32
BOUND = 10_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int, default=4096)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    size = tuple(options.size)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options.crops, size, options.repeats, options.device)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{size[0]} x {size[1]}, batch {BATCH}, {os.cpu_count()} cores, median of {options.repeats}")
    for name, measured in results.items():
        print(f"{name:32} {measured:10,.0f} crops/s")
    if size == (256, 128):
        verdict = "kept" if results["cached"] >= BOUND else "MISSED"
        print(f"Bound of {BOUND:,} crops/s for the cached pipeline: {verdict}", file=sys.stderr)


def measure(folder: Path, count: int, size: tuple[int, int], repeats: int, device: str) -> dict[str, float]:
    """Return crops a second by name of what was measured."""
    crops = make_crops(folder / "crops", count)
    start = time.perf_counter()
    cache = PixelCache.open(crops, size, folder=folder / "cache")
    results = {"build the cache (once)": count / (time.perf_counter() - start)}
    paths = [crop.path for crop in crops]

    def decode(workers: int) -> Callable[[], object]:
        def run() -> None:
            with ThreadPoolExecutor(workers) as pool:
                for first in range(0, count, BATCH):
                    torch.from_numpy(np.stack(list(pool.map(read, paths[first : first + BATCH]))))

        def read(path: Path) -> Pixels:
            return read_image(path, size)

        return run

    for workers in (1, 2):
        name = f"decode each image, {workers} thread{'s' * (workers > 1)}"
        results[name] = rate(decode(workers), count, repeats)
    classes = np.array([crop.person - 1 for crop in crops], dtype=np.int64)
    sampler = SAMPLERS.build("random", classes, 0, batch_size=BATCH)
    every = [name for name in AUGMENTATIONS.names() if name != "downscale"]  # which needs a size
    for names in ([], *([name] for name in every), every):
        label = "cached" if not names else f"cached, {'all' if len(names) > 1 else names[0]}"
        augmentations = [AUGMENTATIONS.build(name) for name in names]
        loader = Loader(cache.pixels, classes, sampler, augmentations, torch.device(device), seed=0)
        results[label] = rate(lambda loader=loader: drain(loader.epoch(0), device), count, repeats)
    return results


def make_crops(folder: Path, count: int) -> list[Crop]:
    """Write smooth random JPEGs of 128 x 64, as large in bytes as real crops."""
    folder.mkdir()
    random = np.random.default_rng(0)
    crops = []
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (32, 16, 3), dtype=np.uint8))
        path = folder / f"{index:06}.jpg"
        coarse.resize((64, 128), Image.Resampling.BICUBIC).save(path, quality=90)
        crops.append(Crop(path, index // 8 + 1, index % 2))
    return crops


def rate(run: Callable[[], object], count: int, repeats: int) -> float:
    """Return crops a second, the median of several runs after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return count / median(times[1:])


def drain(batches: Iterable[object], device: str) -> None:
    """Take every batch, and wait for the device."""
    for _ in batches:
        pass
    if device.startswith("cuda"):
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()

"""Crops a second of HAN in training and in embedding: from plain PyTorch to what Resight does, step by step.

Needs no data: python benchmarks/forward.py [--size small] [--batch 32] [--json]. Every measurement is a
process of its own, because the handling of freed memory holds for a whole process; rounds alternate between
the steps, so that a busy machine slows all of them.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from resight.memory import keep_freed_memory
from resight.models import han
from resight.models.folding import folded
from resight.models.network import build_model

STEPS = {
    "plain": "float32, grid_sample, memory given back, order of channels first",
    "regions": "regions cut as windows",
    "memory": "freed memory kept",
    "channels_last": "channels last in memory",
    "bfloat16": "convolutions in bfloat16",
    "folded": "batch normalisation folded (embedding only)",
}
PERSONS = 751


def main() -> None:
    """Measure each step and print a table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("small", "medium", "large"), default="small")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--one", choices=tuple(STEPS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        torch.set_num_threads(options.threads)
        print(json.dumps(measure(options.one, options.size, options.batch)))
        return
    command = [sys.executable, __file__, "--size", options.size, "--batch", str(options.batch)]
    command += ["--threads", str(options.threads), "--one"]
    found: dict[str, list[dict[str, float]]] = {step: [] for step in STEPS}
    for number in range(options.rounds):
        for step, rounds in found.items():
            print(f"round {number + 1} of {options.rounds}: {step}", file=sys.stderr)
            output = subprocess.run([*command, step], check=True, capture_output=True, text=True).stdout
            rounds.append(json.loads(output))
    result = {
        step: {key: round(median(one[key] for one in rounds), 1) for key in rounds[0]}
        for step, rounds in found.items()
    }
    if options.json:
        print(
            json.dumps({"size": options.size, "batch": options.batch, "crops_per_second": result}, indent=2)
        )
        return
    print(f"HAN({options.size}), batches of {options.batch}, {options.threads} threads, crops a second")
    for step, rates in result.items():
        ratios = {key: rate / result["plain"][key] for key, rate in rates.items()}
        line = "  ".join(f"{key} {rate:6.1f} ({ratios[key]:.1f}x)" for key, rate in rates.items())
        print(f"{step:14} {line}  {STEPS[step]}")


def measure(step: str, size: str, batch: int) -> dict[str, float]:
    """Return crops a second in training and in embedding with everything up to that step."""
    on = set(list(STEPS)[: list(STEPS).index(step) + 1])
    if "regions" not in on:
        han.cut_regions = sampled_regions
    if "memory" in on:
        keep_freed_memory()
    order = torch.channels_last if "channels_last" in on else torch.contiguous_format
    torch.manual_seed(0)
    model = build_model("han", PERSONS, size=size).to(memory_format=order)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (batch, 160, 64, 3), dtype=np.uint8))
    images = pixels.permute(0, 3, 1, 2).contiguous(memory_format=order)
    persons = torch.randint(PERSONS, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in on):
            branches = model(model.normalise(images)).branches.values()
        loss = sum(functional.cross_entropy(branch.logits.float(), persons) for branch in branches)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    training = batch / seconds(train)
    ready = folded(model) if "folded" in on else model.eval()

    def embed() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in on):
            ready.embed(ready.normalise(images))

    return {"training": training, "embedding": batch / seconds(embed)}


def seconds(work: Callable[[], None]) -> float:
    """Return the median time of the work, after two rounds of warming up."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times[2:])


def sampled_regions(maps: Tensor, centres: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut regions as a spatial transformer is usually written."""
    batch, channels, height, width = maps.shape
    regions = centres.shape[1]
    theta = maps.new_zeros(batch, regions, 2, 2)
    theta[..., 0, 0], theta[..., 1, 1] = size[1] / width, size[0] / height
    theta = torch.cat([theta, centres.unsqueeze(-1)], dim=-1).flatten(0, 1)
    grid = functional.affine_grid(theta, [batch * regions, channels, *size], align_corners=False)
    return functional.grid_sample(maps.repeat_interleave(regions, 0), grid, align_corners=False)


if __name__ == "__main__":
    main()

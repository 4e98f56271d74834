"""Memory and time of a training step with and without activation checkpointing (``recompute``).

python benchmarks/recompute.py [--recipes sona-2 sal] [--batch 4] [--repeats 3]

Forward and backward pass on a CPU, in float32. Memory is the peak of a process above what it holds before the
pass (weights and gradients); time is the least processor time of the repeats, in turn.
"""

import argparse
import json
import os
import resource
import time

import torch

from resight.models.network import build_model
from resight.models.pretrained import trunk_of
from resight.training.reading import load_recipe


def measured(name: str, batch: int, recompute: bool) -> tuple[float, float]:
    """Return the peak of memory in GB and the processor's seconds of a step, measured in another process."""
    read, write = os.pipe()
    if child := os.fork():
        os.close(write)
        with os.fdopen(read) as stream:
            megabytes, seconds = json.load(stream)
        os.waitpid(child, 0)
        return megabytes, seconds
    recipe = load_recipe(name)
    model = build_model(recipe.model.name, 751, **recipe.model.settings)
    model = model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    trunk = trunk_of(model, "recompute")
    trunk.recomputed = tuple(trunk.channels) if recompute else ()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    images = torch.randn(batch, 3, *model.input_size).to(memory_format=torch.channels_last)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    branches = model(images).branches.values()
    torch.stack([branch.embedding.square().mean() for branch in branches]).sum().backward()
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with os.fdopen(write, "w") as stream:
        json.dump([(peak - before) / 1e6, seconds], stream)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipes", nargs="+", default=["sona-2", "sal"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for name in options.recipes:
        found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for _ in range(options.repeats):
            for recompute, values in found.items():
                values.append(measured(name, options.batch, recompute))
        (memory, seconds), (less, more) = (map(min, zip(*values, strict=True)) for values in found.values())
        print(
            f"{name}, batch {options.batch}: {memory:.2f} GB, with recompute {less:.2f} GB "
            f"({less / memory:.0%}); processor time x {more / seconds:.2f}"
        )


if __name__ == "__main__":
    main()

"""Steps a second of the trainer, against a bare loop of forward, backward and step on one batch in memory.

python benchmarks/training.py [--recipe han-small-fast] [--steps 200] [--repeats 3] [--device auto]

Both train the same model by the same optimiser in the same precision. The trainer's time is that of its
whole loop: batches, augmentation, schedule, log, and the checkpoint at the end of the epoch, which ``steps``
should make about as long as a real one. The two take turns, and medians count. The bound that the project
keeps is 95 % of the bare loop; processor seconds say the same where other work shares the cores.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from resight.data.opening import open_benchmark
from resight.device import autocast, resolve_device
from resight.losses.objective import Objective
from resight.losses.term import TERMS
from resight.models.complexity import example
from resight.models.network import build_model
from resight.training.loop import Loop
from resight.training.optimizers import OPTIMIZERS
from resight.training.reading import load_recipe
from resight.training.recipe import Recipe
from resight.training.trainer import train

PERSONS = 128
BOUND = 0.95


class Bare:
    """Forward, backward and step on one batch."""

    def __init__(self, recipe: Recipe, batch_size: int, device: torch.device) -> None:
        stage = recipe.stages[0]
        model = build_model(recipe.model.name, PERSONS, **recipe.model.settings)
        terms = [
            (term.name, term.weight, TERMS.build(term.term, **term.settings)) for term in stage.objective
        ]
        self.objective = Objective(terms, example(model), PERSONS)
        self.model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = OPTIMIZERS.build(
            stage.optimizer.name, self.model.parameters(), **stage.optimizer.settings
        )
        pixels = torch.randint(
            0, 256, (batch_size, 3, *self.model.input_size), dtype=torch.uint8, device=device
        )
        self.images = self.model.normalise(pixels.to(memory_format=torch.channels_last))
        self.persons = torch.randint(0, PERSONS, (batch_size,), device=device)
        self.device, self.precision = device, recipe.precision

    def run(self, steps: int) -> None:
        for _ in range(steps):
            with autocast(self.device, self.precision):
                representation = self.model(self.images)
            loss, _ = self.objective(representation, self.persons)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        loss.item()


def draw_crops(root: Path, count: int) -> Path:
    generator = np.random.default_rng(0)
    for index in range(count):
        path = root / f"{index % PERSONS:04d}" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (128, 64, 3), dtype=np.uint8)).save(path)
    return root


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="han-small-fast")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, ["stages.0.epochs=1"])
    recipe = recipe.model_copy(update={"stages": recipe.stages[:1]})
    batch_size = recipe.stages[0].sampler.settings["batch_size"]
    device = resolve_device(options.device)
    spent: dict[str, list[tuple[float, float]]] = {"bare": [], "trainer": []}
    loop_run = Loop.run

    def timed(name: str, run: Callable[[], None]) -> None:
        start, processor = time.perf_counter(), time.process_time()
        run()
        spent[name].append((time.perf_counter() - start, time.process_time() - processor))

    Loop.run = lambda loop, _: timed("trainer", lambda: loop_run(loop, None))  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESIGHT_CACHE"] = f"{folder}/cache"
        crops = draw_crops(Path(folder) / "crops", options.steps * batch_size)
        benchmark = open_benchmark(crops, holdout=0)
        bare = Bare(recipe, batch_size, device)
        for repeat in range(options.repeats + 1):
            train(recipe, benchmark, f"{folder}/run-{repeat}", device=options.device)
            timed("bare", lambda: bare.run(options.steps))
    # the first round warms up
    wall = {name: statistics.median(second for second, _ in values[1:]) for name, values in spent.items()}
    processor = {
        name: statistics.median(second for _, second in values[1:]) for name, values in spent.items()
    }
    result = {
        "recipe": recipe.name,
        "device": str(device),
        "batch_size": batch_size,
        "steps_per_second": {name: round(options.steps / value, 3) for name, value in wall.items()},
        "crops_per_second": {
            name: round(options.steps * batch_size / value, 1) for name, value in wall.items()
        },
        "processor_seconds_per_step": {
            name: round(value / options.steps, 4) for name, value in processor.items()
        },
        "ratio": round(wall["bare"] / wall["trainer"], 3),
        "processor_ratio": round(processor["bare"] / processor["trainer"], 3),
        "bound": BOUND,
    }
    print(json.dumps(result, indent=2))
    sys.exit(wall["bare"] / wall["trainer"] < BOUND)


if __name__ == "__main__":
    main()

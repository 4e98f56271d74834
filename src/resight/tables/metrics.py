"""What the columns of a table measure: scores of a run, and costs of a network without training it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from resight.models.complexity import measure
from resight.models.network import Network, build_model
from resight.training.fitting import bare_model
from resight.training.recipe import Recipe

FORWARD_PASSES = 10
"""SONA, Section 3.5: "single image inference time (with ten runs)"."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A column's quantity.

    Attributes:
        title: in headings.
        kind: ``score``: of a run on a data set; ``training``: from a run's log, relative to the reference
            row; ``network``: counted without training; ``time``: of a forward pass on this device.
        digits: after the decimal point; None: a count, printed as 3.68e8.
        factor: from a stored fraction to the printed figure.
        smaller: whether smaller figures are better.
    """

    title: str
    kind: Literal["score", "training", "network", "time"] = "score"
    digits: int | None = 1
    factor: float = 100.0
    smaller: bool = False

    def shown(self, value: float, sign: bool = False) -> str:
        """Return a figure as text, with its sign if asked for."""
        if self.digits is None:
            return f"{'+' if sign and value > 0 else ''}{count(value)}"
        return f"{value:{'+' if sign else ''}.{self.digits}f}"


METRICS: dict[str, Metric] = {
    "mAP": Metric("mAP"),
    "rank1": Metric("Rank-1"),
    "rank5": Metric("Rank-5"),
    "rank10": Metric("Rank-10"),
    "top1_error": Metric("Error", digits=2, smaller=True),
    "loss_change": Metric("Training loss, change %", "training", 2, smaller=True),
    "flops": Metric("FLOPs", "network", None, 1.0, smaller=True),
    "context1": Metric("block1 (M)", "network", 2, smaller=True),
    "context2": Metric("block2 (M)", "network", 2, smaller=True),
    "context3": Metric("block3 (M)", "network", 2, smaller=True),
    "context": Metric("total (M)", "network", 2, smaller=True),
    "milliseconds": Metric("Forward pass, ms", "time", 2, smaller=True),
}
"""Name in a table's file -> the quantity."""


def count(value: float) -> str:
    """Return a large count as text: ``3.68e8``."""
    return f"{value:.2e}".replace("e+0", "e").replace("e+", "e")


def network_figure(name: str, recipe: Recipe) -> float:
    """Return a figure of the kind ``network`` for a recipe's model, in the paper's unit."""
    model = bare_model(recipe.model)
    return float(measure(model).flops) if name == "flops" else _context_parameters(model, name)


def _context_parameters(model: Network, name: str) -> float:
    """Return millions of weights in the convolutions of the context-aware units (Sharp, Table II)."""
    layers = ("1", "2", "3") if name == "context" else (name.removeprefix("context"),)
    prefixes = tuple(f"attentions.layer{layer}." for layer in layers)
    total = sum(
        module.weight.numel()
        for place, module in model.named_modules()
        if place.startswith(prefixes)
        and ".context." in place
        and isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    )
    return total / 1e6


def pass_times(recipe: Recipe, device: torch.device) -> list[float]:
    """Return the time of each of ten forward passes of one crop, in milliseconds, after two to warm up."""
    model = build_model(recipe.model.name, 1, **recipe.model.settings).to(device).eval()
    images = torch.zeros(1, 3, *model.input_size, device=device)
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else _no_wait
    times = []
    with torch.inference_mode():
        for _ in range(FORWARD_PASSES + 2):
            wait()
            start = time.perf_counter()
            model.describe(images)
            wait()
            times.append(1000 * (time.perf_counter() - start))
    return times[2:]


def _no_wait() -> None:
    """Return at once: a CPU has finished when the call returns."""

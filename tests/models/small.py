"""Every network that comes with Resight, in every variant that has a name, small enough for quick tests."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from resight.models.network import MODELS, Network, build_model

PERSONS = 5
LIGHT: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 18, "width": 0.25},
    "mobilenet": {"width": 0.25},
    "osnet": {"width": 0.25},
    "mobilenet-v2": {"width": 0.25},
    "mobilenet-v3": {"width": 0.25},
}
"""What makes a trunk light; one that is not here stays as it is."""


def every_variant() -> list[tuple[str, str]]:
    """Return (network, variant) of all that ``small`` does not make alike.

    The variant of a network that names none is its own name.
    """
    ours = [name for name in MODELS.names() if MODELS.get(name).__module__.startswith("resight.")]
    found: dict[str, tuple[str, str]] = {}
    for name in ours:
        for variant in MODELS.get(name).variants or (name,):
            found.setdefault(f"{name} {_light(name, variant)}", (name, variant))
    return list(found.values())


def _light(name: str, variant: str) -> dict[str, Any]:
    """Return the settings of a variant with a light trunk."""
    settings = MODELS.defaults(name, MODELS.get(name).variants.get(variant, {}))
    if "trunk" in settings:
        settings["trunk"] |= LIGHT.get(settings["trunk"]["name"], {})
    return settings


def small(name: str, variant: str, widest: int = 32) -> Network:
    """Build a variant with a light trunk, narrow blocks and crops of 64x32, as after some training.

    Args:
        widest: pixels that a crop is wide at most.
    """
    settings = _light(name, variant)
    height, width = settings["input_size"]
    changes: dict[str, Any] = {"input_size": (min(height, 64), min(width, widest))}
    if name == "vit":
        changes |= {"width": 48, "depth": 2, "heads": 2}
    if "widths" in settings:
        changes["widths"] = (16, 32, 48)
    model = build_model(name, PERSONS, **settings | changes)
    settle(model, model, model.input_size)
    return model


def settle(model: nn.Module, run: Callable[[Tensor], object], size: tuple[int, int] = (64, 32)) -> None:
    """Draw the normalisations' weights, wake the attention, and take the statistics of some pictures.

    At the start a normalisation does next to nothing, and with statistics that are merely drawn a deep
    network says the same of every picture: either would hide mistakes.

    Args:
        model: what to settle.
        run: passes pictures through it.
        size: height and width of the pictures.
    """
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
        norm.momentum = 1.0
    for part in model.modules():
        if isinstance(part, nn.Conv2d) and not part.weight.any():
            nn.init.normal_(part.weight, std=0.1)
    with torch.no_grad():
        run(pictures(size, 8))
    for norm in norms:
        norm.momentum = 0.1


def pictures(size: tuple[int, int], batch: int = 2) -> Tensor:
    """Draw smooth pictures [B, 3, *size]: white noise looks the same to a network that pools."""
    return 2 * functional.interpolate(torch.randn(batch, 3, 4, 2), size, mode="bilinear")

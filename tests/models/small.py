"""Every network that comes with Resight, in every variant that has a name, small enough for quick tests."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from resight.models.network import MODELS, Network, build_model

PERSONS = 5
LIGHT: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 18},
    "mobilenet": {"width": 0.25},
    "osnet": {"width": 0.25},
}
"""What makes a trunk light; one that is not here stays as it is."""


def every_variant() -> list[tuple[str, str]]:
    """Return (network, variant) of all; the variant of a network that names none is its own name."""
    ours = [name for name in MODELS.names() if MODELS.get(name).__module__.startswith("resight.")]
    return [(name, variant) for name in ours for variant in MODELS.get(name).variants or (name,)]


def small(name: str, variant: str) -> Network:
    """Build a variant with a light trunk, narrow blocks and crops of 64x32, as after some training."""
    settings = MODELS.defaults(name, MODELS.get(name).variants.get(variant, {}))
    changes: dict[str, Any] = {"input_size": (64, 32)}
    if "trunk" in settings:
        changes["trunk"] = settings["trunk"] | LIGHT.get(settings["trunk"]["name"], {})
    if "widths" in settings:
        changes["widths"] = (16, 32, 48)
    return trained(build_model(name, PERSONS, **settings | changes))


def pictures(model: Network, batch: int = 2) -> Tensor:
    """Draw what ``embed`` takes."""
    return torch.randn(batch, 3, *model.picture_size)


M = TypeVar("M", bound=nn.Module)


def trained(model: M) -> M:
    """Give batch normalisation weights and statistics unlike those of the start, and attention a say."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 1.0, 3.0)
            nn.init.uniform_(part.weight, 0.3, 1.0)
            nn.init.normal_(part.bias, std=0.1)
        elif isinstance(part, nn.Conv2d) and not part.weight.any():
            nn.init.normal_(part.weight, std=0.1)
    return model

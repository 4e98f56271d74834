"""Small adaptations, and pictures to adapt to."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from resight.data.crop import DISTRACTOR, Crop
from resight.data.unlabelled import Unlabelled, read_unlabelled
from resight.models.network import Network, build_model
from resight.training.adapting import Adapted, adapt
from resight.training.reading import parse_recipe
from resight.training.recipe import Recipe

LABELLING = {"neighbours": 6, "averaged": 2, "within": 0.7, "crops": 3, "patience": 9, "alike": 100.0}
"""An untrained network finds all persons alike."""


def recipe(**changes: Any) -> Recipe:
    stage = {
        "epochs": 2,
        "sampler": {"name": "pk", "persons": 4, "crops": 2, "epoch": 3},
        "augment": [{"name": "mirror"}],
        "objective": [{"term": "cluster-memory"}],
        "optimizer": {"name": "adamw", "lr": 0.01},
    }
    content = {
        "name": "small",
        "model": {"name": "tiny"},
        "stages": [stage],
        "labelling": LABELLING,
        "ema": 0.5,
        "precision": "float32",
    }
    return parse_recipe(content | changes, "small recipe", fitting=False)


def network() -> Network:
    torch.manual_seed(0)
    return build_model("tiny", 3).eval()


def crops_of(folder: Path) -> list[Crop]:
    """List the pictures as one without labels finds them: by their names' order, cameras after ``c``."""
    paths = sorted(folder.rglob("*.png"))
    return [Crop(path, DISTRACTOR, int(path.name.partition("_c")[2][0])) for path in paths]


def unlabelled(folder: Path) -> Unlabelled:
    return read_unlabelled(crops_of(folder), (16, 8))


def run(folder: Path, data: Path, chosen: Recipe | None = None) -> Adapted:
    return adapt(
        network(),
        chosen or recipe(),
        unlabelled(data),
        folder,
        device="cpu",
        log_steps=1,
        checkpoint_seconds=0,
    )


def pictures(folder: Path, persons: int, crops: int, noise: float, cameras: int = 2) -> Path:
    """Draw crops, each person a colour."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    for person in range(persons):
        colour = generator.integers(0, 256, 3)
        for crop in range(crops):
            pixels = np.clip(colour + generator.normal(0, noise, (16, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{person}-{crop}_c{crop % cameras + 1}.png")
    return folder

"""Crops and a recipe so small that a training takes a second."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RECIPE = """
base: han-small
model:
  input_size: [64, 32]
  widths: [16, 16, 16]
  feature_size: 16
stages:
  - name: main
    epochs: 2
    sampler: {name: random, batch_size: 12}
    objective: [{term: cross-entropy}]
    optimizer: {name: sgd, lr: 0.01}
    schedule: {name: multi-step, epochs: [1]}
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 crops of 6 persons to train on, 16 of 4 others to test on, in Market-1501's layout."""
    root = tmp_path_factory.mktemp("sets") / "people"
    random = np.random.default_rng(0)
    for person in range(1, 11):
        colour = random.integers(0, 256, 3)
        for camera in (1, 2):
            for crop in range(2):
                part = "bounding_box_train" if person <= 6 else ("query", "bounding_box_test")[crop]
                (root / part).mkdir(parents=True, exist_ok=True)
                pixels = np.clip(colour + random.normal(0, 25, (32, 16, 3)), 0, 255).astype(np.uint8)
                name = f"{person:04d}_c{camera}s1_{crop:06d}_00.png"
                Image.fromarray(pixels).save(root / part / name)
    return root


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "small.yaml"
    path.write_text(RECIPE)
    return path

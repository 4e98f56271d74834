"""Crops for the tests of ``resight gallery``."""

from pathlib import Path

import numpy as np
from PIL import Image


def crops(root: Path, persons: int = 6) -> Path:
    """Draw 2 cameras x 2 crops of each person in Market-1501's layout, named after times."""
    generator = np.random.default_rng(0)
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder).mkdir(parents=True)
    for person in range(1, persons + 1):
        colours = generator.integers(30, 226, (4, 1, 3)).repeat(16, 0)
        for camera in (1, 2):
            for at in range(2):
                pixels = np.clip(colours + generator.normal(0, 12, (64, 32, 3)), 0, 255).astype(np.uint8)
                name = f"{person:04d}_c{camera}s1_17171568{person}{at}_00.jpg"
                folder = "query" if camera == 1 and at == 0 else "bounding_box_test"
                Image.fromarray(pixels).save(root / folder / name)
    return root

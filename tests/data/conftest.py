"""Small data sets of made-up images."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteImages = Callable[[Iterable[str]], Path]


@pytest.fixture
def write_images(tmp_path: Path) -> WriteImages:
    """Return a function that writes a small random image to each path under a folder, which it returns."""
    random = np.random.default_rng(0)
    root = tmp_path / "set"

    def write(names: Iterable[str]) -> Path:
        root.mkdir(exist_ok=True)
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (8, 4, 3), dtype=np.uint8)).save(path)
        return root

    return write


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests away from the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RESIGHT_CACHE", str(folder))
    return folder

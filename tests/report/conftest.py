"""Small sets of made-up people, and runs trained on them for a moment."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from resight.data.benchmark import Benchmark
from resight.data.opening import open_benchmark
from resight.training.reading import load_recipe
from resight.training.run import Run
from resight.training.trainer import train

TINY = ("model.input_size=[64,32]", "model.widths=[16,16,16]", "model.feature_size=32", "stages.0.epochs=2")
BARE = ("model.spatial=false", "model.channel=false", "model.local=false")

HOSTILE = ("<script>alert(1)", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "O'Neil & Söhne")
"""Folder names that would run as code, or spoil the page, if they were not escaped."""

Trained = Callable[..., Run]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Eight persons to train on and four with hostile names to test on: 2 cameras, 3 crops each."""
    root = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(0)
    for number, name in enumerate([*(f"a{index}" for index in range(8)), *(f"b{name}" for name in HOSTILE)]):
        colour = random.integers(0, 256, (2, 1, 3)).repeat(32, 0)
        for camera in (1, 2):
            for crop in range(3):
                pixels = colour + 20 * camera + random.normal(0, 25, (64, 32, 3))
                path = root / name / f"<b>{number}_c{camera}_{crop}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return open_benchmark(root, holdout=4, pattern=r"_c(?P<camera>\d)_")


@pytest.fixture(scope="session")
def trained(people: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a function that trains a tiny HAN, with overrides of the recipe, on the people."""

    def run(*overrides: str) -> Run:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RESIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
            recipe = load_recipe("han-small", [*TINY, *overrides])
            return train(recipe, people, tmp_path_factory.mktemp("runs") / "run", device="cpu")

    return run


@pytest.fixture(scope="session")
def run(trained: Trained) -> Run:
    """A run of the whole network, evaluated after its first epoch."""
    return trained("evaluate_every=1")


@pytest.fixture(scope="session")
def bare_run(trained: Trained) -> Run:
    """A run of a network without any attention."""
    return trained(*BARE)

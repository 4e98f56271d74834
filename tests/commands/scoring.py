"""Features drawn at random, and what ``resight score`` prints for them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from resight.commands.score import score
from resight.evaluation.embedded import Embedded

Arrays = dict[str, np.ndarray]


def draw(seed: int, crops: int) -> Arrays:
    generator = np.random.default_rng(seed)
    return {
        "features": generator.normal(size=(crops, 8)).astype(np.float32),
        "persons": generator.integers(1, 6, crops),
        "cameras": generator.integers(0, 3, crops),
    }


def embedded(arrays: Arrays) -> Embedded:
    return Embedded(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def run(capsys: pytest.CaptureFixture[str], *arguments: Path, **options: object) -> tuple[dict, str]:
    score(*arguments, device="cpu", json=True, **options)
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err

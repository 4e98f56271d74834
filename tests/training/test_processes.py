"""Processes that train together do what one does with the same batches."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shared_jobs
import tiny
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.files import sole_use
from resight.models.network import MODELS, Network
from resight.models.representation import Branch, Representation
from resight.training.checkpoint import load_checkpoint
from resight.training.reading import parse_recipe
from resight.training.recipe import Recipe
from resight.training.run import Run
from resight.training.stages import check_sampler
from resight.training.trainer import train


@MODELS.register("unnormalised")
class Unnormalised(Network):
    """Without batch normalisation, the crops of a batch do not depend on each other."""

    def __init__(self, persons: int) -> None:
        super().__init__((16, 8))
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU())
        self.classifier = nn.Linear(8, persons)

    def forward(self, images: Tensor) -> Representation:
        """Return one branch."""
        embedding = self.trunk(images).mean((2, 3))
        return Representation({"global": Branch(embedding, self.classifier(embedding))})


def varied() -> Recipe:
    """Return three steps with everything that could differ between processes.

    Augmentation with noise, the model's draws, classifiers without a gradient in one stage, batches in
    parts in the other; terms on maps and between crops, an average.
    """
    rank: dict[str, Any] = {
        "name": "rank",
        "epochs": 1,
        "sampler": {"name": "pk", "persons": 4, "crops": 4},
        "augment": [
            {"name": "mirror"},
            {"name": "pad-and-crop", "padding": 2},
            {"name": "random-resized-crop"},
            {"name": "random-erasing"},
            {"name": "colour-jitter"},
        ],
        "objective": [{"term": "triplet"}, {"term": "self-attention"}, {"term": "centre", "weight": 0.01}],
        "optimizer": {"name": "sgd", "lr": 0.02},
        "clip_gradient": 1.0,
    }
    classify = rank | {
        "name": "classify",
        "sampler": {"name": "random", "batch_size": 16, "drop_last": True},
        "objective": [{"term": "cross-entropy"}, {"term": "total-variation", "of": "mask"}],
        "accumulate": 2,
    }
    content = {
        "name": "varied",
        "model": {"name": "varied"},
        "stages": [rank, classify],
        "precision": "float32",
    }
    return parse_recipe(content | {"ema": 0.5, "recompute": ["layer2"]}, "recipe")


@pytest.fixture(scope="module")
def done(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[int]]]:
    """The folder of trainings by one and by two processes, and the exit statuses of their processes."""
    folder = tmp_path_factory.mktemp("shared")
    jobs: dict[str, dict[str, Any]] = {
        "one": {"ranks": 1},
        "two": {"ranks": 2},
        "killed": {"ranks": 2, "dies": 1},
        "resumed": {"ranks": 2, "folder": "killed", "resume": True},
    }
    same = {"data": str(tiny_data), "recipe": varied().as_dict()}
    plan = [job | same | {"folder": str(folder / job.get("folder", name))} for name, job in jobs.items()]
    command = [sys.executable, shared_jobs.__file__, json.dumps(plan)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    return folder, dict(zip(jobs, json.loads(found.stdout), strict=True))


def said(folder: Path) -> list[str]:
    """Return what each of two processes said."""
    return [Path(f"{folder}.{rank}.txt").read_text() for rank in range(2)]


def state(folder: Path) -> dict[str, Tensor]:
    """Return weights, average, running statistics and the optimiser's state."""
    kept = load_checkpoint(folder / "checkpoint.pt")
    found = {f"model.{name}": value for name, value in kept["model"].items()}
    found |= {f"objective.{name}": value for name, value in kept["objective"].items()}
    found |= {f"weights.{name}": value for name, value in load_file(folder / "weights.safetensors").items()}
    for index, values in kept["optimizer"]["state"].items():
        found |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    return found


def assert_near(folder: Path, other: Path, tolerance: float = 1e-5) -> None:
    found, expected = state(folder), state(other)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_two_processes_end_where_one_does(done: tuple[Path, dict[str, list[int]]]) -> None:
    folder, statuses = done
    one, two = folder / "one", folder / "two"
    assert statuses["two"] == [0, 0], said(two)
    assert Run.open(two).info["steps"] == 3
    assert [Run.open(path).info["processes"] for path in (one, two)] == [1, 2]
    assert_near(two, one, 1e-10)
    for line, same in zip(Run.open(two).metrics(), Run.open(one).metrics(), strict=True):
        assert line["terms"] == pytest.approx(same["terms"], rel=1e-10)
    assert "Trained 2 epochs" in said(two)[0]
    assert said(two)[1] == ""  # the first process speaks for all


def test_if_one_process_dies_the_other_says_so_and_the_run_can_be_resumed(
    done: tuple[Path, dict[str, list[int]]],
) -> None:
    folder, statuses = done
    killed = folder / "killed"
    assert statuses["killed"] == [1, -signal.SIGKILL]
    assert re.search(r"^resight: Another process has stopped; .* Go on with: ", said(killed)[0], re.M)
    assert statuses["resumed"] == [0, 0], said(killed)
    assert_near(killed, folder / "two", 0)
    assert [entry["step"] for entry in Run.open(killed).info["resumed"]] == [1]


def test_parts_of_a_batch_give_the_gradient_of_the_whole(tiny_data: Path, tmp_path: Path) -> None:
    """Where crops do not depend on each other: no batch normalisation, terms that are means over crops."""
    benchmark = open_benchmark(tiny_data)
    for name, parts in (("whole", 1), ("parts", 4)):
        content = tiny.tiny_recipe(model={"name": "unnormalised"}, precision="float32").as_dict()
        stage = content["stages"][1] | {"accumulate": parts}
        chosen = parse_recipe(content | {"stages": [stage]}, "recipe")
        train(chosen, benchmark, tmp_path / name, device="cpu")
    assert_near(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize(
    ("stage", "processes", "accumulate", "message"),
    [
        (
            0,
            3,
            1,
            r"a batch of 8 crops cannot be divided into 3 equal parts .* Set batch_size to a multiple of",
        ),
        (0, 4, 1, r"a batch of 2 crops .* It is the last of an epoch: .*sampler\.drop_last=true"),
        (1, 8, 1, r"a batch of 4 persons cannot .* Set persons to a multiple of 8, or change the number of"),
        (1, 1, 3, r"a batch of 4 persons .*3 equal parts \(processes: 1, accumulate: 3\)"),
        (1, 1, 4, r"would have one of its 4 persons, .* Set it to 2 or less; got 4\."),
    ],
)
def test_batches_that_cannot_be_divided_are_refused(
    stage: int, processes: int, accumulate: int, message: str
) -> None:
    content = tiny.tiny_recipe().as_dict()
    changes = {"accumulate": accumulate, "objective": [{"term": "cross-entropy"}, {"term": "triplet"}]}
    content["stages"] = [content["stages"][stage] | changes]
    with pytest.raises(UserError, match=message):
        check_sampler(parse_recipe(content, "recipe"), np.repeat(np.arange(7), 6), None, processes)


def test_a_second_job_in_the_same_folder_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    benchmark, folder = open_benchmark(tiny_data), tmp_path / "run"
    with (
        sole_use(folder / "lock"),
        pytest.raises(UserError, match=r"Another process is training in .*run\. Wait for it, or choose"),
    ):
        train(tiny.tiny_recipe(), benchmark, folder, device="cpu")

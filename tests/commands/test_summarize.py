"""``resight summarize``, and the splits that it is for, as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest
from calling import call, call_json
from PIL import Image

from resight.errors import UserError

SETTINGS = (
    "model.input_size=[64, 32]",
    "model.widths=[16, 16, 16]",
    "model.feature_size=16",
    "stages.0.sampler.batch_size=6",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw 12 persons as VIPeR has them, each in a colour."""
    root = tmp_path_factory.mktemp("sets") / "VIPeR"
    random = np.random.default_rng(0)
    for person in range(12):
        colour = random.integers(0, 256, 3)
        for camera in "ab":
            (root / f"cam_{camera}").mkdir(parents=True, exist_ok=True)
            pixels = np.clip(colour + random.normal(0, 40, (32, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / f"cam_{camera}" / f"{person:03}_00.png")
    return root


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Train on two splits."""
    folder = tmp_path_factory.mktemp("runs")
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    for split in range(2):
        options = ("--reader", "viper,test_persons=6", "--split", split, "--epochs", 1, "--device", "cpu")
        call("train", "han-small", "--data", data, *options, "--out", folder / str(split), *sets)
    return [folder / str(split) for split in range(2)]


def test_splits_are_summarised(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = call_json(capsys, "summarize", *runs)
    scores = [json.loads((run / "scores.json").read_text()) for run in runs]
    for name in ("mAP", "rank1", "mINP"):
        values = [one[name] for one in scores]
        assert found["spread"][name]["mean"] == pytest.approx(np.mean(values))
        assert found["spread"][name]["std"] == pytest.approx(np.std(values, ddof=1))
        assert [one[name] for one in found["runs"]] == values
    assert (found["differ"], found["number"], found["protocol"]) == (["split"], 2, "single-shot")
    assert [one["split"] for one in found["runs"]] == ["0", "1"]
    call("summarize", *runs)
    out = capsys.readouterr().out
    for expected in (
        "VIPeR: 2 runs; splits differ, the seed is the same",
        "95 % from",
        "Rank-1",
    ):
        assert expected in out


def test_a_run_is_tested_on_its_own_split(
    runs: list[Path], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = call_json(capsys, "evaluate", runs[1], "--device", "cpu")
    assert own["mAP"] == json.loads((runs[1] / "scores.json").read_text())["mAP"]
    options = ("--data", data, "--reader", "viper,test_persons=6", "--device", "cpu")
    call("evaluate", runs[1], *options, "--split", 2)
    assert "Warning: the run was trained on" in capsys.readouterr().err
    with pytest.raises(UserError, match="--split can only be given with --data"):
        call("evaluate", runs[1], "--split", 2)
    found = call_json(capsys, "data", "check", data, "--reader", "viper,test_persons=6", "--split", 2)
    assert found["notes"][0].startswith("Split 2 of seeded halves")


def test_other_recipes_are_refused(runs: list[Path], data: Path, tmp_path: Path) -> None:
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    options = ("--reader", "viper,test_persons=6", "--split", 1, "--epochs", 2, "--device", "cpu")
    call("train", "han-small", "--data", data, *options, "--out", tmp_path / "longer", *sets)
    with pytest.raises(UserError, match=r"differ in more than seed and split:\n  stages\.0\.epochs: 1 and 2"):
        call("summarize", runs[0], tmp_path / "longer")

"""``resight demo``: what it makes of scores and of folders; the whole of it among the slow tests."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resight.commands.demo import (
    GALLERY,
    LEAD,
    PEOPLE,
    RECORD,
    REPORT,
    RUN,
    continues,
    demo,
    fill_gallery,
    shortfalls,
)
from resight.data.crop import Crop
from resight.errors import UserError
from resight.gallery.gallery import Gallery
from resight.inference.embedder import Embedder
from resight.inference.loading import load_model
from resight.models.network import build_model
from resight.models.weights import save_weights

SETTINGS = {"persons": 5, "seed": 0}
COMMAND = [sys.executable, "-m", "resight", "demo"]


def score(name: str, rank1: float, mean_precision: float) -> dict[str, object]:
    return {"name": name, "rank1": rank1, "mAP": mean_precision}


def test_a_clear_lead_in_both_scores_passes() -> None:
    others = [score("chance", 0.01, 0.02), score("histogram", 0.5, 0.2), score("corrected", 0.3, 0.35)]
    assert shortfalls(score("own", 0.5 + LEAD, 0.35 + LEAD), others) == []


@pytest.mark.parametrize(
    ("rank1", "mean_precision", "named"),
    [(0.54, 0.9, ["rank-1"]), (0.9, 0.39, ["mAP"]), (0.1, 0.1, ["rank-1", "mAP"])],
)
def test_each_score_without_a_clear_lead_is_named(
    rank1: float, mean_precision: float, named: list[str]
) -> None:
    others = [score("histogram", 0.5, 0.2), score("corrected", 0.3, 0.35)]
    found = shortfalls(score("own", rank1, mean_precision), others)
    assert len(found) == len(named)
    for sentence, name in zip(found, named, strict=True):
        assert name in sentence
        assert ("'histogram' is 50.0%" if name == "rank-1" else "'corrected' is 35.0%") in sentence


def test_a_new_folder_begins_a_demo_and_an_unfinished_one_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "demo"
    assert not continues(out, SETTINGS)
    (out / PEOPLE).mkdir()
    assert continues(out, SETTINGS)
    assert (out / PEOPLE).exists()


def _leave_demo(out: Path, finished: bool) -> None:
    for folder in (PEOPLE, RUN, GALLERY):
        (out / folder).mkdir(parents=True)
    (out / REPORT).write_text("old")
    (out / "mine.txt").write_text("kept")
    (out / RECORD).write_text(json.dumps({"settings": SETTINGS, "finished": finished}))


@pytest.mark.parametrize(("finished", "seed"), [(True, 0), (False, 1)])
def test_a_finished_demo_or_one_with_other_settings_starts_anew(
    tmp_path: Path, finished: bool, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _leave_demo(tmp_path, finished)
    assert not continues(tmp_path, SETTINGS | {"seed": seed})
    assert sorted(path.name for path in tmp_path.iterdir()) == [RECORD, "mine.txt"]
    assert "starts over" in capsys.readouterr().err
    assert continues(tmp_path, SETTINGS | {"seed": seed})


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"settings":')
    with pytest.raises(UserError, match=rf"{RECORD} is damaged.* Remove {tmp_path}"):
        continues(tmp_path, SETTINGS)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    with pytest.raises(UserError, match="is not a demo's folder"):
        continues(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["people"]


def test_too_few_persons_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--out", tmp_path / "demo", "--train", "--persons", "7"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "multiple of 5" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_its_gallery_holds_the_people_calibrated_and_is_filled_only_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "weights.safetensors"
    trunk = {"name": "osnet", "width": 0.25}
    save_weights(build_model("pooled", 4, trunk=trunk, input_size=[64, 32]), weights)
    crops, generator = [], np.random.default_rng(0)
    for at in range(36):
        person = (-1, 0)[at] if at < 2 else at // 6 + 1
        path = tmp_path / f"{at}.png"
        Image.fromarray(generator.integers(0, 256, (64, 32, 3), dtype=np.uint8)).save(path)
        crops.append(Crop(path, person, at % 3))
    embedder = Embedder(load_model(weights, device="cpu"))
    for _ in range(2):
        assert fill_gallery(tmp_path / GALLERY, embedder, crops) == 35  # all but junk
    with Gallery.open(tmp_path / GALLERY) as gallery:
        assert gallery.values("camera") == {"0": 11, "1": 12, "2": 12}
        assert set(gallery.values("person")) == {"1", "2", "3", "4", "5", "6"}
        assert gallery.times() is not None
        assert gallery.metadata.calibration is not None
        assert gallery.metadata.calibration.origin == "the demo's own people"


@pytest.mark.slow
def test_the_demo_is_clearly_ahead_of_its_baselines_within_ten_minutes(tmp_path: Path) -> None:
    """Killed once on the way; what it prints with --json is one JSON value."""
    environment = {**os.environ, "RESIGHT_CACHE": str(tmp_path / "cache")}
    command = [*COMMAND, "--train", "--out", tmp_path / "demo", "--json"]
    start = time.monotonic()
    first = subprocess.Popen(command, env=environment, start_new_session=True)
    while not list((tmp_path / "demo" / PEOPLE).glob("query/*")):
        assert first.poll() is None
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 600
    assert "Resuming the demo" in done.stderr
    result = json.loads(done.stdout)
    assert result["shortfalls"] == []
    *others, own = result["scores"]
    assert all(own[key] >= other[key] + LEAD for other in others for key in ("rank1", "mAP"))
    assert Path(result["report"]).stat().st_size > 100_000
    with Gallery.open(result["gallery"]) as gallery:
        assert len(gallery) == result["crops"] > 400
        crops = [crop for crop in gallery.page()[0] if crop.person]
        first = [gallery.search(crops=[crop.id], top=1, other_cameras=True).matches[0] for crop in crops]
        right = [match.crop.person == crop.person for crop, match in zip(crops, first, strict=True)]
        assert np.mean(right) > 0.4
        assert any(match.likely for match in first)


@pytest.mark.slow
def test_without_training_the_demo_searches_with_the_model_that_comes_with_resight(tmp_path: Path) -> None:
    command = [*COMMAND, "--out", tmp_path / "demo", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "drawn-people" in done.stderr
    result = json.loads(done.stdout)
    *others, own = result["scores"]
    assert own["name"] == "drawn-people"
    assert all(own[key] >= other[key] + LEAD for other in others for key in ("rank1", "mAP"))
    assert "report" not in result
    with Gallery.open(result["gallery"]) as gallery:
        assert len(gallery) == result["crops"]
        assert gallery.metadata.model.weights == "drawn-people"


def test_persons_to_train_on_without_training_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --train too"):
        demo(out=tmp_path / "demo", persons=50)
    assert not (tmp_path / "demo").exists()

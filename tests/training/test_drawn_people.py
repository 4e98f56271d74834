"""Training on people who are drawn meanwhile: which crop is seen when, interruptions, and refusals."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calling import call, call_json
from tiny import make_crops, tiny_recipe

from resight.data.loader import Loader
from resight.data.samplers import SAMPLERS
from resight.draws import Part
from resight.errors import UserError
from resight.folders import DRAWING
from resight.models.weights import WEIGHTS, load_weights
from resight.people.crops import World
from resight.people.factors import read_factors
from resight.people.on_the_fly import SEEN, DrawnPixels, open_drawn, write_drawing
from resight.people.plan import PlanSettings, check
from resight.training.trainer import train

SETTINGS = check(10, 4, 1, 0, 5, 64, read_factors(["noise"]), 2)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    write_drawing(tmp_path / "people", SETTINGS)
    return tmp_path / "people"


class Noting:
    """Pixels of one value that note what was taken."""

    def __init__(self, count: int) -> None:
        self.count, self.taken = count, []

    def __len__(self) -> int:
        return self.count

    def crops(self, items: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        self.taken += list(zip(items.tolist(), earlier.tolist(), strict=True))
        return np.zeros((len(items), 4, 2, 3), dtype=np.uint8)


def loader(pixels: Noting, parts: tuple[Part, ...], **earlier: Any) -> Loader:
    persons = np.arange(len(pixels)) // 3
    sampler = SAMPLERS.build("pk", persons, 0, None, persons=3, crops=4, epoch=5)  # more than a person has
    return Loader(pixels, persons, sampler, (), torch.device("cpu"), 0, parts=parts, **earlier)


@pytest.mark.parametrize("parts", [(Part(0, 1),), (Part(0, 2), Part(1, 2))])
def test_each_crop_is_told_how_often_it_was_taken_before(parts: tuple[Part, ...]) -> None:
    pixels = Noting(15)
    first = loader(pixels, parts)
    for epoch in range(3):
        list(first.epoch(epoch))
    second = loader(pixels, parts, taken=first.taken_before(3), first_epoch=3)
    for epoch in (3, 4):  # a second stage goes on counting
        list(second.epoch(epoch))
    counts: Counter[int] = Counter()
    for item, earlier in pixels.taken:
        assert earlier == counts[item]
        counts[item] += 1
    assert max(counts.values()) > SEEN
    whole, pixels.taken = pixels.taken, []
    list(first.epoch(1, start=2))  # as after an interruption
    assert pixels.taken == whole[60 + 24 : 120]


def test_a_crop_is_seen_four_times_and_then_another_of_the_same_person_and_camera(people: Path) -> None:
    data = open_drawn(people)
    pixels = DrawnPixels(SETTINGS, data.train, (64, 32))
    world = World(5, 64, read_factors(["noise"]))
    crop = data.train[7]
    item = np.array([7])
    seen = [pixels.crops(item, np.array([number]))[0] for number in range(2 * SEEN + 1)]
    for number, (tracklet, of_it) in enumerate([(0, 0), (0, 1), (1, 0)]):
        drawn = np.asarray(world.crop(crop.person, crop.camera - 1, tracklet, of_it).image)
        for one in seen[SEEN * number : SEEN * (number + 1)]:
            np.testing.assert_array_equal(one, drawn)
    assert not np.array_equal(seen[0], seen[SEEN])


def test_an_interrupted_training_ends_with_the_same_weights(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, recipe = open_drawn(people), tiny_recipe(precision="float32")
    options = {"device": "cpu", "checkpoint_seconds": 0}
    train(recipe, data, tmp_path / "whole", **options)
    drawing, calls = DrawnPixels.crops, iter(range(100))

    def failing(self: DrawnPixels, items: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        if next(calls) == 11:  # in the second stage
            raise RuntimeError("power cut")
        return drawing(self, items, earlier)

    monkeypatch.setattr(DrawnPixels, "crops", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, data, tmp_path / "cut", **options)
    monkeypatch.setattr(DrawnPixels, "crops", drawing)
    train(recipe, data, tmp_path / "cut", resume=True, **options)
    whole, cut = (load_weights(tmp_path / run / WEIGHTS, torch.device("cpu")) for run in ("whole", "cut"))
    assert all(torch.equal(value, cut.state_dict()[name]) for name, value in whole.state_dict().items())
    assert whole.trained_cameras[0] == "drawn 1"  # no camera of a user's gallery is taken for this one


def test_the_commands_make_train_and_resume_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--persons", 10, "--cameras", 4, "--cameras-per-person", 2, "--seed", 5]
    told = call_json(capsys, "synthesize", tmp_path / "set", *size, "--on-the-fly")
    assert told["crops_an_epoch"] == 20
    assert [path.name for path in (tmp_path / "set").iterdir()] == [DRAWING]
    call("synthesize", tmp_path / "set", *size, "--on-the-fly")  # again: the same set
    assert "train drawn-people --data" in capsys.readouterr().out
    small = ["--set", "model.trunk.width=0.125", "--set", "model.input_size=[64,32]", "--epochs", 1]
    few = ["--set", "stages.0.sampler.persons=2", "--set", "stages.0.sampler.crops=2"]
    call("train", "drawn-people", "--data", tmp_path / "set", "--out", tmp_path / "run", *small, *few)
    capsys.readouterr()
    call("train", tmp_path / "run", "--resume")
    assert "complete" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"people drawn for it, and has no test set.* --data FOLDER"):
        call("evaluate", tmp_path / "run")


def test_what_cannot_be_is_refused(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops = make_crops(tmp_path / "crops")
    with pytest.raises(UserError, match="a set of their own"):
        call("train", "drawn-people", "--data", people, "--data", crops)
    with pytest.raises(UserError, match="--holdout"):
        call("train", "drawn-people", "--data", people, "--holdout", 3)
    with pytest.raises(UserError, match="crops that stay"):
        call("synthesize", tmp_path / "other", "--on-the-fly", "--test-persons", 5)
    for place in (people, crops):
        with pytest.raises(UserError, match="exists and is not this set"):
            write_drawing(place, PlanSettings(**{**vars(SETTINGS), "seed": 6}))
    monkeypatch.setenv("RESIGHT_CACHE", "/proc/nowhere")
    with pytest.raises(UserError, match="needs 0 MB in /proc/nowhere"):
        DrawnPixels(SETTINGS, open_drawn(people).train, (64, 32))
    whole = json.loads((people / DRAWING).read_text())
    for change in ({"persons": "x"}, {"drawing": 0}, {"cameras_per_person": 99}, {"factors": {"no": 1}}):
        (people / DRAWING).write_text(json.dumps(whole | change))
        with pytest.raises(UserError, match="damaged or of another version"):
            open_drawn(people)


def test_elsewhere_a_set_for_drawing_is_explained(people: Path, tmp_path: Path) -> None:
    for words in (
        ("embed", "drawn-people", "--data", people, "--out", tmp_path / "features"),
        ("data", "check", people),
        ("gallery", "add", people, "--gallery", tmp_path / "people.gallery"),
        ("adapt", "drawn-people", "--data", people, "--out", tmp_path / "adapted"),
    ):
        with pytest.raises(UserError, match="people has no pictures: its people are drawn while a network"):
            call(*words)

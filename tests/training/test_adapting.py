"""Adapting to crops without labels: it learns, goes on after a kill, and does not read names."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from adapting_jobs import LABELLING, crops_of, network, recipe, run
from PIL import Image
from safetensors.torch import load_file

from resight.data.crop import DISTRACTOR, Crop
from resight.data.opening import open_benchmark
from resight.data.unlabelled import Unlabelled, read_unlabelled
from resight.errors import UserError
from resight.models.network import build_model
from resight.training.adapting import Adapted, adapt
from resight.training.labelling import agreement, link_clusters, make_labels
from resight.training.recipe import Labelling
from resight.training.run import held, how_to_resume, is_adaptation
from resight.training.trainer import train


@pytest.fixture(scope="module")
def crops(tiny_data: Path) -> Path:
    """42 crops of 7 persons under 2 cameras."""
    return tiny_data / "bounding_box_train"


@pytest.fixture(scope="module")
def whole(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    """An adaptation of two epochs."""
    return run(tmp_path_factory.mktemp("whole") / "run", crops)


def weights(adapted: Adapted, name: str = "weights.safetensors") -> dict[str, torch.Tensor]:
    return load_file(adapted.folder / name)


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not one[name].equal(other[name])] == []


def test_it_labels_before_each_epoch_and_keeps_the_best(whole: Adapted) -> None:
    assert [line["epoch"] for line in whole.history] == [0, 1, 2]
    assert all(2 <= line["clusters"] <= 14 and 0 < line["share"] <= 1 for line in whole.history)
    best = max(whole.history, key=lambda line: line["measure"])
    assert whole.kept == best["epoch"]
    assert_equal(weights(whole), weights(whole, "best.safetensors"))


def test_other_names_in_another_order_give_the_same_weights(
    whole: Adapted, crops: Path, tmp_path: Path
) -> None:
    order = np.random.default_rng(1).permutation(len(paths := sorted(crops.glob("*.png"))))
    (tmp_path / "shuffled").mkdir()
    for number, place in enumerate(order):
        camera = 9 - int(paths[place].name.partition("_c")[2][0])
        shutil.copy(paths[place], tmp_path / "shuffled" / f"{number:03d}_c{camera}.png")
    again = run(tmp_path / "run", tmp_path / "shuffled")
    assert again.history == whole.history
    assert_equal(weights(again), weights(whole))


class Stopped(Exception):
    pass


@pytest.mark.parametrize("killed", [2, 4, 5])  # in an epoch, at the start of one, after it
def test_killed_at_a_step_it_goes_on_to_the_same_weights(
    killed: int, whole: Adapted, crops: Path, tmp_path: Path
) -> None:
    def die(number: int, _: object) -> None:
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "KILL_AT", killed)
        patch.setattr(tiny.os, "kill", die)
        with pytest.raises(Stopped):
            run(tmp_path / "run", crops)
    again = run(tmp_path / "run", crops)
    assert again.history == whole.history
    assert_equal(weights(again), weights(whole))
    log = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert run(tmp_path / "run", crops).history == whole.history  # complete: nothing is trained
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == log


def test_with_no_better_measure_it_stops_and_keeps_the_weights_before(crops: Path, tmp_path: Path) -> None:
    harmful = recipe(labelling=LABELLING | {"patience": 1})
    stage = harmful.stages[0]
    optimizer = stage.optimizer.model_copy(update={"settings": stage.optimizer.settings | {"lr": 30.0}})
    stages = (stage.model_copy(update={"optimizer": optimizer, "epochs": 5}),)
    stopped = run(tmp_path / "run", crops, harmful.model_copy(update={"stages": stages, "ema": None}))
    assert stopped.epochs - stopped.kept == 1
    if stopped.kept == 0:
        own = network().state_dict()
        assert all(value.equal(own[name]) for name, value in weights(stopped).items())


def test_a_folder_of_another_adaptation_is_refused(whole: Adapted, tmp_path: Path) -> None:
    other = tiny.make_crops(tmp_path / "other", seed=3) / "bounding_box_train"
    with pytest.raises(UserError, match=r"cannot be resumed.*\n.*data\.images"):
        run(whole.folder, other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with pytest.raises(UserError, match="is there already and is no adaptation"):
        run(tmp_path / "full", other)


def test_a_run_of_training_is_left_alone(crops: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name, content in (("run.json", '{"data": {"opened": {}}}'), ("recipe.yaml", "name: other\n")):
        (tmp_path / "run" / name).write_text(content)
    with pytest.raises(UserError, match="is there already and is no adaptation"):
        run(tmp_path / "run", crops)


def test_two_adaptations_in_one_folder_are_refused(crops: Path, tmp_path: Path) -> None:
    with held(tmp_path / "run", "adapting"), pytest.raises(UserError, match="Another process is adapting in"):
        run(tmp_path / "run", crops)


def test_an_adaptation_is_gone_on_with_by_its_own_command(whole: Adapted) -> None:
    assert is_adaptation(whole.folder)
    assert "Go on with the same command: " in how_to_resume(whole.folder)
    assert " adapt " in how_to_resume(whole.folder)


def test_a_recipe_for_adapting_trains_no_model(tmp_path: Path, tiny_data: Path) -> None:
    with pytest.raises(
        UserError, match=r"The recipe small adapts a model to crops without labels, and .* adapt"
    ):
        train(recipe(), open_benchmark(tiny_data), tmp_path / "run")


def test_a_track_stays_together_and_cameras_may_be_unknown(crops: Path) -> None:
    listed = crops_of(crops)
    tracked = [
        Crop(crop.path, DISTRACTOR, None, track=place if place < 2 else None)
        for place, crop in ((number // 4, crop) for number, crop in enumerate(listed))
    ]
    read = read_unlabelled(tracked, (16, 8))
    assert read.cameras is None
    assert sorted(np.unique(read.tracks, return_counts=True)[1].tolist()) == [4, 4, 34]
    vectors = torch.randn(42, 256, generator=torch.Generator().manual_seed(0))
    labels = make_labels(vectors, read, Labelling(**LABELLING | {"within": 0.01})).labels.numpy()
    assert [len(set(labels[read.tracks == track])) for track in (0, 1)] == [1, 1]
    assert labels[read.tracks == 0][0] != labels[read.tracks == 1][0] != -1


def test_clusters_are_of_one_camera_and_linked_with_the_like_of_another(tmp_path: Path) -> None:
    """Ten persons, three crops of each in two cameras, whose means differ."""
    random = torch.Generator().manual_seed(0)
    persons = torch.arange(10).repeat(6)
    cameras = torch.arange(2).repeat_interleave(30)
    vectors = torch.eye(10)[persons] + 0.03 * torch.randn(60, 10, generator=random)
    vectors += torch.tensor([0.0, 3.0])[cameras, None]
    crops = Unlabelled(None, cameras.numpy(), np.full(60, -1))  # type: ignore[arg-type]
    found = make_labels(vectors, crops, Labelling(neighbours=3, averaged=1, rivals=2))
    assert found.as_dict() | {"measure": 0} == {"clusters": 20, "links": 10, "share": 1.0, "measure": 0}
    for row in range(60):
        same = found.labels == found.labels[row]
        assert same.equal((persons == persons[row]) & (cameras == cameras[row]))
        linked = found.linked[found.labels]
        assert (linked == linked[row]).equal(persons == persons[row])
        assert found.cameras[found.labels[row]] == cameras[row]
    assert found.measure == pytest.approx(1 - 0.1)  # by chance, one in ten
    alone = make_labels(vectors, replace(crops, cameras=None), Labelling(neighbours=3, averaged=1))
    assert (alone.as_dict()["links"], set(alone.cameras.tolist())) == (0, {0})


def test_links_are_between_the_most_similar_of_two_cameras() -> None:
    random = np.random.default_rng(2)
    means = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(25, 4))), dim=1)
    cameras = torch.from_numpy(random.integers(0, 3, 25)) * 2  # a number may be missing
    cosines = (means @ means.T).numpy()

    def rivals(row: int, camera: int) -> float:
        there = [cosines[row, other] for other in range(25) if cameras[other] == camera]
        return float(np.mean(sorted(there)[-3:]))

    def similarity(one: int, other: int) -> float:
        near = rivals(one, int(cameras[other])) + rivals(other, int(cameras[one]))
        return -np.inf if cameras[one] == cameras[other] else 2 * cosines[one, other] - near

    nearest = [max(range(25), key=lambda other, row=row: similarity(row, other)) for row in range(25)]
    linked = link_clusters(means, cameras, Labelling(rivals=3))
    for one in range(25):
        for other in range(25):
            mutual = nearest[one] == other and nearest[other] == one
            assert bool(linked[one] == linked[other]) == (one == other or mutual)
    assert len(linked.unique()) == int(linked.max()) + 1 < 25
    nobody = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    assert link_clusters(*nobody, Labelling()).tolist() == []
    assert link_clusters(means, torch.zeros(25, dtype=torch.int64), Labelling()).equal(torch.arange(25))


def test_pseudo_labels_may_be_made_by_the_statistics_of_each_camera(tmp_path: Path) -> None:
    """One camera is darker, so that crops as they are have their like under their own camera alone."""
    patches = np.random.default_rng(0).integers(20, 236, (20, 4, 4, 3), dtype=np.uint8)
    for person, clean in enumerate(patches.repeat(8, axis=1).repeat(8, axis=2)):
        for frame in range(2):
            light = clean + np.uint8(4 * frame)
            for camera, pixels in enumerate([light, np.uint8([40, 10, 0]) + light // 2], 1):
                Image.fromarray(pixels).save(tmp_path / f"{person}-{frame}_c{camera}.png")
    crops = read_unlabelled(crops_of(tmp_path), (32, 32))
    trunk = {"name": "resnet", "depth": 18, "width": 0.125}
    torch.manual_seed(0)
    settings = {"trunk": trunk, "head": "norm", "input_size": (32, 32), "classifier": False}
    model = build_model("pooled", 2, **settings).eval()
    first = {}
    for by_camera in (False, True):
        labelling = LABELLING | {"crops": 2, "adapt_statistics": by_camera}
        chosen = recipe(labelling=labelling).with_epochs(1)
        found = adapt(model, chosen, crops, tmp_path / f"run-{by_camera}", device="cpu")
        first[by_camera] = found.history[0]["measure"]
    assert first[True] > first[False]


def test_the_measure_is_the_share_of_neighbours_in_the_own_cluster_beyond_chance() -> None:
    random = np.random.default_rng(3)
    for known in (True, False):
        units = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(30, 6))).float(), dim=1)
        cameras, tracks = random.integers(0, 3, 30), random.integers(-1, 8, 30)
        labels = random.integers(-1, 4, 30)
        found, chance = [], []
        for row in range(30):
            others = [
                other
                for other in range(30)
                if other != row
                and (cameras[other] != cameras[row] if known else not 0 <= tracks[row] == tracks[other])
            ]
            alike = [labels[row] >= 0 and labels[other] == labels[row] for other in others]
            found.append(alike[int(np.argmax([float(units[row] @ units[other]) for other in others]))])
            chance.append(np.mean(alike))
        crops = Unlabelled(None, cameras if known else None, tracks)  # type: ignore[arg-type]
        expected = np.mean(found) - np.mean(chance)
        assert agreement(units, torch.from_numpy(labels), crops) == pytest.approx(expected)
        assert agreement(units, torch.zeros(30, dtype=torch.int64), crops) == pytest.approx(0.0)

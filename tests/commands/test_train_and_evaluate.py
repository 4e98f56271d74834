"""Training and evaluating as a user types it, on a made-up set of coloured crops, with a very small HAN."""

import html
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from calling import call, call_json
from PIL import Image

from resight.data.cache import PixelCache
from resight.errors import UserError
from resight.models.embedding import PixelEmbedder
from resight.models.network import build_model
from resight.models.weights import save_weights
from resight.report.page import METRIC_NOTES

SETTINGS = (
    "model.input_size=[64, 32]",
    "model.widths=[16, 16, 16]",
    "model.feature_size=16",
    "stages.0.sampler.batch_size=8",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw 6 persons to train on and 3 to test on, 2 cameras x 2 crops each, in Market-1501 layout."""
    root = tmp_path_factory.mktemp("crops")
    generator = np.random.default_rng(0)
    for person in range(1, 10):
        colour = generator.integers(0, 256, 3)
        for camera in (1, 2):
            for crop in range(2):
                part = (
                    "bounding_box_train" if person <= 6 else ("query" if crop == 0 else "bounding_box_test")
                )
                (root / part).mkdir(exist_ok=True)
                pixels = np.clip(colour + generator.normal(0, 20, (40, 20, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / f"{person:04d}_c{camera}s1_{crop:06d}_00.jpg")
    return root


@dataclass
class Trained:
    folder: Path
    done: subprocess.CompletedProcess[str]


def resight(*arguments: object, folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "RESIGHT_CACHE": str(cache),
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
    }
    command = [sys.executable, "-m", "resight", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


def sets(settings: tuple[str, ...] = SETTINGS) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("work")
    done = resight(
        *("train", "han-small", "--data", data, "--epochs", 2, "--device", "cpu", "--seed", 3),
        *sets(),
        folder=folder,
        cache=tmp_path_factory.getbasetemp() / "cache",
    )
    return Trained(folder / "runs" / "han-small", done)


def test_train_prints_scores_and_leaves_a_run(trained: Trained) -> None:
    assert trained.done.returncode == 0, trained.done.stderr
    assert "Rank-1" in trained.done.stdout
    assert "Stripe histogram" in trained.done.stdout
    assert "Report: runs/han-small/report.html" in trained.done.stdout
    assert "Training han-small (crops): 48/48" in trained.done.stderr
    files = {path.name for path in trained.folder.iterdir()}
    assert files >= {
        *("recipe.yaml", "run.json", "metrics.jsonl", "checkpoint.pt", "weights.safetensors"),
        *("scores.json", "report.html"),
    }
    recipe = yaml.safe_load((trained.folder / "recipe.yaml").read_text())
    assert (recipe["seed"], recipe["stages"][0]["epochs"], recipe["model"]["widths"]) == (3, 2, [16, 16, 16])
    scores = json.loads((trained.folder / "scores.json").read_text())
    assert scores["queries"] == 6
    assert 0 < scores["mAP"] <= 1


def test_evaluate_gives_the_scores_of_the_training(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = json.loads((trained.folder / "scores.json").read_text())
    found = call_json(capsys, "evaluate", trained.folder, "--device", "cpu")
    assert {key: found[key] for key in scores} == scores
    assert {"mAP", "rank1", "rank5", "rank10", "mINP", "queries"} <= found.keys()
    assert (found["branches"], found["metric"], found["ap"]) == ("both", "cosine", "mean")


def test_evaluate_also_scores_without_the_cameras_means(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = call_json(capsys, "evaluate", trained.folder, "--device", "cpu")["cameras_means_removed"]
    found = call_json(capsys, "evaluate", trained.folder, "--device", "cpu", "--camera-normalise")
    assert beside == {"mAP": found["mAP"], "rank1": found["rank1"]}
    assert "cameras_means_removed" not in found
    call("evaluate", trained.folder, "--device", "cpu")
    said = f"means removed (--camera-normalise): mAP {100 * found['mAP']:.1f}, Rank-1"
    assert said in capsys.readouterr().out


def test_evaluate_a_weights_file_a_branch_and_by_trapezoids(
    trained: Trained, data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    weights = trained.folder / "weights.safetensors"
    whole = call_json(capsys, "evaluate", weights, "--data", data, "--device", "cpu")
    assert whole["mAP"] == json.loads((trained.folder / "scores.json").read_text())["mAP"]
    options = ("--branches", "local", "--ap", "trapezoid", "--metric", "euclidean", "--device", "cpu")
    part = call_json(capsys, "evaluate", trained.folder, "--data", data, *options)
    assert (part["branches"], part["ap"], part["metric"]) == ("local", "trapezoid", "euclidean")
    for descriptor in ("raw", "unit"):
        on = ("--data", data, "--device", "cpu", "--metric", "euclidean", "--descriptor", descriptor)
        assert call_json(capsys, "evaluate", weights, *on)["descriptor"] == descriptor
    page = tmp_path / "page.html"
    call("evaluate", trained.folder, "--device", "cpu", "--report", page)
    assert "Rank-1" in capsys.readouterr().out
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--k1", 5), "use them with --rerank"),
        (("--rerank", "--k1", 0), "k1 and k2 of 1 or more"),
        (("--expand-queries", -1), "--expand-queries is a number of neighbours, at least 0; got -1"),
        (("--rerank", "--threshold"), "--rerank would change the ranking, but thresholds and reports"),
        (("--augment-gallery", 2, "--report", "page.html"), "Leave out either these options, or --threshold"),
    ],
)
def test_evaluate_refuses_what_cannot_be_reranked(
    trained: Trained, options: tuple[object, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        call("evaluate", trained.folder, "--device", "cpu", *options)


def test_a_gallery_too_small_to_rerank_is_refused_before_anything_is_embedded(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PixelEmbedder, "embed", lambda *_, **__: pytest.fail("embedded"))
    with pytest.raises(UserError, match="k1 = 999 neighbours in the gallery"):
        call("evaluate", trained.folder, "--device", "cpu", "--rerank", "--k1", 999)


def test_the_report_has_the_metric_that_was_asked_for(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    call("evaluate", trained.folder, "--device", "cpu", "--metric", "euclidean", "--report", page)
    assert METRIC_NOTES["euclidean"] in html.unescape(page.read_text())


def test_evaluating_on_crops_that_were_trained_on_warns(
    trained: Trained, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("evaluate", trained.folder, "--data", data, "--holdout", 2, "--device", "cpu")
    assert "Warning: the run was trained on 8 of these 8 test crops" in capsys.readouterr().err


def test_a_folder_that_was_not_trained_on_is_tested_whole(
    trained: Trained, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    for picture in (data / "bounding_box_train").iterdir():
        person, rest = picture.name[:4], picture.name[5:]
        (other / person).mkdir(parents=True, exist_ok=True)
        Image.open(picture).rotate(180).save(other / person / rest)
    on = ("--data", other, "--pattern", r"(?P<person>\d{4})/c(?P<camera>\d)", "--device", "cpu")
    found = call_json(capsys, "evaluate", trained.folder, *on)
    assert found["tested"] == {"part": "all persons", "persons": 6}
    assert found["queries"] == 12
    call("evaluate", trained.folder, *on)
    shown = capsys.readouterr()
    assert "Tested: all 6 persons, as the set has no test part." in shown.out
    assert "held out" not in shown.out + shown.err
    held = call_json(capsys, "evaluate", trained.folder, *on, "--holdout", 2)
    assert held["tested"] == {"part": "held out", "persons": 2}
    call("evaluate", trained.folder / "weights.safetensors", *on)
    shown = capsys.readouterr()
    assert "Tested: all 6 persons" in shown.out
    assert "what the weights were trained on is not known" in shown.err
    call("evaluate", trained.folder, "--device", "cpu")
    assert "Tested: 3 persons, the set's own test part." in capsys.readouterr().out


def test_a_folder_that_was_trained_on_is_not_tested_whole(
    trained: Trained, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder itself, by another path, and copies, which are known by their files' names and sizes."""
    (tmp_path / "link").symlink_to(data)
    shutil.copytree(data, tmp_path / "copy")
    shutil.copytree(data / "bounding_box_train", tmp_path / "part")
    own = data / "bounding_box_train"
    for folder in (own, tmp_path / "link" / own.name, tmp_path / "part", tmp_path / "copy" / own.name):
        call("evaluate", trained.folder, "--data", folder, "--device", "cpu")
        shown = capsys.readouterr()
        assert "Tested: the last 2 of 6 persons, held out from training." in shown.out
        assert "Warning: the run was trained on 8 of these 8 test crops" in shown.err
    assert call_json(capsys, "evaluate", trained.folder, "--data", tmp_path / "copy", "--device", "cpu")[
        "tested"
    ] == {"part": "test part", "persons": 3}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("imagenet", "Download them with: resight download resnet18"),
        ("nowhere.pth", "There is no file nowhere.pth to load weights from"),
        ("other.safetensors", "other.safetensors does not have the weights of this trunk"),
    ],
)
def test_missing_or_other_weights_are_told_before_any_picture_is_decoded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(PixelCache, "open", lambda *_, **__: pytest.fail("pictures are decoded"))
    save_weights(build_model("pooled", 3, trunk={"name": "resnet", "depth": 50}), Path("other.safetensors"))
    sets = ("--set", f"pretrained={source}", "--out", tmp_path / "run", "--device", "cpu")
    with pytest.raises(UserError, match=message):
        call("train", "softmax-fast", "--data", data, *sets)
    assert not (tmp_path / "run").exists()


def test_resuming_by_the_folder_needs_neither_recipe_nor_data(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    found = call_json(capsys, "train", trained.folder, "--resume", "--device", "cpu")
    assert found["scores"] == json.loads((trained.folder / "scores.json").read_text())
    assert found["run"] == str(trained.folder)
    call("train", "--resume", trained.folder, "--device", "cpu")
    assert "is complete (2 epochs)" in capsys.readouterr().err


def test_train_without_a_test_part(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    found = call_json(
        capsys, "train", "han-small", "--data", data / "bounding_box_train", "--holdout", 0, "--out", out,
        "--epochs", 1, "--device", "cpu", *sets()
    )  # fmt: skip
    assert found["scores"] is None
    assert Path(found["weights"]).is_file()
    assert Path(found["report"]).is_file()
    with pytest.raises(UserError, match="has no test part"):
        call("evaluate", out)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train", "han-smal", "--data", "."), r"Unknown recipe 'han-smal'\. Did you mean 'han-small'\?"),
        (("train", "han-small"), "--data FOLDER"),
        (("train", "han-small", "--data", "nowhere"), "nowhere"),
        (("train", "han-small", "--data", ".", "--set", "modle=1"), "Did you mean 'model'"),
        (("train", "runs/none", "--resume"), "Unknown recipe"),
        (
            ("recipe", "show", "q.jpg"),
            r"^Unknown recipe 'q\.jpg'\. 'resight recipe list' lists .* FILE\.yaml\.$",
        ),
        (("train", ".", "--resume"), "is not a run's folder"),
        (("evaluate", "nowhere"), "nowhere does not exist"),
    ],
)
def test_mistakes_are_sentences(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        call(*arguments)


def test_mistakes_on_the_way(trained: Trained, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Add --resume"):
        call("train", trained.folder)
    with pytest.raises(UserError, match="holds a run already"):
        call("train", "han-small", "--data", data, "--out", trained.folder)
    with pytest.raises(UserError, match=r"stages\.0\.optimizer\.lr: .* in the run, 0\.5 now"):
        call("train", trained.folder, "--resume", "--set", "stages.0.optimizer.lr=0.5", "--device", "cpu")
    weights = trained.folder / "weights.safetensors"
    with pytest.raises(UserError, match="--data FOLDER"):
        call("evaluate", weights)
    with pytest.raises(UserError, match="run's folder"):
        call("evaluate", weights, "--data", data, "--report", tmp_path / "page.html")
    stages = yaml.safe_load((trained.folder / "recipe.yaml").read_text())
    stages["stages"].append(stages["stages"][0] | {"name": "second"})
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(stages))
    with pytest.raises(UserError, match="has 2 stages"):
        call("train", tmp_path / "two.yaml", "--data", data, "--epochs", 1)


def test_exit_status_and_streams_of_a_mistake(tmp_path: Path) -> None:
    done = resight("train", "han-smal", "--data", ".", "--json", folder=tmp_path, cache=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "resight: Unknown recipe 'han-smal'. Did you mean 'han-small'?\n"


def test_recipes_are_shown_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call_json(capsys, "recipe", "show", "han-medium", "--set", "stages.0.epochs=7")
    assert shown["model"]["size"] == "medium"
    assert shown["stages"][0]["epochs"] == 7
    call("recipe", "show", "han-medium", "--set", "stages.0.epochs=7")
    assert yaml.safe_load(capsys.readouterr().out) == shown
    listed = call_json(capsys, "recipe", "list")
    assert {"han-small", "han-medium", "han-large", "han-small-fast"} <= {entry["name"] for entry in listed}
    call("recipe", "list")
    assert "HAN(Small) as published" in capsys.readouterr().out


def test_a_test_part_without_any_match_is_refused_before_training(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "one-camera", tmp_path / "run"
    for path in data.glob("*/*_c1s1_*.jpg"):
        copy = root / path.relative_to(data)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path)
    training = ("train", "han-small", "--data", root, "--epochs", 1, "--out", out, *sets())
    with pytest.raises(UserError, match=r"None of the 3 queries .* own camera only.*--no-cross-camera"):
        call(*training)
    assert not out.exists()
    trained = call_json(capsys, *training, "--no-cross-camera")
    assert trained["scores"]["queries"] == 3
    assert call_json(capsys, "evaluate", out)["mAP"] == trained["scores"]["mAP"]


def test_two_sets_are_trained_on_and_the_first_is_tested(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = tmp_path / "more"
    for path in data.glob("bounding_box_train/*"):
        copy = more / "bounding_box_train" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path)
    out = tmp_path / "run"
    sets_of = ("--data", data, "--data", more)
    both = call_json(capsys, "train", "han-small", *sets_of, "--epochs", 1, "--out", out, *sets())
    counts = json.loads((out / "run.json").read_text())["data"]["counts"]
    assert (counts["train"]["persons"], counts["query"]["persons"]) == (12, 3)
    assert call_json(capsys, "evaluate", out)["mAP"] == both["scores"]["mAP"]
    call("train", out, "--resume")
    assert "is complete" in capsys.readouterr().err

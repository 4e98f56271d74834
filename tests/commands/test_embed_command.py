"""``resight embed``, and how ``resight score`` takes what it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from calling import call, call_json
from PIL import Image

import resight.features.embedding
from resight.commands.camera_statistics import read_statistics
from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.evaluation.cameras import CameraStatistics
from resight.inference.embedder import Embedder
from resight.models.network import build_model
from resight.models.weights import load_weights, save_weights
from resight.training.testing import embed_benchmark

SIZES = {"size": "small", "input_size": (64, 32), "widths": (16, 32, 48), "feature_size": 32}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make ``weights.safetensors``, ``other.safetensors`` and crops of six persons."""
    folder = tmp_path_factory.mktemp("embed")
    for seed, name in enumerate(("weights", "other")):
        torch.manual_seed(seed)
        save_weights(build_model("han", 3, **SIZES).eval(), folder / f"{name}.safetensors")
    generator = np.random.default_rng(0)
    for person in range(1, 7):
        colour = generator.integers(0, 256, 3)
        for camera in (1, 2):
            for crop in range(2):
                part = "query" if crop == 0 else "bounding_box_test"
                path = folder / "crops" / part / f"{person:04}_c{camera}s1_{crop:06}_00.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.clip(colour + generator.normal(0, 60, (32, 16, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def embed(place: Path, out: Path, *options: object, weights: str = "weights") -> None:
    usual = {"--data": place / "crops", "--device": "cpu"}
    given = [word for name, value in usual.items() if name not in options for word in (name, value)]
    call("embed", place / f"{weights}.safetensors", *given, "--out", out, *options)


def test_score_of_the_folders_is_the_score_of_the_run(place, tmp_path, capsys) -> None:
    for part in ("query", "gallery"):
        embed(place, tmp_path / part, "--part", part)
    weights = place / "weights.safetensors"
    evaluated = call_json(capsys, "evaluate", weights, "--data", place / "crops", "--device", "cpu")
    scored = call_json(capsys, "score", tmp_path / "query", tmp_path / "gallery", "--device", "cpu")
    assert 0 < scored["mAP"] < 1
    assert {name: value for name, value in scored.items() if name in evaluated and name != "query"} == {
        name: value for name, value in evaluated.items() if name in scored
    }


def test_in_the_same_batches_features_are_those_of_evaluation_to_the_bit(place, tmp_path, capsys) -> None:
    info = call_json(
        capsys,
        *("embed", place / "weights.safetensors", "--data", place / "crops", "--out", tmp_path / "all"),
        *("--device", "cpu"),
    )
    model = load_weights(place / "weights.safetensors", torch.device("cpu"))
    embedder = Embedder(model, device="cpu")
    expected = embed_benchmark(embedder, open_benchmark(place / "crops"))
    features = np.load(tmp_path / "all" / "features.npy")
    assert np.array_equal(features, torch.cat([expected.query.features, expected.gallery.features]))
    persons = torch.cat([expected.query.persons, expected.gallery.persons])
    assert np.array_equal(np.load(tmp_path / "all" / "persons.npy"), persons)
    assert info["fingerprint"] == embedder.fingerprint
    assert (info["rows"], info["counts"]) == (24, {"persons": 6, "cameras": 2})
    assert (info["folder"], info["weights"]) == (str(tmp_path / "all"), str(place / "weights.safetensors"))


def test_a_query_is_not_found_as_itself_in_a_folder_that_shares_it(place, tmp_path, capsys) -> None:
    embed(place, tmp_path / "query", "--part", "query")
    embed(place, tmp_path / "all")
    options = ("--no-cross-camera", "--device", "cpu")
    scored = call_json(capsys, "score", tmp_path / "query", tmp_path / "all", *options)
    assert scored["removed"]["itself_pairs"] == 12


def test_for_people_it_says_what_there_is(place, tmp_path, capsys) -> None:
    embed(place, tmp_path / "out", "--dtype", "float16", "--branches", "global")
    printed = capsys.readouterr()
    assert "24 crops (6 persons, 2 cameras), 16 numbers each, float16" in printed.out
    model = load_weights(place / "weights.safetensors", torch.device("cpu"))
    assert Embedder(model, device="cpu", branches=["global"]).fingerprint in printed.out
    assert np.load(tmp_path / "out" / "features.npy").dtype == np.float16
    embed(place, tmp_path / "out", "--dtype", "float16", "--branches", "global")
    assert "nothing to embed" in capsys.readouterr().err


def test_features_of_two_models_are_not_compared(place, tmp_path, capsys) -> None:
    embed(place, tmp_path / "query", "--part", "query")
    for name, options in (
        ("other", {"weights": "other"}),
        ("mirror", {}),
    ):
        views = ("--views", "mirror") if name == "mirror" else ()
        embed(place, tmp_path / name, "--part", "gallery", *views, **options)
        with pytest.raises(UserError, match=r"are of different models .* Embed both with the same run"):
            call("score", tmp_path / "query", tmp_path / name)
    embed(place, tmp_path / "gallery", "--part", "gallery")
    with pytest.raises(UserError, match=r"query and .*other are of different models"):
        call("score", tmp_path / "query", tmp_path / "gallery", "--distractors", tmp_path / "other")
    call(
        "score",
        tmp_path / "query" / "features.npy",
        tmp_path / "gallery",
        "--distractors",
        tmp_path / "gallery",
    )
    capsys.readouterr()


def test_archives_may_say_their_model(place, tmp_path, capsys) -> None:
    embed(place, tmp_path / "query", "--part", "query")
    embed(place, tmp_path / "gallery", "--part", "gallery")
    own = json.loads((tmp_path / "gallery" / "info.json").read_text())["fingerprint"]
    arrays = {
        name: np.load(tmp_path / "gallery" / f"{name}.npy") for name in ("features", "persons", "cameras")
    }
    query = tmp_path / "query"
    for name, said in (
        ("none", {}),
        ("same", {"fingerprint": own}),
        ("bytes", {"fingerprint": own.encode()}),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays, **said)
        assert call_json(capsys, "score", query, tmp_path / f"{name}.npz")["queries"] == 12
    np.savez(tmp_path / "other.npz", **arrays, fingerprint="0123456789abcdef")
    with pytest.raises(UserError, match=r"are of different models .fingerprints .* and 01234567."):
        call("score", query, tmp_path / "other.npz")
    np.savez(tmp_path / "wrong.npz", **arrays, fingerprint=np.arange(3))
    with pytest.raises(UserError, match=r"'fingerprint' in .* must be one string"):
        call("score", query, tmp_path / "wrong.npz")


def test_an_unfinished_folder_is_not_scored(place, tmp_path, monkeypatch) -> None:
    embed(place, tmp_path / "query", "--part", "query")
    (tmp_path / "broken").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 16), (number, 0, 0)).save(tmp_path / "broken" / f"{number}.png")
    (tmp_path / "broken" / "2.png").write_bytes(b"no image")
    monkeypatch.setattr(resight.features.embedding, "CHUNK", 1)
    options = ("--data", tmp_path / "broken", "--batch", 1)
    with pytest.raises(UserError, match=r"2\.png .*--skip-unreadable"):
        embed(place, tmp_path / "out", *options)
    with pytest.raises(UserError, match=r"out is not finished: \d of 3 chunks are embedded"):
        call("score", tmp_path / "query", tmp_path / "out")
    embed(place, tmp_path / "out", *options, "--skip-unreadable")
    with pytest.raises(UserError, match=r"out has no array 'persons'; .* So the persons of its"):
        call("score", tmp_path / "query", tmp_path / "out")


def test_bad_input_is_said_in_sentences(place, tmp_path) -> None:
    for options, message in (
        (("--data", tmp_path / "nowhere"), "There is no folder"),
        (("--batch", 0), "--batch must be at least 1; got 0"),
        (("--device", "cuda:99"), "cannot be used here"),
        (("--unlabelled", "--part", "query"), "--part cannot be used"),
    ):
        with pytest.raises(UserError, match=message):
            embed(place, tmp_path / "out", *options)
    with pytest.raises(UserError, match=r"nowhere\.safetensors does not exist\. Name a run, .* drawn-people"):
        embed(place, tmp_path / "out", weights="nowhere")
    with pytest.raises(UserError, match=r"is not a run's folder \(it has no run\.json\)"):
        call("embed", place, "--data", place / "crops", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_torchrun_shares_the_work(place, tmp_path) -> None:
    embed(place, tmp_path / "one", "--batch", 4)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "resight", "embed", place / "weights.safetensors", "--device", "cpu"]
    command += ["--data", place / "crops", "--out", tmp_path / "two", "--batch", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 24
    for name in ("features", "persons", "items"):
        one, two = (np.load(tmp_path / count / f"{name}.npy") for count in ("one", "two"))
        assert np.array_equal(one, two)


def test_statistics_of_the_cameras_are_kept_and_used(place, tmp_path, capsys) -> None:
    for part in ("query", "gallery"):
        embed(place, tmp_path / part, "--part", part)
    embed(place, tmp_path / "all", "--camera-normalise")
    assert "Statistics of 2 cameras" in capsys.readouterr().out
    features, cameras = np.load(tmp_path / "all/features.npy"), np.load(tmp_path / "all/cameras.npy").tolist()
    statistics, expected = read_statistics(tmp_path / "all"), CameraStatistics.fit(features, cameras)
    np.testing.assert_allclose(
        statistics.apply(features, cameras), expected.apply(features, cameras), atol=1e-6
    )
    sides = (tmp_path / "query", tmp_path / "gallery", "--device", "cpu")
    plain = call_json(capsys, "score", *sides)
    found = call_json(capsys, "score", *sides, "--camera-statistics", tmp_path / "all")
    assert found["mAP"] != plain["mAP"]
    assert found["camera_statistics"] == str(tmp_path / "all")
    file = tmp_path / "all" / "camera_statistics.npz"
    assert call_json(capsys, "score", *sides, "--camera-statistics", file)["mAP"] == found["mAP"]


def test_camera_statistics_that_do_not_fit_are_refused(place, tmp_path, capsys) -> None:
    for part in ("query", "gallery"):
        embed(place, tmp_path / part, "--part", part)
    sides = (tmp_path / "query", tmp_path / "gallery", "--device", "cpu")
    with pytest.raises(
        UserError, match=r"There is no file .*camera_statistics\.npz\. Make it with: resight embed"
    ):
        call("score", *sides, "--camera-statistics", tmp_path / "query")
    embed(place, tmp_path / "other", "--camera-normalise", weights="other")
    with pytest.raises(UserError, match="are of different models"):
        call("score", *sides, "--camera-statistics", tmp_path / "other")
    np.savez(tmp_path / "narrow.npz", cameras=np.arange(2), counts=np.ones(2, int), sums=np.ones((2, 3)))
    with pytest.raises(UserError, match="statistics are of vectors with 3 numbers; these have"):
        call("score", *sides, "--camera-statistics", tmp_path / "narrow.npz")
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="has no camera statistics, or is damaged"):
        call("score", *sides, "--camera-statistics", tmp_path / "bad.npz")
    with pytest.raises(UserError, match="Give one of them"):
        call("score", *sides, "--camera-statistics", tmp_path / "narrow.npz", "--camera-normalise")
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "one.png").write_bytes(next((place / "crops" / "query").iterdir()).read_bytes())
    with pytest.raises(UserError, match="--camera-normalise needs crops from two known cameras or more"):
        embed(place, tmp_path / "out", "--data", flat, "--camera-normalise")

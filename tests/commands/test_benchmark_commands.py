"""``resight data`` on known sets, and ``resight evaluate`` by their protocols, with an untrained network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calling import call, call_json
from PIL import Image

from resight.errors import UserError
from resight.models.network import build_model
from resight.models.weights import save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    small: Any = {"input_size": (64, 32), "widths": (16, 16, 16), "feature_size": 16}
    save_weights(build_model("han", 3, **small), path)
    return path


def draw(root: Path, names: dict[str, int]) -> Path:
    """Write an image at each name, in the colour of its person."""
    for name, person in names.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(person)
        colour = random.integers(0, 256, 3)
        noise = np.random.default_rng(len(name) + sum(map(ord, name))).normal(0, 25, (16, 8, 3))
        Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def cuhk01(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {f"campus/{person:04}{image:03}.png": person for person in range(1, 31) for image in range(1, 5)}
    return draw(tmp_path_factory.mktemp("sets") / "cuhk01", names)


def test_draws_are_scored_and_their_mean_reported(
    weights: Path, cuhk01: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data", cuhk01, "--reader", "cuhk01,test_persons=20,draws=5", "--device", "cpu")
    found = call_json(capsys, "evaluate", weights, *options)
    assert (found["draws"], found["queries"], found["protocol"]) == (5, 20, "single-shot")
    values = [one["rank1"] for one in found["of_draws"]]
    assert found["rank1"] == pytest.approx(np.mean(values))
    assert found["spread"]["rank1"]["std"] == pytest.approx(np.std(values, ddof=1))
    assert found["rank20"] == 1
    call("evaluate", weights, *options)
    out = capsys.readouterr().out
    assert "95 % from" in out
    assert "5 draws; in the first, 20 of 20" in out


def test_draws_are_reranked_each_by_itself(
    weights: Path, cuhk01: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data", cuhk01, "--reader", "cuhk01,test_persons=20,draws=5", "--device", "cpu")
    plain = call_json(capsys, "evaluate", weights, *options)
    found = call_json(capsys, "evaluate", weights, *options, "--rerank", "--k1", 3, "--k2", 2)
    assert (plain["reranking"], found["reranking"]) == (None, {"k1": 3, "k2": 2, "lambda": 0.3})
    assert [one["mAP"] for one in found["of_draws"]] != [one["mAP"] for one in plain["of_draws"]]
    with pytest.raises(UserError, match=r"k1 = 21 neighbours .* the gallery has 20 crops"):
        call("evaluate", weights, *options, "--rerank", "--k1", 21)
    with pytest.raises(UserError, match=r"draws queries and galleries\. Leave --cmc out"):
        call("evaluate", weights, *options, "--cmc", "single-shot")


def test_evaluate_averages_and_reranks_as_score_does(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crops = [(person, camera, image) for person in range(1, 9) for camera in (1, 2) for image in (1, 2)]
    names = {f"bounding_box_test/{p:04}_c{c}s1_{i:06}_00.jpg": p for p, c, i in crops}
    names |= {f"query/{p:04}_c1s1_{9:06}_00.jpg": p for p in range(1, 9)}
    root = draw(tmp_path / "set", names)
    refined = ("--rerank", "--k1", 4, "--k2", 2, "--lambda", 0.2)
    refined += ("--expand-queries", 2, "--augment-gallery", 1)
    data = ("--data", root, "--device", "cpu")
    plain, found = (call_json(capsys, "evaluate", weights, *data, *options) for options in ((), refined))
    for part in ("query", "gallery"):
        call("embed", weights, *data, "--part", part, "--out", tmp_path / part)
    scored = call_json(capsys, "score", tmp_path / "query", tmp_path / "gallery", "--device", "cpu", *refined)
    told = ("mAP", "rank1", "mINP", "reranking", "augment_gallery", "expand_queries")
    assert {name: found[name] for name in told} == {name: pytest.approx(scored[name]) for name in told}
    assert found["mAP"] != plain["mAP"]
    assert found["reranking"] == {"k1": 4, "k2": 2, "lambda": 0.2}
    counted = ("--gallery-side", "opposite", "--cmc", "single-shot", "--draws", 3)
    drawn = call_json(capsys, "evaluate", weights, *data, *counted)
    scored = call_json(capsys, "score", tmp_path / "query", tmp_path / "gallery", "--device", "cpu", *counted)
    told = ("mAP", "rank1", "mINP", "cmc", "gallery_side", "draws")
    assert {name: drawn[name] for name in told} == {name: pytest.approx(scored[name]) for name in told}
    assert (drawn["cmc"], drawn["gallery_side"], drawn["draws"]) == ("single-shot", "opposite", 3)
    call("evaluate", weights, *data, *refined)
    assert "re-ranked, augment_gallery: 1, expand_queries: 2, " in capsys.readouterr().out


def test_a_listing_gives_the_draws(
    weights: Path, cuhk01: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = ("--reader", "cuhk01,test_persons=20,draws=5")
    call("data", "split", cuhk01, "--out", tmp_path / "draws.json", *reader)
    assert "40 crops to train on, 40 queries, 40 gallery crops, 5 draws." in capsys.readouterr().out
    device = ("--data", cuhk01, "--device", "cpu")
    drawn = call_json(capsys, "evaluate", weights, *device, *reader)
    other = "cuhk01,test_persons=10,split=3"
    given = call_json(
        capsys, "evaluate", weights, *device, "--reader", other, "--listing", tmp_path / "draws.json"
    )
    assert given["of_draws"] == drawn["of_draws"]


def test_thresholds(weights: Path, cuhk01: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--data", cuhk01, "--reader", "cuhk01,test_persons=20", "--device", "cpu", "--threshold")
    found = call_json(capsys, "evaluate", weights, *options, "--false-match-rate", 0.05)["verification"]
    assert (found["pairs_of_one_person"], found["pairs_of_two_persons"]) == (20 * 4, 20 * 2 * 19 * 2)
    assert found["chosen"]["false_match_rate"] <= 0.05
    assert found["checked"]["threshold"] == found["chosen"]["threshold"]
    assert 0 <= found["equal_error_rate"] <= 1
    call("evaluate", weights, *options, "--false-match-rate", 0.05)
    out = capsys.readouterr().out
    for expected in ("Do two crops show one person?", "Equal error rate", "On the other half"):
        assert expected in out
    with pytest.raises(UserError, match="cannot be measured with 360 pairs"):
        call("evaluate", weights, *options, "--false-match-rate", 1e-5)
    with pytest.raises(UserError, match="--false-match-rate is for --threshold"):
        call("evaluate", weights, *options[:-1], "--false-match-rate", 0.05)


def test_pooled_queries_change_only_the_query(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {}
    for person in range(1, 7):
        label = f"{person:04}"
        names |= {
            f"query/{label}_c1s1_000001_00.png": person,
            f"bounding_box_test/{label}_c2s1_000001_00.png": person,
        }
        names |= {f"gt_bbox/{label}_c1s1_{frame:06}_00.png": person for frame in (1, 2, 3)}
    root = draw(tmp_path / "set", names)
    single, average = (
        call_json(
            capsys,
            "evaluate",
            weights,
            "--data",
            root,
            "--reader",
            f"market-layout,queries={how}",
            "--device",
            "cpu",
        )
        for how in ("single", "average")
    )
    assert (single["queries"], average["queries"]) == (6, 6)
    assert average["protocol"] == "market-1501, queries pooled (average)"
    assert average["mAP"] > single["mAP"]


def test_check_compares_with_what_was_published(cuhk01: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader = ("--reader", "cuhk01,test_persons=20")
    call("data", "check", cuhk01, *reader)
    out = capsys.readouterr().out
    assert "10 draws of 20 queries in 20 crops." in out
    assert "Warning: Not as CUHK01 was published" in out
    found = call_json(capsys, "data", "check", cuhk01, *reader)
    assert found["published"]["as_published"] is False
    assert found["published"]["address"].startswith("https://")
    assert found["draws"] == {"number": 10, "queries": 20}


def test_readers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    found = {entry["name"]: entry for entry in call_json(capsys, "data", "readers")}
    assert {"market-1501", "dukemtmc-reid", "cuhk03", "cuhk01", "msmt17", "viper", "folder"} <= found.keys()
    assert found["cuhk03"]["options"]["boxes"] == {"default": "detected", "values": "labelled, detected"}
    assert found["cuhk03"]["options"]["split"]["values"] == "whole number from 0 to 19"
    assert "withdrawn" in found["dukemtmc-reid"]["source"]["note"]
    call("data", "readers")
    out = capsys.readouterr().out
    assert "queries=single  (single, average, max)" in out
    assert "withdrawn by its authors" in out

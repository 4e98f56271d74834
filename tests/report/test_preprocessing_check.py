"""Finding a model's preprocessing by labelled crops."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from resight.commands.model_check import check, verdict
from resight.errors import UserError
from resight.features.crop_list import CropList, crops_to_embed
from resight.inference.importing import import_model
from resight.inference.loading import load_model
from resight.report.preprocessing_check import check_preprocessing

SIZE = (16, 8)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def crops(tmp_path: Path) -> CropList:
    """Twelve persons in plain colours, four crops each, with noise."""
    random = np.random.default_rng(0)
    for person in range(12):
        colour = random.uniform(20, 235, 3)
        (tmp_path / "crops" / f"{person:02d}").mkdir(parents=True)
        for number in range(4):
            pixels = np.clip(colour + random.normal(0, 12, (*SIZE, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "crops" / f"{person:02d}" / f"{number}.png")
    return crops_to_embed(tmp_path / "crops")


def save(path: Path, dtype: int = TensorProto.FLOAT) -> Path:
    """Write a network of colours from 0 to 1: mean of x and of 1 - x, each clipped to that range."""
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Clip", ["float", "zero", "one"], ["clipped"]),
        helper.make_node("Sub", ["one", "clipped"], ["rest"]),
        helper.make_node("Concat", ["clipped", "rest"], ["both"], axis=1),
        helper.make_node("GlobalAveragePool", ["both"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(n, np.float32), name) for n, name in ((0, "zero"), (1, "one"))
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("x", dtype, ["n", 3, *SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 6])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


PLAIN = {"mean": (0.0, 0.0, 0.0), "deviation": (1.0, 1.0, 1.0)}


def test_a_wrong_range_is_found(tmp_path: Path, crops: CropList) -> None:
    file = save(tmp_path / "a.onnx")
    import_model(file, tmp_path / "wrong", given=PLAIN | {"value_range": 255})
    found = check_preprocessing(load_model(tmp_path / "wrong"), crops)
    assert {trial.name for trial in found.best} >= {
        "RGB, 0 to 1",
        "BGR, 0 to 1",
    }
    assert found.own.name == "RGB, 0 to 255"
    assert not found.own.tied
    words = verdict(found)
    assert words.startswith("The model's preprocessing is wrong: it is RGB, 0 to 255 and loses")
    assert "--value-range 1 --mean 0,0,0 --deviation 1,1,1" in words
    import_model(file, tmp_path / "right", given=PLAIN)
    found = check_preprocessing(load_model(tmp_path / "right"), crops, tracks=True)
    assert found.own.tied
    assert (found.crops, found.persons, found.cross_camera) == (48, 12, False)
    assert verdict(found).startswith("The model's preprocessing, RGB, 0 to 1, is as good as any.")


def test_a_graph_of_whole_numbers_is_tried_with_both_colour_orders(tmp_path: Path, crops: CropList) -> None:
    import_model(save(tmp_path / "a.onnx", TensorProto.UINT8), tmp_path / "model")
    found = check_preprocessing(load_model(tmp_path / "model"), crops)
    assert {trial.name for trial in found.trials} == {"RGB, 0 to 255", "BGR, 0 to 255"}


def test_json_has_every_trial(tmp_path: Path, crops: CropList, capsys: pytest.CaptureFixture[str]) -> None:
    import_model(save(tmp_path / "a.onnx"), tmp_path / "model", given=PLAIN)
    check(tmp_path / "model", data=tmp_path / "crops", json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["tied_with_best"]
    assert len(printed["trials"]) == 10
    assert [trial["own"] for trial in printed["trials"]].count(True) == 1


def test_crops_without_labels_are_refused(tmp_path: Path, crops: CropList) -> None:
    import_model(save(tmp_path / "a.onnx"), tmp_path / "model", given=PLAIN)
    model = load_model(tmp_path / "model")
    with pytest.raises(UserError, match="have no labels"):
        check_preprocessing(model, crops_to_embed(tmp_path / "crops", unlabelled=True))
    one = CropList(crops.source, "all", crops.paths[:4], np.ones(4, np.int64))
    with pytest.raises(UserError, match=r"Of 1 persons in .*, 1 have two crops\. At least 2"):
        check_preprocessing(model, one)

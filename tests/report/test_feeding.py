"""Telling how a model wants its crops, from crops with labels."""

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
from resight.report.feeding import check_feeding

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
    found = check_feeding(load_model(tmp_path / "wrong"), crops)
    assert {way.name for way in found.best} >= {"RGB, 0 to 1", "BGR, 0 to 1"}  # colours cannot be told
    assert found.own.name == "RGB, 0 to 255"
    assert not found.own.as_good
    words = verdict(found)
    assert words.startswith("Crops are not fed as the model was made for: it gets RGB, 0 to 255 and loses")
    assert "--value-range 1 --mean 0,0,0 --deviation 1,1,1" in words
    import_model(file, tmp_path / "right", given=PLAIN)
    found = check_feeding(load_model(tmp_path / "right"), crops, tracks=True)
    assert found.own.as_good
    assert (found.crops, found.persons, found.cross_camera) == (48, 12, False)
    assert verdict(found).startswith("Crops are fed as well as can be told: RGB, 0 to 1.")


def test_a_graph_of_whole_numbers_leaves_the_colours_to_tell(tmp_path: Path, crops: CropList) -> None:
    import_model(save(tmp_path / "a.onnx", TensorProto.UINT8), tmp_path / "model")
    found = check_feeding(load_model(tmp_path / "model"), crops)
    assert {way.name for way in found.ways} == {"RGB, 0 to 255", "BGR, 0 to 255"}


def test_json_has_every_way(tmp_path: Path, crops: CropList, capsys: pytest.CaptureFixture[str]) -> None:
    import_model(save(tmp_path / "a.onnx"), tmp_path / "model", given=PLAIN)
    check(tmp_path / "model", data=tmp_path / "crops", json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["fed_rightly"]
    assert len(printed["ways"]) == 10
    assert [way["own"] for way in printed["ways"]].count(True) == 1


def test_crops_without_labels_are_refused(tmp_path: Path, crops: CropList) -> None:
    import_model(save(tmp_path / "a.onnx"), tmp_path / "model", given=PLAIN)
    model = load_model(tmp_path / "model")
    with pytest.raises(UserError, match="have no labels"):
        check_feeding(model, crops_to_embed(tmp_path / "crops", unlabelled=True))
    one = CropList(crops.source, "all", crops.paths[:4], np.ones(4, np.int64))
    with pytest.raises(UserError, match=r"Of 1 persons in .*, 1 have two crops\. At least 2"):
        check_feeding(model, one)

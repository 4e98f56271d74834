"""``resight model quantize``."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from calling import call, call_json
from onnx import TensorProto, helper, numpy_helper
from onnx_files import write_embedder
from PIL import Image

from resight.commands.model_quantize import quantize
from resight.errors import UserError
from resight.inference.embedder import Embedder
from resight.inference.loading import load_model
from resight.inference.runtimes.choice import sample_crops
from resight.report import quantisation
from resight.report.quantisation import agreement

PLAIN = ("--value-range", "255", "--mean", "0", "--deviation", "1")
SIZE = (16, 8)


@pytest.fixture(autouse=True)
def _int8_is_twice_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not measure: small networks are not faster in int8."""
    monkeypatch.setattr(quantisation, "rates_in_turn", rates(2))


def rates(gain: float) -> object:
    return lambda computes, crops: {
        name: 100 * (gain if name.startswith("int8") else 1) + name.endswith("onnxruntime")
        for name in computes
    }


def write_crops(folder: Path, persons: int = 60, plain: bool = False) -> Path:
    """Write two crops of each person in a folder of its own, alike; or all of one colour."""
    generator = np.random.default_rng(0)
    for person in range(persons):
        (folder / f"{person:02d}").mkdir(parents=True)
        own = generator.integers(0, 200, (1, 1, 3) if plain else (*SIZE, 3)) + np.zeros((*SIZE, 3))
        for number in range(2):
            change = number if plain else generator.integers(0, 40, own.shape)
            Image.fromarray((own + change).astype(np.uint8)).save(folder / f"{person:02d}" / f"{number}.png")
    return folder


def model(tmp_path: Path) -> Path:
    write_embedder(tmp_path / "network.onnx", width=24)
    call("model", "import", tmp_path / "network.onnx", "--out", tmp_path / "model", *PLAIN, "--name", "mine")
    return tmp_path / "model"


def test_an_accurate_and_faster_model_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, data = model(tmp_path), write_crops(tmp_path / "crops")
    found = call_json(capsys, "model", "quantize", source, "--data", data, "--out", tmp_path / "small")
    assert found["judged_by"] == "mAP"
    assert found["float32"] - 0.005 <= found["int8"] <= 1
    assert found["milliseconds"] == pytest.approx([1000 / 101, 1000 / 201])
    facts = json.loads((tmp_path / "small" / "model.json").read_text())
    assert facts["graph"]["runtime"] == "onnxruntime"
    assert facts["calibration"] == {"crops": 96, "source": str(data), "input_range": [0, 255]}
    nodes = [node.op_type for node in onnx.load(tmp_path / "small" / "model.onnx").graph.node]
    assert nodes.count("QuantizeLinear") >= 2
    whole, small = (Embedder(load_model(tmp_path / name)) for name in ("model", "small"))
    assert small.runtime == "onnxruntime"
    crops = sample_crops(SIZE, 32).numpy()
    vectors = np.stack([np.asarray(each.embed(crops)) for each in (whole, small)])
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    assert (vectors[0] * vectors[1]).sum(1).min() > 0.99
    calibration = f"calibrated with 96 crops of {data}, given as numbers from 0 to 255."
    for name, shown in (("small", True), ("model", False)):
        call("model", "info", tmp_path / name)
        assert (calibration in capsys.readouterr().out) is shown
    assert call_json(capsys, "model", "info", tmp_path / "small")["calibration"] == facts["calibration"]
    with pytest.raises(UserError, match="mine-int8 is in int8 already"):
        quantize(tmp_path / "small", data=data, out=tmp_path / "smaller")
    facts["preprocessing"]["value_range"] = 1
    (tmp_path / "small" / "model.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"calibrated with numbers from 0 to 255, but .* gives 0 to 1,"):
        load_model(tmp_path / "small")


def test_without_labels_the_first_ten_results_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, data = model(tmp_path), write_crops(tmp_path / "crops")
    call("model", "quantize", source, "--data", data, "--unlabelled", "--out", tmp_path / "small")
    shown = capsys.readouterr()
    assert "has no labels: int8 is judged by whether the first ten results stay the same" in shown.err
    assert "% of the first ten results are the same as in float32, for 60 queries" in shown.out


def test_the_agreement_is_the_share_of_first_results_that_stay() -> None:
    import torch

    angles = torch.linspace(0, 1, 30, dtype=torch.float64)
    line = torch.stack([angles.cos(), angles.sin()], 1)
    assert agreement(line, line) == 1
    ends = agreement(line, line.roll(15, 0))  # the two halves change places: neighbours stay, but at the ends
    assert 0.5 < ends < 1


def test_a_slow_model_is_refused_with_both_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantisation, "rates_in_turn", rates(1.01))
    source, data = model(tmp_path), write_crops(tmp_path / "crops")
    with pytest.raises(UserError, match=r"mine in int8 is not faster here.*mAP .* points .*over .*ms a crop"):
        quantize(source, data=data, out=tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_a_network_that_collapses_is_refused(tmp_path: Path) -> None:
    """One channel of the depthwise convolution is ten thousand times as large as those that matter."""
    kernel = np.random.default_rng(0).normal(size=(8, 1, 4, 4)).astype(np.float32)
    spread = np.ones((8, 3, 1, 1), np.float32) / 3
    kernel[0] = 1e4
    weights = {"spread": spread, "kernel": kernel, "scale": np.ones((1, 8, 1, 1), np.float32)}
    weights["scale"][0, 0] = 0
    nodes = [
        helper.make_node("Conv", ["images", "spread"], ["grey"]),
        helper.make_node("Conv", ["grey", "kernel"], ["map"], strides=[4, 4], group=8),
        helper.make_node("Relu", ["map"], ["positive"]),
        helper.make_node("Mul", ["positive", "scale"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "depthwise",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, *SIZE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 64])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = tmp_path / "depthwise.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    call("model", "import", path, "--out", tmp_path / "model", *PLAIN)
    data = write_crops(tmp_path / "crops")
    with pytest.raises(
        UserError, match=r"loses too much.*mAP 0.0 in int8 and 100.0 in float32.*ms a crop in"
    ):
        quantize(tmp_path / "model", data=data, out=tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_openvino_files_are_refused_before_crops_are_read(tmp_path: Path) -> None:
    import openvino

    write_embedder(tmp_path / "network.onnx")
    openvino.save_model(openvino.convert_model(tmp_path / "network.onnx"), tmp_path / "network.xml")
    call("model", "import", tmp_path / "network.xml", "--out", tmp_path / "model", *PLAIN)
    with pytest.raises(UserError, match="is OpenVINO IR, which ONNX Runtime cannot quantise"):
        quantize(tmp_path / "model", data=tmp_path / "missing", out=tmp_path / "small")


def test_crops_that_cannot_calibrate_are_refused(tmp_path: Path) -> None:
    source = model(tmp_path)
    few = tmp_path / "few"
    few.mkdir()
    for number, picture in enumerate(sample_crops(SIZE, 3).numpy()):
        Image.fromarray(picture).save(few / f"{number}.png")
    with pytest.raises(UserError, match="few has 2 different crops to calibrate with; at least 50"):
        quantize(source, data=few, out=tmp_path / "small")
    plain = write_crops(tmp_path / "plain", plain=True)
    with pytest.raises(UserError, match=r"Of 96 crops in .*plain, 96 are of one colour"):
        quantize(source, data=plain, out=tmp_path / "small")

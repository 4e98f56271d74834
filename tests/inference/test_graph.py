"""ONNX files and OpenVINO IR through one interface, and what is said of those that cannot be read."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from resight.errors import UserError
from resight.inference.runtimes.graph import GraphRuntime, Port, open_graph

RUNTIMES: list[GraphRuntime] = ["onnxruntime", "openvino"]


def save(
    path: Path, *, opset: int = 17, version: int = 8, batch: int | str = "n", second: bool = False
) -> Path:
    """Write an ONNX file that halves a picture [n, 3, 4, 2] and returns it and the means of its channels."""
    inputs = [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [batch, 3, 4, 2])]
    if second:
        inputs.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [batch, 3, 4, 2]))
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["picture", "half"], ["a"]),
            helper.make_node("Identity", ["a"], ["halved"]),  # OpenVINO knows the output by both names
            helper.make_node("GlobalAveragePool", ["mask" if second else "halved"], ["means"]),
        ],
        "small",
        inputs,
        [
            helper.make_tensor_value_info("halved", TensorProto.FLOAT, [batch, 3, 4, 2]),
            helper.make_tensor_value_info("means", TensorProto.FLOAT, [batch, 3, 1, 1]),
        ],
        [numpy_helper.from_array(np.full((1, 3, 4, 2), 0.5, np.float32), "half")],
    )
    opsets = [helper.make_opsetid("", opset)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=version).SerializeToString())
    return path


def save_ir(path: Path) -> Path:
    openvino.save_model(openvino.convert_model(save(path.with_suffix(".onnx"))), path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_file_runs_and_names_its_ports(tmp_path: Path, runtime: GraphRuntime) -> None:
    graph = open_graph(save(tmp_path / "a.onnx"), runtime, threads=1)
    assert graph.runtime == runtime
    assert graph.inputs == (Port("picture", (None, 3, 4, 2), "float32"),)
    assert graph.outputs[1] == Port("means", (None, 3, 1, 1), "float32")
    pictures = np.arange(5 * 24, dtype=np.uint8).reshape(5, 3, 4, 2)  # cast to the input's type
    found = graph.run(pictures)
    np.testing.assert_array_equal(found["halved"], pictures / 2)
    np.testing.assert_allclose(found["means"][:, :, 0, 0], pictures.mean((2, 3)) / 2)


def test_openvino_ir_needs_no_runtime_to_be_named(tmp_path: Path) -> None:
    path = save_ir(tmp_path / "a.xml")
    graph = open_graph(path, threads=1)
    assert graph.runtime == "openvino"
    np.testing.assert_array_equal(graph.run(np.full((2, 3, 4, 2), 3.0))["halved"], 1.5)
    with pytest.raises(UserError, match="only OpenVINO reads"):
        open_graph(path, "onnxruntime")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_threads_share_a_graph(tmp_path: Path, runtime: GraphRuntime) -> None:
    graph = open_graph(save(tmp_path / "a.onnx"), runtime, threads=1)

    def run(number: int) -> bool:
        return bool((graph.run(np.full((number % 5 + 1, 3, 4, 2), number))["halved"] == number / 2).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(200)))


def test_openvino_opens_a_fixed_batch(tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", batch=1)
    assert open_graph(path, "openvino", threads=1).inputs[0].shape == (1, 3, 4, 2)
    graph = open_graph(path, "openvino", threads=1, any_batch=True)
    assert graph.inputs[0].shape == (None, 3, 4, 2)
    assert graph.run(np.ones((7, 3, 4, 2)))["means"].shape == (7, 3, 1, 1)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("count", [1, 3, 5, 8, 9, 21])
def test_batches_of_any_size_keep_their_order(tmp_path: Path, runtime: GraphRuntime, count: int) -> None:
    graph = open_graph(save(tmp_path / "a.onnx"), runtime, threads=1)
    pictures = np.random.default_rng(0).normal(size=(count, 3, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(graph.run(pictures)["halved"], pictures / 2)


def test_a_batch_fixed_inside_stays_fixed(tmp_path: Path) -> None:
    model = onnx.load(save(tmp_path / "a.onnx", batch=1))
    shape = numpy_helper.from_array(np.array([1, -1], np.int64), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("Reshape", ["means", "shape"], ["flat"]))
    model.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, [1, 3]))
    onnx.save(model, tmp_path / "b.onnx")
    graph = open_graph(tmp_path / "b.onnx", "openvino", threads=1, any_batch=True)
    assert graph.inputs[0].shape == (1, 3, 4, 2)
    assert graph.run(np.ones((1, 3, 4, 2)))["flat"].shape == (1, 3)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_array_that_does_not_fit_is_refused(tmp_path: Path, runtime: GraphRuntime) -> None:
    graph = open_graph(save(tmp_path / "a.onnx"), runtime, threads=1)
    with pytest.raises(UserError, match=r"on an array \[1, 3, 5, 2\]: .*'picture' float32 \[\?, 3, 4, 2\]"):
        graph.run(np.zeros((1, 3, 5, 2)))
    graph = open_graph(save(tmp_path / "b.onnx", second=True), runtime, threads=1)
    with pytest.raises(UserError, match=r"several inputs: 'picture' .*'mask'"):
        graph.run(np.zeros((1, 3, 4, 2)))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_damaged_files_are_told_apart(
    tmp_path: Path, runtime: GraphRuntime, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.onnx"
    with pytest.raises(UserError, match="There is no file"):
        open_graph(path, runtime)
    path.write_text("I am no network.")
    with pytest.raises(UserError, match="is not an ONNX file"):
        open_graph(path, runtime)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="is not an ONNX file"):
        open_graph(path, runtime)
    save(path).write_bytes(path.read_bytes()[:-150])
    with pytest.raises(UserError, match="was cut off or changed"):
        open_graph(path, runtime)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_files_newer_than_the_runtime_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"version 99 of the ONNX format; .* up to version \d+\. Upgrade"):
        open_graph(save(tmp_path / "a.onnx", version=99), "onnxruntime")
    with pytest.raises(UserError, match=r"opset 99 of ONNX; .* up to opset \d+\. Upgrade"):
        open_graph(save(tmp_path / "a.onnx", opset=99), "onnxruntime")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_missing_external_data_is_named(tmp_path: Path, runtime: GraphRuntime) -> None:
    model = onnx.load(save(tmp_path / "a.onnx"))
    onnx.save_model(
        model, tmp_path / "b.onnx", save_as_external_data=True, location="b.data", size_threshold=0
    )
    assert open_graph(tmp_path / "b.onnx", runtime, threads=1).outputs[0].name == "halved"
    (tmp_path / "b.data").unlink()
    with pytest.raises(UserError, match=r"in a second file, 'b\.data', which is missing or cut off"):
        open_graph(tmp_path / "b.onnx", runtime)


def test_damaged_ir_is_told_apart(tmp_path: Path) -> None:
    path = save_ir(tmp_path / "a.xml")
    weights, text = path.with_suffix(".bin"), path.read_bytes()
    content = weights.read_bytes()
    weights.write_bytes(content[:-10])
    with pytest.raises(UserError, match=r"a\.bin is too short for a\.xml"):
        open_graph(path)
    weights.unlink()
    with pytest.raises(UserError, match=r"needs its weights in .*a\.bin"):
        open_graph(path)
    weights.write_bytes(content)
    path.write_bytes(text[: len(text) // 2])
    with pytest.raises(UserError, match="was cut off"):
        open_graph(path)
    for other in ("no markup", "<?xml version='1.0'?><a><b/></a>"):
        path.write_text(other)
        with pytest.raises(UserError, match="is not OpenVINO IR"):
            open_graph(path)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_says_what_to_install(
    tmp_path: Path, runtime: GraphRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, runtime, None)
    extra = {"onnxruntime": "onnx", "openvino": "openvino"}[runtime]
    with pytest.raises(UserError, match=rf"is not installed.*pip install 'resight\[{extra}\]'"):
        open_graph(tmp_path / "a.onnx", runtime)

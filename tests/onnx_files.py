"""Small ONNX files, as exporters write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = (16, 8)
DTYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def write_embedder(
    path: Path,
    *,
    batch: int | str = "batch",
    layout: str = "nchw",
    dtype: str = "float32",
    names: tuple[str, str] = ("images", "output"),
    width: int = 6,
    size: tuple[int | str, int | str] = SIZE,
    inside: Sequence[int] | None = None,
    last: str | None = None,
    constant: bool = False,
    zero: bool = False,
    bias: float = 0.0,
    more: bool = False,
    channels: int = 3,
    opset: int = 17,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a network: a 4x4 convolution, ReLU, and a linear layer; return its path.

    Args:
        path: of the file.
        batch: first side of its input and output.
        layout, dtype, size, channels: of its input.
        names: of its input and output.
        width: numbers a crop.
        inside: shape that a Reshape before the linear layer makes; by default it flattens.
        last: operation after the linear layer, such as Softmax.
        constant: add a constant with the batch as its first side, which no other number of crops fits.
        zero: let all weights of the linear layer be zero.
        bias: added to all numbers of the vector.
        more: give the map, and a second vector, as outputs, too.
        opset: of the file.
        metadata: of the file.
    """
    generator = np.random.default_rng(0)
    kind = DTYPES[dtype]
    floats = np.float16 if dtype == "float16" else np.float32
    cells = SIZE[0] // 4 * (SIZE[1] // 4) * 4
    weights = {
        "kernel": generator.normal(size=(4, channels, 4, 4)).astype(floats),
        "matrix": (generator.normal(size=(cells, width)) / 8).astype(floats),
        "shape": np.array(inside if inside is not None else [0, -1], np.int64),
    }
    sides = [batch, channels, *size] if layout == "nchw" else [batch, *size, channels]
    source, nodes = names[0], []
    if dtype == "uint8":
        nodes.append(helper.make_node("Cast", [source], ["floats"], to=TensorProto.FLOAT))
        source = "floats"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [source], ["first"], perm=[0, 3, 1, 2]))
        source = "first"
    nodes += [
        helper.make_node("Conv", [source, "kernel"], ["map"], strides=[4, 4]),
        helper.make_node("Relu", ["map"], ["positive"]),
        helper.make_node("Reshape", ["positive", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["linear"]),
    ]
    final = "linear"
    if zero:
        weights["matrix"] *= 0
    if bias:
        weights["bias"] = np.full(width, bias, floats)
        nodes.append(helper.make_node("Add", [final, "bias"], ["biased"]))
        final = "biased"
    if constant:
        weights["constant"] = np.arange(int(batch) * width, dtype=floats).reshape(int(batch), width)
        nodes.append(helper.make_node("Add", [final, "constant"], ["added"]))
        final = "added"
    nodes.append(helper.make_node(last or "Identity", [final], [names[1]]))
    out = TensorProto.FLOAT16 if dtype == "float16" else TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info(names[1], out, [batch, width])]
    if more:
        nodes.append(helper.make_node("Neg", [final], ["second"]))
        outputs += [
            helper.make_tensor_value_info("map", out, [batch, 4, None, None]),
            helper.make_tensor_value_info("second", out, [batch, width]),
        ]
    graph = helper.make_graph(
        nodes,
        "embedder",
        [helper.make_tensor_value_info(names[0], kind, sides)],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def write_normalising(path: Path, *, batch: int = 1, axes: Sequence[int] = (2, 3), opset: int = 17) -> Path:
    """Write a network with a MeanVarianceNormalization after ReLU, where channels may be silent."""
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(6, 3, 4, 4)).astype(np.float32)
    kernel[2] = -np.abs(kernel[2])  # always silent
    nodes = [
        helper.make_node("Conv", ["data", "kernel"], ["map"], strides=[4, 4]),
        helper.make_node("Relu", ["map"], ["positive"]),
        helper.make_node("MeanVarianceNormalization", ["positive"], ["even"], axes=list(axes)),
        helper.make_node("Exp", ["even"], ["weights"]),
        helper.make_node("GlobalAveragePool", ["weights"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["reid_embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "normalising",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, *SIZE])],
        [helper.make_tensor_value_info("reid_embedding", TensorProto.FLOAT, [batch, 6])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
    return path


def crops(count: int, size: tuple[int, int] = SIZE, seed: int = 1) -> Any:
    """Return crops of noise, uint8 [N, H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)


def expected(pixels: Any, path: Path, mean: float, scale: float, *, bgr: bool = False) -> Any:
    """Return what ONNX Runtime gives for crops one by one, fed by hand as (pixel - mean) / scale."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    fed = (pixels[..., ::-1] if bgr else pixels).astype(np.float32).transpose(0, 3, 1, 2)
    port = session.get_inputs()[0]
    rows = [session.run(None, {port.name: (one[None] - mean) / scale})[0] for one in fed]
    return np.concatenate(rows)

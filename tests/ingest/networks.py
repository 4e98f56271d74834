"""Small ONNX files that emit known boxes if one pixel of their input has the value that it should."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Arrays = Mapping[str, NDArray]
ALIKE = 0.01


def emitting(
    path: Path,
    found: Arrays,
    nobody: Arrays,
    *,
    size: tuple[int, int],
    pixel: tuple[int, int],
    value: tuple[float, float, float],
    sizes: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a network that returns ``found`` if a pixel (y, x) of its input has this value, else ``nobody``.

    Args:
        sizes: whether there is a second input, ``orig_target_sizes``, by which ``boxes`` are multiplied.
    """
    y, x = pixel
    constants = {
        "value": np.array(value, np.float32).reshape(1, 3, 1, 1),
        "alike": np.array(ALIKE * max(1, max(map(abs, value))), np.float32),
        "from": np.array([y, x], np.int64),
        "to": np.array([y + 1, x + 1], np.int64),
        "axes": np.array([2, 3], np.int64),
        "scalar": np.array([], np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["images", "from", "to", "axes"], ["part"]),
        helper.make_node("Sub", ["part", "value"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["distance"]),
        helper.make_node("ReduceMax", ["distance"], ["largest"], keepdims=0),
        helper.make_node("Less", ["largest", "alike"], ["fed"]),
    ]
    for name, array in found.items():
        constants |= {f"{name}.found": array, f"{name}.nobody": nobody[name]}
        scaled = sizes and name == "boxes"
        result = "fractions" if scaled else name
        nodes.append(helper.make_node("Where", ["fed", f"{name}.found", f"{name}.nobody"], [result]))
        if scaled:
            nodes += [
                helper.make_node("Cast", ["orig_target_sizes"], ["pair"], to=TensorProto.FLOAT),
                helper.make_node("Concat", ["pair", "pair"], ["scale"], axis=1),
                helper.make_node("Mul", ["fractions", "scale"], [name]),
            ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *size])]
    if sizes:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2]))
    outputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in found.items()
    ]
    initial = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "detector", inputs, outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path

"""Repairing ONNX files: a variable batch size, and normalisations that ONNX Runtime computes wrongly."""

from collections.abc import Iterator
from typing import Any

import numpy as np

EPSILON = 1e-9
"""Added to the deviation by the definition of MeanVarianceNormalization."""


def replace_normalisations(model: Any) -> int:
    """Replace each MeanVarianceNormalization by elementary operations, and return how many there were.

    ONNX Runtime returns NaN for a channel whose values are all equal. By the standard, and in
    OpenVINO, it is 0.
    """
    from onnx import helper

    nodes, count = [], 0
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    for node in model.graph.node:
        if node.op_type != "MeanVarianceNormalization":
            nodes.append(node)
            continue
        count += 1
        axes = next((list(one.ints) for one in node.attribute if one.name == "axes"), [0, 2, 3])
        (source,), (target,) = node.input, node.output
        prefix = f"{target}/normalised"
        if opset >= 18:  # axes became an input
            model.graph.initializer.append(_constant(f"{prefix}/axes", axes, np.int64))
            reduction: dict[str, Any] = {"inputs": [f"{prefix}/axes"]}
        else:
            reduction = {"axes": axes}
        inputs = reduction.pop("inputs", [])
        model.graph.initializer.append(_constant(f"{prefix}/epsilon", EPSILON, np.float32))

        def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
            nodes.append(helper.make_node(kind, inputs, [output], **attributes))
            return output

        mean = add("ReduceMean", [source, *inputs], f"{prefix}/mean", keepdims=1, **reduction)
        centred = add("Sub", [source, mean], f"{prefix}/centred")
        squared = add("Mul", [centred, centred], f"{prefix}/squared")
        variance = add("ReduceMean", [squared, *inputs], f"{prefix}/variance", keepdims=1, **reduction)
        deviation = add("Sqrt", [variance], f"{prefix}/deviation")
        divisor = add("Add", [deviation, f"{prefix}/epsilon"], f"{prefix}/divisor")
        add("Div", [centred, divisor], target)
    if count:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return count


def open_batch(model: Any, name: str, fixed: int) -> None:
    """Make the batch size variable: in the input, the outputs, and constant shapes inside the graph.

    The caller must check that the vectors stay the same.

    Args:
        model: ONNX model.
        name: name of the input.
        fixed: its batch size.
    """
    graph = model.graph
    for port in (*(one for one in graph.input if one.name == name), *graph.output):
        sides = port.type.tensor_type.shape.dim
        if sides and sides[0].dim_value == fixed:
            sides[0].dim_param = "batch"
    del graph.value_info[:]
    constants = dict(_constants(graph))
    reached = {name}
    for node in graph.node:
        if not reached & set(node.input):
            continue
        reached |= set(node.output)
        if node.op_type not in ("Reshape", "Expand") or node.input[0] not in reached:
            continue
        shape = constants.get(node.input[1])
        if shape is None or not len(shape) or shape[0] != fixed:
            continue
        # 0 keeps the size of this axis; -1 computes it, which is right also if axes were merged before
        opened = [1 if node.op_type == "Expand" else 0 if -1 in shape[1:] else -1, *shape[1:]]
        graph.initializer.append(_constant(f"{node.output[0]}/shape", opened, np.int64))
        node.input[1] = graph.initializer[-1].name


def _constants(graph: Any) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and value of each integer constant, such as a shape."""
    from onnx import TensorProto, numpy_helper

    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.INT64:
            yield tensor.name, numpy_helper.to_array(tensor).reshape(-1).tolist()
    for node in graph.node:
        for value in node.attribute if node.op_type == "Constant" else ():
            if value.name == "value" and value.t.data_type == TensorProto.INT64:
                yield node.output[0], numpy_helper.to_array(value.t).reshape(-1).tolist()
            elif value.name == "value_ints":
                yield node.output[0], list(value.ints)


def _constant(name: str, value: object, dtype: type) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(value, dtype), name)

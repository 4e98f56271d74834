"""What one crop costs a model: parameters and multiply-adds, for networks and graphs on one scale."""

import math
from dataclasses import dataclass
from typing import Any

from resight.errors import UserError
from resight.inference.graphs import GraphModel
from resight.inference.loading import LoadedModel
from resight.inference.runtimes.graph import import_runtime, read_openvino
from resight.models.complexity import measure

VIEWS = {"one": 1, "mirror": 2, "ten-crop": 10}
"""Views of a crop, each of which the network computes."""

UNCOUNTED = ("Deconvolution", "ConvolutionBackpropData", "DeformableConvolution", "Einsum", "Loop", "If")
"""Beginnings of the names of OpenVINO's operations that multiply, but are not counted."""

WEIGHTS = ("f32", "f16", "bf16", "f64", "i8", "u8", "i4", "u4")
"""Types of weights; the other constants are shapes and indices."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of embedding one crop with all its views.

    Attributes:
        parameters: weights of the network; None if unknown.
        multiply_adds: multiplications, each with its addition, in convolutions and matrix products; None if
            unknown.
        unknown: why they are unknown; None if they are known.
    """

    parameters: int | None
    multiply_adds: int | None
    unknown: str | None = None


def cost_of(model: LoadedModel) -> Cost:
    """Count parameters and multiply-adds: of graphs by OpenVINO, of other networks by PyTorch."""
    network = model.network
    views = VIEWS[network.views]
    if not isinstance(network, GraphModel):
        found = measure(network)
        return Cost(found.parameters, views * found.multiply_adds)
    try:
        return _count(network, views)
    except UserError as error:
        return Cost(None, None, str(error).rstrip("."))


def _count(model: GraphModel, views: int) -> Cost:
    import_runtime("openvino")
    graph = read_openvino(model.path)
    sides = graph.inputs[0].partial_shape
    height, width = model.input_size
    three = (3, height, width) if model.settings.layout == "nchw" else (height, width, 3)
    for axis, side in enumerate((model.settings.batch or 1, *three)):
        sides[axis] = side
    graph.reshape({graph.inputs[0]: sides})
    parameters, multiply_adds, unknown = 0, 0, set()
    for operation in graph.get_ordered_ops():
        kind = operation.get_type_name()
        if kind == "Constant":
            parameters += _weights(operation)
        elif kind.startswith(UNCOUNTED) or "Sequence" in kind or kind.endswith("Attention"):
            unknown.add(kind)
        elif kind in ("Convolution", "GroupConvolution", "MatMul"):
            number = _multiply_adds(operation, kind)
            if number is None:
                unknown.add(kind)
            else:
                multiply_adds += number
    if unknown:
        return Cost(parameters, None, f"the graph has operations that cannot be counted: {sorted(unknown)}")
    return Cost(parameters, views * multiply_adds // (model.settings.batch or 1))


def _weights(constant: Any) -> int:
    """Return how many weights a constant has: none if it is a shape, or the range of a quantised array."""
    output = constant.output(0)
    if constant.get_element_type().get_type_name() not in WEIGHTS:
        return 0
    readers = [(one.get_node().get_type_name(), one.get_index()) for one in output.get_target_inputs()]
    if all(kind == "FakeQuantize" and index > 0 for kind, index in readers):
        return 0
    return math.prod(output.shape)


def _multiply_adds(operation: Any, kind: str) -> int | None:
    """Return the multiply-adds of a convolution or matrix product; None if a shape is not known."""
    second, output = operation.input(1).get_partial_shape(), operation.output(0).get_partial_shape()
    first = operation.input(0).get_partial_shape()
    if first.is_dynamic or second.is_dynamic or output.is_dynamic:
        return None
    if kind == "MatMul":
        each = first[-2 if operation.get_attributes()["transpose_a"] and len(first) > 1 else -1].get_length()
    else:  # weights are [out, in, ...], of groups [groups, out, in, ...]
        each = math.prod(second.to_shape()[2 if kind == "GroupConvolution" else 1 :])
    return int(math.prod(output.to_shape()) * each)

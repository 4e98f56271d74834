"""ONNX files and OpenVINO IR, run by ONNX Runtime or OpenVINO through one interface."""

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.inference.runtimes.reasons import EXTRAS, NAMES, GraphRuntime, explain, last_line
from resight.threads import available_cores

METADATA = "resight.preprocessing"
"""Key in a file's metadata with the settings of ``Preprocessing``, as JSON."""

METADATA_KEYS = ("labels", METADATA)
"""Keys that are read from OpenVINO IR."""

Array = NDArray[Any]
GraphPrecision = Literal["float32", "bfloat16"]

BATCH = 8
"""Largest batch: larger ones do not fit the processor's caches (HAN(Small) with OpenVINO: 190 crops per
second in batches of 32, 216 in batches of 8)."""

SINGLY = 4
"""Largest number of crops that OpenVINO runs singly; larger batches are filled up to ``BATCH``. Compiled for
one batch size, a network is up to 1.7 times as fast as compiled for any. Each size takes a second to compile,
and the memory of a copy."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: in the file.
        shape: length of each axis; None if it is variable.
        dtype: NumPy's name of the type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"'{self.name}' {self.dtype} [{sides}]"


class Graph(ABC):
    """A network in a file, ready to run; may be used from several threads.

    Attributes:
        runtime: name of the runtime.
        inputs, outputs: inputs and outputs in the file's order.
        metadata: what the file says about the network, by key.
    """

    runtime: ClassVar[GraphRuntime]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: Mapping[str, str] = {}
    _path: Path

    def run(self, array: Array, *others: Array) -> dict[str, Array]:
        """Return the outputs by name for one array, which is cast to the type of the input.

        Args:
            array: for the first input; a large one is run in parts.
            others: for further inputs, the same for each part.

        Raises:
            UserError: the graph has more or fewer inputs, or does not take an array of this shape.
        """
        inputs = describe_ports(self.inputs)
        if len(self.inputs) != 1 + len(others):
            raise UserError(f"{self._path} has several inputs: {inputs}. Arrays given: {1 + len(others)}.")
        array, *rest = (
            np.ascontiguousarray(each, port.dtype)
            for each, port in zip((array, *others), self.inputs, strict=True)
        )
        try:
            parts = [self._run(part, *rest) for part in self._parts(array)]
        except Exception as error:  # the runtimes' exceptions have no common base
            raise UserError(
                f"{NAMES[self.runtime]} could not run {self._path} on an array {list(array.shape)}: "
                f"{last_line(str(error))}. Its input: {inputs}."
            ) from error
        joined = parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]
        return {port.name: value for port, value in zip(self.outputs, joined, strict=True)}

    def _parts(self, array: Array) -> list[Array]:
        """Return the array in batches."""
        if self.inputs[0].shape[:1] != (None,) or len(array) <= BATCH:
            return [array]
        return [array[first : first + BATCH] for first in range(0, len(array), BATCH)]

    @abstractmethod
    def _run(self, array: Array, *others: Array) -> list[Array]:
        """Return the outputs in order."""


def describe_ports(ports: Sequence[Port]) -> str:
    """Return name, type and shape of inputs or outputs, for messages."""
    return ", ".join(map(str, ports)) or "none"


def installed(runtime: GraphRuntime) -> bool:
    """Return whether the runtime's package is installed, without importing it."""
    return importlib.util.find_spec(runtime) is not None


def import_runtime(runtime: GraphRuntime) -> Any:
    """Return the runtime's module.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(runtime)
    except ImportError:
        raise UserError(
            f"{NAMES[runtime]} is not installed. Install it: pip install 'resight[{EXTRAS[runtime]}]'"
        ) from None


def open_graph(
    path: Path,
    runtime: GraphRuntime | None = None,
    *,
    threads: int = 0,
    gpu: bool = False,
    precision: GraphPrecision = "float32",
    any_batch: bool = False,
) -> Graph:
    """Load a network from an ONNX file or OpenVINO IR.

    Args:
        path: the ``.onnx`` file, or the ``.xml`` file beside its ``.bin`` file.
        runtime: runtime to use; by default OpenVINO for ``.xml`` (only OpenVINO reads it), else ONNX Runtime.
        threads: number of processor cores to use; 0 for all that this process may use.
        gpu: use a GPU if ONNX Runtime supports it.
        precision: number type to multiply in; bfloat16 with OpenVINO only.
        any_batch: with OpenVINO, take batches of any size where the network can, even if the file fixes it.

    Raises:
        UserError: the runtime is not installed; there is no such file; it is not a network, is cut off, is
            newer than the runtime, or lacks its ``.bin`` file or external data.
    """
    is_ir = path.suffix.lower() == ".xml"
    runtime = runtime or ("openvino" if is_ir else "onnxruntime")
    module = import_runtime(runtime)
    if is_ir and runtime != "openvino":
        raise UserError(f"{path} is OpenVINO IR, which only OpenVINO reads. Use --runtime openvino.")
    if not path.is_file():
        raise UserError(
            f"There is no file {path}. An ONNX file or OpenVINO IR (.xml beside .bin) is expected."
        )
    threads = threads or available_cores()
    try:
        if runtime == "openvino":
            return _OpenVINOGraph(module, path, threads, precision, any_batch)
        return _ONNXRuntimeGraph(module, path, threads, gpu)
    except Exception as error:  # the runtimes' exceptions have no common base
        raise UserError(explain(path, runtime, str(error))) from error


class _ONNXRuntimeGraph(Graph):
    runtime = "onnxruntime"

    def __init__(self, onnxruntime: Any, path: Path, threads: int, gpu: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        # idle threads sleep instead of occupying their cores
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = ("CUDAExecutionProvider",) * gpu + ("CPUExecutionProvider",)
        providers = [each for each in wanted if each in onnxruntime.get_available_providers()]
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self._path = path
        self.inputs = tuple(map(_onnxruntime_port, self._session.get_inputs()))
        self.outputs = tuple(map(_onnxruntime_port, self._session.get_outputs()))
        self.metadata = self._session.get_modelmeta().custom_metadata_map

    def _run(self, array: Array, *others: Array) -> list[Array]:
        names = (port.name for port in self.inputs)
        return list(self._session.run(None, dict(zip(names, (array, *others), strict=True))))


class _OpenVINOGraph(Graph):
    runtime = "openvino"

    def __init__(self, openvino: Any, path: Path, threads: int, precision: str, any_batch: bool) -> None:
        model = read_openvino(path)
        if not model.inputs or not model.outputs:
            raise ValueError("it has no inputs or no outputs")
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # or else several processes would share the first cores
        }
        self._path, self._lock, self._settings = path, Lock(), settings
        self._core, self._model = openvino.Core(), model
        self.metadata = {
            key: model.get_rt_info(["model_info", key]).astype(str)
            for key in METADATA_KEYS
            if model.has_rt_info(["model_info", key])
        }
        self._any_batch = self._supports_any_batch(any_batch)
        first = self._reshaped(1) if self._any_batch else model
        self._requests = {1 if self._any_batch else 0: self._compile(first)}
        (request,) = self._requests.values()
        compiled = request.get_compiled_model()
        self.inputs = tuple(self._port(port) for port in compiled.inputs)
        self.outputs = tuple(self._port(port) for port in compiled.outputs)

    def _run(self, array: Array, *others: Array) -> list[Array]:
        with self._lock:  # a request takes one array at a time, and the next one overwrites its outputs
            if not self._any_batch:
                return self._infer(self._requests[0], array, *others)
            if len(array) <= SINGLY:
                rows = [self._infer(self._requests[1], array[[row]]) for row in range(len(array))]
                return [np.concatenate(each) for each in zip(*rows, strict=True)]
            if BATCH not in self._requests:
                self._requests[BATCH] = self._compile(self._reshaped(BATCH))
            filled = np.concatenate([array, *[array[-1:]] * (BATCH - len(array))])
            return [each[: len(array)] for each in self._infer(self._requests[BATCH], filled)]

    def _infer(self, request: Any, *arrays: Array) -> list[Array]:
        found = request.infer(list(arrays), share_inputs=True)
        return [np.array(found[number]) for number in range(len(self.outputs))]

    def _compile(self, model: Any) -> Any:
        return self._core.compile_model(model, "CPU", self._settings).create_infer_request()

    def _supports_any_batch(self, any_batch: bool) -> bool:
        image, *others = (port.partial_shape for port in self._model.inputs)
        if others or image.rank.is_dynamic or not (any_batch or image[0].is_dynamic):
            return False
        try:
            outputs = [output.partial_shape for output in self._reshaped(BATCH).outputs]
        except RuntimeError:  # a shape inside is fixed
            return False
        return all(shape.rank.is_static and len(shape) and shape[0] == BATCH for shape in outputs)

    def _reshaped(self, batch: int) -> Any:
        model = self._model.clone()
        sides = model.inputs[0].partial_shape
        sides[0] = batch
        model.reshape({model.inputs[0]: sides})
        return model

    def _port(self, port: Any) -> Port:
        name = port.node.friendly_name.removesuffix("/sink_port_0")
        if name not in port.names and port.names:
            name = min(port.names)
        sides = port.partial_shape if port.partial_shape.rank.is_static else ()
        shape = tuple(side.get_length() if side.is_static else None for side in sides)
        if self._any_batch and shape[:1] == (1,):
            shape = (None, *shape[1:])
        return Port(name, shape, port.element_type.to_dtype().name)


def read_openvino(path: Path) -> Any:
    """Return the OpenVINO model in an ONNX file or OpenVINO IR, not compiled."""
    # not Core.read_model, which tries every reader and prints the errors of each
    manager = importlib.import_module("openvino.frontend").FrontEndManager()
    reader = manager.load_by_framework("ir" if path.suffix.lower() == ".xml" else "onnx")
    return reader.convert(reader.load(str(path)))


def _onnxruntime_port(port: Any) -> Port:
    kind = port.type.removeprefix("tensor(").rstrip(")")
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    return Port(port.name, tuple(side if isinstance(side, int) else None for side in port.shape), dtype)

"""ONNX files and OpenVINO IR, run by ONNX Runtime or OpenVINO through one interface."""

import importlib
import importlib.util
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.threads import available_cores

GraphRuntime = Literal["onnxruntime", "openvino"]

NAMES: dict[GraphRuntime, str] = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
EXTRAS: dict[GraphRuntime, str] = {"onnxruntime": "onnx", "openvino": "openvino"}

ONNX_START = b"\x08"
"""First byte of an ONNX file: the tag of ``ir_version``, which protobuf writes first."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: in the file.
        shape: sides, None where the file leaves one open.
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
        runtime: what runs it.
        inputs, outputs: in the file's order.
    """

    runtime: ClassVar[GraphRuntime]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    _path: Path

    def run(self, array: Array) -> dict[str, Array]:
        """Return the outputs by name for one array, which is cast to the type of the input.

        Raises:
            UserError: the graph has several inputs, or does not take an array of this shape.
        """
        inputs = describe_ports(self.inputs)
        if len(self.inputs) != 1:
            raise UserError(f"{self._path} has several inputs: {inputs}. One is expected.")
        try:
            values = self._run(np.ascontiguousarray(array, self.inputs[0].dtype))
        except Exception as error:  # the runtimes' exceptions have no common base
            raise UserError(
                f"{NAMES[self.runtime]} could not run {self._path} on an array {list(array.shape)}: "
                f"{_last_line(str(error))}. Its input: {inputs}."
            ) from error
        return {port.name: value for port, value in zip(self.outputs, values, strict=True)}

    @abstractmethod
    def _run(self, array: Array) -> list[Array]:
        """Return the outputs in order."""


def describe_ports(ports: Sequence[Port]) -> str:
    """Return inputs or outputs as messages show them: name, type and shape."""
    return ", ".join(map(str, ports)) or "none"


def installed(runtime: GraphRuntime) -> bool:
    """Return whether the runtime's package is there, without importing it."""
    return importlib.util.find_spec(runtime) is not None


def open_graph(
    path: Path,
    runtime: GraphRuntime | None = None,
    *,
    threads: int = 0,
    gpu: bool = False,
    precision: Literal["float32", "bfloat16"] = "float32",
    free_batch: bool = False,
) -> Graph:
    """Load a network from an ONNX file or OpenVINO IR.

    Args:
        path: of the ``.onnx`` file, or of the ``.xml`` file beside its ``.bin`` file.
        runtime: to run it; by default OpenVINO for ``.xml``, which alone reads it, else ONNX Runtime.
        threads: processor cores to use; 0 for all that this process may use.
        gpu: take a GPU where ONNX Runtime has one.
        precision: to multiply in; bfloat16 with OpenVINO only.
        free_batch: let OpenVINO take batches of any size where the file fixes it and the network allows it.

    Raises:
        UserError: the runtime is not installed; there is no such file; it is not a network, cut off, newer
            than the runtime, or lacks its ``.bin`` file or external data.
    """
    is_ir = path.suffix.lower() == ".xml"
    runtime = runtime or ("openvino" if is_ir else "onnxruntime")
    module = _import(runtime)
    if is_ir and runtime != "openvino":
        raise UserError(f"{path} is OpenVINO IR, which only OpenVINO reads. Use --runtime openvino.")
    if not path.is_file():
        raise UserError(
            f"There is no file {path}. An ONNX file or OpenVINO IR (.xml beside .bin) is expected."
        )
    threads = threads or available_cores()
    try:
        if runtime == "openvino":
            return _OpenVINOGraph(module, path, threads, precision, free_batch)
        return _ONNXRuntimeGraph(module, path, threads, gpu)
    except Exception as error:  # the runtimes' exceptions have no common base
        raise UserError(_explain(path, runtime, str(error))) from error


class _ONNXRuntimeGraph(Graph):
    runtime = "onnxruntime"

    def __init__(self, onnxruntime: Any, path: Path, threads: int, gpu: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        # idle threads leave their cores to others
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = ("CUDAExecutionProvider",) * gpu + ("CPUExecutionProvider",)
        providers = [each for each in wanted if each in onnxruntime.get_available_providers()]
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self._path = path
        self.inputs = tuple(map(_onnxruntime_port, self._session.get_inputs()))
        self.outputs = tuple(map(_onnxruntime_port, self._session.get_outputs()))

    def _run(self, array: Array) -> list[Array]:
        return list(self._session.run(None, {self.inputs[0].name: array}))


class _OpenVINOGraph(Graph):
    runtime = "openvino"

    def __init__(self, openvino: Any, path: Path, threads: int, precision: str, free_batch: bool) -> None:
        # not Core.read_model, which tries every reader and prints what each of them misses
        manager = importlib.import_module("openvino.frontend").FrontEndManager()
        reader = manager.load_by_framework("ir" if path.suffix.lower() == ".xml" else "onnx")
        model = reader.convert(reader.load(str(path)))
        if not model.inputs or not model.outputs:
            raise ValueError("it has no inputs or no outputs")
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # several processes would share the first cores
        }
        self._path = path
        compiled = _compile(openvino.Core(), model, settings, free_batch)
        self._request, self._lock = compiled.create_infer_request(), Lock()
        self.inputs = tuple(map(_openvino_port, compiled.inputs))
        self.outputs = tuple(map(_openvino_port, compiled.outputs))

    def _run(self, array: Array) -> list[Array]:
        with self._lock:  # a request takes one array at a time, and its outputs are overwritten by the next
            found = self._request.infer([array], share_inputs=True)
            return [np.array(found[number]) for number in range(len(self.outputs))]


def _compile(core: Any, model: Any, settings: dict[str, Any], free_batch: bool) -> Any:
    if free_batch and model.inputs[0].partial_shape.rank.get_length() > 0:
        opened = model.clone()
        try:
            shape = opened.inputs[0].partial_shape
            shape[0] = -1
            opened.reshape({opened.inputs[0]: shape})
            return core.compile_model(opened, "CPU", settings)
        except RuntimeError:
            pass  # a shape inside is fixed
    return core.compile_model(model, "CPU", settings)


def _import(runtime: GraphRuntime) -> Any:
    try:
        return importlib.import_module(runtime)
    except ImportError:
        raise UserError(
            f"{NAMES[runtime]} is not installed, which this needs: pip install 'resight[{EXTRAS[runtime]}]'"
        ) from None


def _onnxruntime_port(port: Any) -> Port:
    kind = port.type.removeprefix("tensor(").rstrip(")")
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    return Port(port.name, tuple(side if isinstance(side, int) else None for side in port.shape), dtype)


def _openvino_port(port: Any) -> Port:
    rank = port.partial_shape.rank
    sides = port.partial_shape if rank.is_static else ()
    name = port.node.friendly_name.removesuffix("/sink_port_0")
    if name not in port.names and port.names:
        name = min(port.names)
    shape = tuple(side.get_length() if side.is_static else None for side in sides)
    return Port(name, shape, port.element_type.to_dtype().name)


def _explain(path: Path, runtime: GraphRuntime, reason: str) -> str:
    """Return why a runtime does not open a file, and what to do about it."""
    name, extra = NAMES[runtime], EXTRAS[runtime]
    if found := re.search(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", reason):
        return (
            f"{path} is written in version {found[1]} of the ONNX format; the installed {name} reads up to "
            f"version {found[2]}. Upgrade it (pip install -U 'resight[{extra}]'), or export the file again "
            "for an older version."
        )
    if found := re.search(r"Opset (\d+) is under development.* is till opset (\d+)", reason, re.DOTALL):
        return (
            f"{path} uses opset {found[1]} of ONNX; the installed {name} knows up to opset {found[2]}. "
            f"Upgrade it (pip install -U 'resight[{extra}]'), or export the file again with an older opset."
        )
    if found := re.search(
        r"External data path does not exist: \"(.*?)\"|data in file \((.*?), offset", reason
    ):
        missing = Path(found[1] or found[2]).name
        return (
            f"{path} keeps its weights in a second file, '{missing}', which is not beside it or is cut off. "
            "Copy both files into one folder."
        )
    if path.suffix.lower() == ".xml":
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            return (
                f"{path} needs its weights in {weights}, and there is no such file. Copy both files together."
            )
        if "weights in bin file" in reason:
            return (
                f"{weights} is too short for {path.name}: it was cut off, or is of another network. Copy "
                "both files again."
            )
        text = path.read_bytes()
        if b"<net" in text and b"</net>" not in text[-200:]:
            return f"{path} was cut off: its end is missing. Copy it again."
        if b"<net" not in text:
            return f"{path} is not OpenVINO IR. An .xml file with a <net> element is expected."
    else:
        with path.open("rb") as file:
            start = file.read(1)
        if start != ONNX_START:
            return f"{path} is not an ONNX file: it does not begin like one."
        if re.search(r"INVALID_PROTOBUF|can't be parsed", reason):
            return (
                f"{path} begins like an ONNX file but cannot be read to its end: it was cut off or changed. "
                "Copy it again."
            )
    return f"{path} cannot be run by {name}: {_last_line(reason)}."


def _last_line(reason: str) -> str:
    """Return what went wrong of a runtime's message, without the places in its source."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()] or ["no reason given"]
    useful = [line for line in lines if not re.match(r"Exception from|Check '|FrontEnd API failed", line)]
    return (useful or lines)[-1].rpartition(" : ")[2].rstrip(".")

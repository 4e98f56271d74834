"""Exporting our own networks as files for other programs: ONNX and OpenVINO IR."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from resight.errors import UserError
from resight.imaging import Pixels
from resight.inference.graphs import GraphModel
from resight.inference.loading import LoadedModel
from resight.inference.preprocessing import RAW_PIXELS
from resight.inference.runtimes.choice import difference, least_cosine, sample_crops
from resight.inference.runtimes.graph import METADATA, Graph, import_runtime, open_graph
from resight.inference.runtimes.reasons import NAMES, GraphRuntime
from resight.inference.runtimes.writing import OPSET, OPSETS, PIXELS, GraphInput, write_graph
from resight.models.embedding import PixelEmbedder, in_batches
from resight.models.network import IMAGENET_MEAN, IMAGENET_STD

Format = Literal["onnx", "openvino"]
Caller = Literal["pixels", "boxmot", "frigate"]

CALLERS: Mapping[Caller, GraphInput] = {
    "pixels": PIXELS,
    "boxmot": GraphInput("images", "output", torch.float32, "nchw", IMAGENET_MEAN, IMAGENET_STD),
    "frigate": GraphInput("data", "embedding", torch.float32, "nchw", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""What programs give a network: those of boxmot and Frigate are described in docs/guides/export.md."""

RUNTIMES: Mapping[Format, GraphRuntime] = {"onnx": "onnxruntime", "openvino": "openvino"}
SUFFIXES: Mapping[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that was exported.

    Attributes:
        path: the ``.onnx`` file, or the ``.xml`` file beside its ``.bin`` file.
        opset: version of ONNX's operations in it, or in the graph that it was converted from.
        input, output: name, type and shape of both.
        crops: number of crops whose vectors were compared with PyTorch's.
        cosine: smallest cosine similarity of their vectors.
    """

    path: Path
    opset: int
    input: str
    output: str
    crops: int
    cosine: float


def export_model(
    model: LoadedModel,
    path: Path,
    to: Format = "onnx",
    *,
    caller: Caller = "pixels",
    opset: int = OPSET,
    pictures: Sequence[Pixels] = (),
) -> ExportedFile:
    """Write a model as a file for other programs, and compare its vectors with PyTorch's in float32.

    Normalisation and views are in the file, batch normalisation is folded, and it takes any number of crops.
    Resizing is left to the program that runs it.

    Args:
        model: one of our own networks, or imported weights.
        path: new file, which ends in ``.onnx`` or ``.xml``.
        to: format.
        caller: program that gives it crops, in ``CALLERS``.
        opset: version of ONNX's operations.
        pictures: crops [h, w, 3] to compare vectors of, beside generated ones.

    Raises:
        UserError: the model is a graph already; the network cannot be written in this opset, or its vectors
            then differ; the file exists or cannot be written; the runtime of the format is not installed.
    """
    network = model.network
    if isinstance(network, GraphModel):
        raise UserError(
            f"{model.name} is not a network of Resight's: it is already a graph, in the file "
            f"{network.path}. Use that file."
        )
    if path.suffix.lower() != SUFFIXES[to]:
        raise UserError(f"--out of --to {to} is a file that ends in {SUFFIXES[to]}; got {path}.")
    if opset not in OPSETS:
        raise UserError(
            f"Resight writes opset {OPSETS[0]} to {OPSETS[-1]} of ONNX; got {opset}. Newer runtimes read "
            "older opsets, too."
        )
    places = [path, path.with_suffix(".bin")] if to == "openvino" else [path]
    if found := next((each for each in places if each.exists()), None):
        raise UserError(f"{found} exists. Choose another --out, or delete it.")
    import_runtime(RUNTIMES[to])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            written = Path(folder) / path.name
            _write(model, written, to, CALLERS[caller], opset)
            exported = _compare(model, written, to, CALLERS[caller], opset, pictures)
            for place in reversed(places):
                shutil.move(written.with_suffix(place.suffix), place)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}. Choose another --out.") from error
    return ExportedFile(path, opset, *exported)


def _write(model: LoadedModel, path: Path, to: Format, source: GraphInput, opset: int) -> None:
    """Write a file, with its preprocessing in its metadata."""
    network = model.need_network("to export it")
    graph = path.with_suffix(".onnx")
    write_graph(network, graph, source=source, opset=opset)
    metadata = json.dumps(_metadata(model, source))
    if to == "openvino":
        openvino = import_module("openvino")
        converted = openvino.convert_model(graph)
        converted.set_rt_info(metadata, ["model_info", METADATA])
        openvino.save_model(converted, path, compress_to_fp16=False)
        return
    try:
        onnx = import_module("onnx")
    except ImportError:
        raise UserError(
            "To export an ONNX file, the package onnx is needed: pip install 'resight[onnx]'"
        ) from None
    content = onnx.load(graph)
    found = next(one.version for one in content.opset_import if one.domain in ("", "ai.onnx"))
    if found != opset:
        raise UserError(f"PyTorch wrote opset {found} instead of {opset}. Ask for --opset {found}.")
    content.producer_name = "resight"
    onnx.helper.set_model_props(content, {METADATA: metadata})
    onnx.save(content, path)


def _metadata(model: LoadedModel, source: GraphInput) -> dict[str, Any]:
    """Return what a caller needs to know about crops, as settings of ``Preprocessing``."""
    fed: dict[str, Any] = (
        RAW_PIXELS
        if source.mean is None
        else {"value_range": 1, "mean": source.mean, "deviation": source.deviation}
    )
    resizing = model.resizing
    padding = {} if resizing.padding is None else {"padding": resizing.padding}
    return {"colours": "rgb", **fed, "interpolation": resizing.interpolation, **padding}


def _compare(
    model: LoadedModel,
    path: Path,
    to: Format,
    source: GraphInput,
    opset: int,
    pictures: Sequence[Pixels],
) -> tuple[str, str, int, float]:
    """Return input, output, number of crops and smallest cosine; refuse vectors unlike PyTorch's."""
    network = model.need_network("to export it")
    graph = open_graph(path, RUNTIMES[to], threads=torch.get_num_threads())
    crops = sample_crops(network.picture_size)
    if len(pictures):
        crops = torch.cat([crops, *(torch.from_numpy(one)[None] for one in pictures)])
    expected = PixelEmbedder(network, device=torch.device("cpu"), precision="float32").embed(crops.numpy())
    found = in_batches(lambda batch: _run(graph, source, batch), crops.numpy(), 32)
    found[:1] = _run(graph, source, crops[:1])  # a batch of one
    if (reason := difference(found, expected)) is not None:
        advice = (
            "another --opset" if opset != OPSET else "--to onnx" if to == "openvino" else "another format"
        )
        raise UserError(
            f"{model.name} was not exported: in opset {opset}, {NAMES[RUNTIMES[to]]} does not compute what "
            f"PyTorch does, {reason}. Try {advice}."
        )
    cosine = least_cosine(found.double(), expected.double())
    return str(graph.inputs[0]), str(graph.outputs[0]), len(crops), cosine


def _run(graph: Graph, source: GraphInput, pixels: Tensor) -> Tensor:
    return torch.from_numpy(graph.run(source.given(pixels).numpy())[source.output])

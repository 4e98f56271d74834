"""The runtimes that can compute a model on this machine."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import torch

from resight.device import Precision
from resight.errors import UserError
from resight.inference.graphs import GraphEmbedder, GraphModel
from resight.inference.runtimes.choice import Compute, Runtime
from resight.inference.runtimes.export import ExportedEmbedder, exported
from resight.inference.runtimes.graph import GraphPrecision, import_runtime, installed, open_graph
from resight.inference.runtimes.reasons import GraphRuntime
from resight.models.embedding import PixelEmbedder
from resight.models.fingerprint import fingerprint
from resight.models.network import Network, Views

Candidates = dict[str, Callable[[], Compute]]
"""Runtime -> function that opens it; the first is the reference for the others' vectors."""


def network_candidates(
    network: Network,
    device: torch.device,
    precision: Precision,
    branches: Sequence[str] | None,
    views: Views,
    *,
    graph_folder: Path | None,
    wanted: Runtime,
) -> Candidates:
    """Return PyTorch and, on the CPU, the runtimes that can run the network's graph.

    Args:
        network, device, precision, branches, views: see ``models.embedding.PixelEmbedder``.
        graph_folder: folder for the graph; see ``export.exported``.
        wanted: runtime that the user chose: a candidate even if it is not installed, so that opening it fails
            with a message.

    Raises:
        UserError: the wanted runtime does not support this device or this precision.
    """
    candidates: Candidates = {
        "torch": partial(
            PixelEmbedder, network, device=device, precision=precision, branches=branches, views=views
        )
    }

    def open_exported(runtime: GraphRuntime) -> Compute:
        import_runtime(runtime)
        multiplied: GraphPrecision = "bfloat16" if precision == "bfloat16" else "float32"
        open_it = partial(open_graph, runtime=runtime, threads=torch.get_num_threads(), precision=multiplied)
        export = partial(
            exported, network, fingerprint(network, branches, "one"), graph_folder, branches=branches
        )
        path = export()
        try:
            graph = open_it(path)
        except UserError:  # a damaged file is written again
            path.unlink(missing_ok=True)
            graph = open_it(export())
        return ExportedEmbedder(graph, network.input_size, views)

    if device.type != "cpu" and wanted not in ("auto", "torch"):
        raise UserError(f"--runtime {wanted} runs on the CPU only; got --device {device}. Use --device cpu.")
    for runtime in _usable(precision, wanted) if device.type == "cpu" else ():
        candidates[runtime] = partial(open_exported, runtime)
    return candidates


def graph_candidates(model: GraphModel, precision: Precision, views: Views, wanted: Runtime) -> Candidates:
    """Return the runtimes that can run an ONNX or OpenVINO graph, the default first."""
    is_ir = model.path.suffix.lower() == ".xml"
    runtimes: list[GraphRuntime]
    if model.settings.runtime is not None:
        runtimes = [model.settings.runtime]
    else:
        runtimes = ["openvino"] if is_ir else _usable(precision, wanted) or ["onnxruntime"]
    return {
        runtime: partial(GraphEmbedder, model, runtime=runtime, precision=precision, views=views)
        for runtime in runtimes
    }


def _usable(precision: Precision, wanted: Runtime) -> list[GraphRuntime]:
    """Return the runtimes for this precision that are installed or wanted."""
    if wanted == "onnxruntime" and precision == "bfloat16":
        raise UserError("ONNX Runtime does not support bfloat16 on the CPU. Use --runtime openvino or torch.")
    supporting: tuple[GraphRuntime, ...] = (
        ("openvino",) if precision == "bfloat16" else get_args(GraphRuntime)
    )
    return [one for one in supporting if one == wanted or installed(one)]

"""The runtimes that can compute a model here."""

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
"""Runtime -> what opens it; the first is the one that the others are compared with."""


def network_candidates(
    network: Network,
    device: torch.device,
    precision: Precision,
    branches: Sequence[str] | None,
    views: Views,
    *,
    beside: Path | None,
    wanted: Runtime,
) -> Candidates:
    """Return PyTorch, and on the CPU the runtimes that its graph can be run by.

    Args:
        network, device, precision, branches, views: see ``models.embedding.PixelEmbedder``.
        beside: folder to keep the graph in.
        wanted: runtime that is a candidate even if it is not installed: opening it says so.

    Raises:
        UserError: the wanted runtime does not compute on this device, or in this precision.
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
        export = partial(exported, network, fingerprint(network, branches, "one"), beside, branches=branches)
        path = export()
        try:
            graph = open_it(path)
        except UserError:  # a damaged file is written again
            path.unlink(missing_ok=True)
            graph = open_it(export())
        return ExportedEmbedder(graph, network.input_size, views)

    if device.type != "cpu" and wanted not in ("auto", "torch"):
        raise UserError(f"--runtime {wanted} computes on the CPU; got --device {device}. Use --device cpu.")
    for runtime in _usable(precision, wanted) if device.type == "cpu" else ():
        candidates[runtime] = partial(open_exported, runtime)
    return candidates


def graph_candidates(model: GraphModel, precision: Precision, views: Views, wanted: Runtime) -> Candidates:
    """Return the runtimes that a graph in a file can be run by: the one that reads it best comes first."""
    is_ir = model.path.suffix.lower() == ".xml"
    runtimes: list[GraphRuntime] = ["openvino"] if is_ir else _usable(precision, wanted) or ["onnxruntime"]
    return {
        runtime: partial(GraphEmbedder, model, runtime=runtime, precision=precision, views=views)
        for runtime in runtimes
    }


def _usable(precision: Precision, wanted: Runtime) -> list[GraphRuntime]:
    """Return the runtimes that are installed, or wanted, and compute in this precision."""
    if wanted == "onnxruntime" and precision == "bfloat16":
        raise UserError(
            "ONNX Runtime does not multiply bfloat16 on this processor. Use --runtime openvino or torch."
        )
    able: tuple[GraphRuntime, ...] = ("openvino",) if precision == "bfloat16" else get_args(GraphRuntime)
    return [one for one in able if one == wanted or installed(one)]

"""Exporting our own networks as ONNX graphs, for ONNX Runtime and OpenVINO."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from resight import __version__
from resight.errors import UserError
from resight.files import cache_folder, short_digest, whole_file
from resight.inference.runtimes.graph import Graph
from resight.models.folding import folded
from resight.models.network import Network, Views, cut_views

FORMAT = "1"
"""Part of a graph's file name: increased when a change here writes another graph for the same network."""

OPSET = 18


class _FromPixels(nn.Module):
    """A network from pixels to the descriptors of one view: uint8 [B, H, W, 3] (RGB) to float32 [B, D]."""

    def __init__(self, network: Network, branches: Sequence[str] | None) -> None:
        super().__init__()
        self.network, self.branches = network, branches

    def forward(self, pixels: Tensor) -> Tensor:
        images = self.network.normalise(pixels.permute(0, 3, 1, 2))
        return self.network.describe(images, self.branches)


def exported(
    network: Network,
    fingerprint: str,
    graph_folder: Path | None = None,
    *,
    branches: Sequence[str] | None = None,
) -> Path:
    """Return the file of a network's graph, written now unless it exists.

    Args:
        network: network to export; its batch normalisation is folded in the graph.
        fingerprint: fingerprint of the network with these branches.
        graph_folder: folder for the file; if None or not writable, the user's cache folder is used.
        branches: names of the branches in the descriptor; all by default.

    Raises:
        UserError: the network has an operation that ONNX lacks, or neither folder can be written.
    """
    versions = short_digest(f"{FORMAT} {__version__} {torch.__version__}".encode())
    name = f"graph-{fingerprint[:16]}-{versions}.onnx"
    folders = (
        [cache_folder() / "graphs"] if graph_folder is None else [graph_folder, cache_folder() / "graphs"]
    )
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    for folder in folders:
        try:
            with whole_file(folder / name) as temporary:
                _write(network, branches, temporary)
        except UserError:
            if folder is folders[-1]:
                raise
        else:
            for older in set(folder.glob(f"graph-{fingerprint[:16]}-*.onnx")) - {folder / name}:
                older.unlink(missing_ok=True)
            return folder / name
    raise AssertionError


def _write(network: Network, branches: Sequence[str] | None, path: Path) -> None:
    copy = folded(network).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.zeros(2, *copy.input_size, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # about numbers that tracing makes constant: vectors are compared
            torch.onnx.export(
                _FromPixels(copy, branches).eval(),
                (example,),
                str(path),
                input_names=["pixels"],
                output_names=["vectors"],
                dynamic_axes={"pixels": {0: "batch"}, "vectors": {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,  # the newer exporter needs onnxscript, and is no better here
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(
            f"The network {network.name} cannot be written as an ONNX graph: {reason}."
        ) from error


class ExportedEmbedder:
    """A graph that ``exported`` wrote, ready to embed crops like ``models.embedding.PixelEmbedder``.

    Args:
        graph: graph that embeds one view.
        input_size: height and width of a view.
        views: views of each crop, whose descriptors are averaged.
    """

    def __init__(self, graph: Graph, input_size: tuple[int, int], views: Views) -> None:
        self.graph, self.input_size, self.views = graph, input_size, views

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the descriptors float32 [B, D] of one batch of crops uint8 [B, H, W, 3]."""
        images = pixels.cpu().permute(0, 3, 1, 2)
        views = [view.permute(0, 2, 3, 1).numpy() for view in cut_views(images, self.input_size, self.views)]
        found = [torch.from_numpy(self.graph.run(view)["vectors"]) for view in views]
        return found[0] if len(found) == 1 else torch.stack(found).mean(0)

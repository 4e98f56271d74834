"""Running our own networks as ONNX graphs, in ONNX Runtime and OpenVINO."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from resight import __version__
from resight.errors import UserError
from resight.files import cache_folder, short_digest, whole_file
from resight.inference.runtimes.graph import Graph
from resight.inference.runtimes.writing import write_graph
from resight.models.network import Network, Views, cut_views
from resight.models.packaged import FOLDER

FORMAT = "1"
"""Part of a graph's file name: increased when a change here writes another graph for the same network."""


def folder_for_graph(source: Path | None) -> Path | None:
    """Return the folder for the graph of a model that was loaded from ``source``; None: the user's cache."""
    if source is None or source == FOLDER:
        return None
    return source if source.is_dir() else source.parent


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
                write_graph(network, temporary, branches=branches, views="one")
        except UserError:
            if folder is folders[-1]:
                raise
        else:
            for older in set(folder.glob(f"graph-{fingerprint[:16]}-*.onnx")) - {folder / name}:
                older.unlink(missing_ok=True)
            return folder / name
    raise AssertionError


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

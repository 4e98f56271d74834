"""Our own networks as ONNX graphs, which ONNX Runtime and OpenVINO run."""

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
"""Part of a graph's name: raised when the same network comes to be written otherwise."""

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
    beside: Path | None = None,
    *,
    branches: Sequence[str] | None = None,
) -> Path:
    """Return the file of a network's graph, which is written where there is none yet.

    Args:
        network: to write, batch normalisation folded.
        fingerprint: of the network with these branches.
        beside: folder to keep it in; the user's cache folder where that is None or cannot be written.
        branches: names of the branches that make the descriptor; all by default.

    Raises:
        UserError: it has an operation that ONNX does not have, or neither folder can be written.
    """
    versions = short_digest(f"{FORMAT} {__version__} {torch.__version__}".encode())
    name = f"graph-{fingerprint[:16]}-{versions}.onnx"
    folders = [cache_folder() / "graphs"] if beside is None else [beside, cache_folder() / "graphs"]
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
    ready = folded(network).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.zeros(2, *ready.input_size, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of each number that tracing fixes: parity is checked instead
            torch.onnx.export(
                _FromPixels(ready, branches).eval(),
                (example,),
                str(path),
                input_names=["pixels"],
                output_names=["vectors"],
                dynamic_axes={"pixels": {0: "batch"}, "vectors": {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,  # the newer exporter needs onnxscript, and gains nothing here
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(
            f"The network {network.name} cannot be written as an ONNX graph: {reason}."
        ) from error


class ExportedEmbedder:
    """A graph that ``exported`` wrote, ready to embed crops like ``models.embedding.PixelEmbedder``.

    Args:
        graph: of one view.
        input_size: height and width of a view.
        views: of a crop, whose descriptors are averaged.
    """

    def __init__(self, graph: Graph, input_size: tuple[int, int], views: Views) -> None:
        self.graph, self.input_size, self.views = graph, input_size, views

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the descriptors float32 [B, D] of one batch of crops uint8 [B, H, W, 3]."""
        images = pixels.cpu().permute(0, 3, 1, 2)
        views = [view.permute(0, 2, 3, 1).numpy() for view in cut_views(images, self.input_size, self.views)]
        found = [torch.from_numpy(self.graph.run(view)["vectors"]) for view in views]
        return found[0] if len(found) == 1 else torch.stack(found).mean(0)

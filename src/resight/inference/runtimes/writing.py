"""Writing our own networks as ONNX graphs, from the caller's pixels to the descriptor."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resight.errors import UserError
from resight.inference.preprocessing import Layout
from resight.models.folding import folded
from resight.models.network import Network, Views, cut_views, picture_size

OPSET = 18
OPSETS = range(9, 21)
"""Opsets that PyTorch's exporter writes."""


@dataclass(frozen=True, slots=True)
class GraphInput:
    """What the caller of a graph gives and gets.

    Attributes:
        name, output: names of the graph's input and output.
        dtype: type of its input.
        layout: order of its input's axes; channels are in the order RGB.
        mean, deviation: the caller's normalisation, of pixels from 0 to 1; None for pixels from 0 to 255.
    """

    name: str = "pixels"
    output: str = "vectors"
    dtype: torch.dtype = torch.uint8
    layout: Layout = "nhwc"
    mean: tuple[float, float, float] | None = None
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def pixels(self, given: Tensor) -> Tensor:
        """Return pixels [B, 3, H, W] from 0 to 255."""
        images = given.permute(0, 3, 1, 2) if self.layout == "nhwc" else given
        if self.mean is None:
            return images
        mean, deviation = (255 * torch.tensor(each).view(1, 3, 1, 1) for each in (self.mean, self.deviation))
        return images * deviation + mean

    def given(self, pixels: Tensor) -> Tensor:
        """Return what the caller gives for crops uint8 [B, H, W, 3]: the inverse of ``pixels``."""
        if self.mean is not None:
            pixels = (pixels / 255 - torch.tensor(self.mean)) / torch.tensor(self.deviation)
        return pixels if self.layout == "nhwc" else pixels.permute(0, 3, 1, 2).contiguous()


PIXELS = GraphInput()


class _Whole(nn.Module):
    """A network from what a caller gives to the descriptors float32 [B, D]."""

    def __init__(
        self, network: Network, branches: Sequence[str] | None, views: Views, source: GraphInput
    ) -> None:
        super().__init__()
        self.network, self.branches, self.views, self.source = network, branches, views, source

    def forward(self, given: Tensor) -> Tensor:
        images = self.network.normalise(self.source.pixels(given))
        views = cut_views(images, self.network.input_size, self.views)
        if len(views) == 1:
            return self.network.describe(images, self.branches)
        found = self.network.describe(torch.cat(views), self.branches)  # the graph has the network once
        return found.view(len(views), -1, found.shape[1]).mean(0)


def write_graph(
    network: Network,
    path: Path,
    *,
    branches: Sequence[str] | None = None,
    views: Views | None = None,
    source: GraphInput = PIXELS,
    opset: int = OPSET,
) -> None:
    """Write an ONNX file that takes any number of crops; batch normalisation is folded.

    Args:
        network: network to write; it is not changed.
        path: the file.
        branches: names of the branches in the descriptor; all by default.
        views: views of each crop, which the graph cuts and averages; by default the network's.
        source: what the graph takes.
        opset: version of ONNX's operations, one of ``OPSETS``.

    Raises:
        UserError: the network has an operation that ONNX lacks in this opset.
    """
    copy = folded(network).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    views = views or network.views
    example = torch.zeros(2, *picture_size(copy.input_size, views), 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # about numbers that tracing makes constant: vectors are compared
            torch.onnx.export(
                _Whole(copy, branches, views, source).eval(),
                (source.given(example),),
                str(path),
                input_names=[source.name],
                output_names=[source.output],
                dynamic_axes={source.name: {0: "batch"}, source.output: {0: "batch"}},
                opset_version=opset,
                verbose=False,
                dynamo=False,  # the newer exporter needs onnxscript, and ignores an opset below 18
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(
            f"The network {network.name} cannot be written as an ONNX graph in opset {opset}: {reason}."
        ) from error

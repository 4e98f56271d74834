"""Embedding many crops with a trained network."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from resight.device import Precision, autocast
from resight.imaging import Pixels
from resight.memory import keep_freed_memory
from resight.models.folding import folded
from resight.models.network import Network
from resight.progress import Bar


class PixelEmbedder:
    """A network made ready to describe crops: folded, on the device, its memory kept.

    The model itself stays as it is, its mode and device too: a folded copy of it does the work.

    Args:
        model: the trained network.
        device: where to compute.
        precision: of the forward passes.
        branches: names of the branches that make the descriptor; all by default.
    """

    def __init__(
        self,
        model: Network,
        *,
        device: torch.device,
        precision: Precision = "auto",
        branches: Sequence[str] | None = None,
    ) -> None:
        keep_freed_memory()
        self.device, self.precision, self.branches = device, precision, branches
        self.network: Network = folded(model).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the test-time descriptors float32 [B, D], on the device, of crops uint8 [B, H, W, 3] (RGB).

        Raises:
            UserError: the model has no branch of that name.
        """
        with autocast(self.device, self.precision):
            return self.network.embed(self._images(pixels), self.branches)

    @torch.inference_mode()
    def classify(self, pixels: Tensor) -> Tensor:
        """Return how likely each class is, float64 [B, persons], on the device, of such crops.

        Raises:
            UserError: the model has no classifier.
        """
        with autocast(self.device, self.precision):
            return self.network.classify(self._images(pixels))

    def _images(self, pixels: Tensor) -> Tensor:
        images = pixels.permute(0, 3, 1, 2).to(self.device, non_blocking=True)  # in channels_last order
        return self.network.normalise(images)


def embed_pixels(
    model: Network,
    pixels: Pixels,
    *,
    batch_size: int = 64,
    device: torch.device,
    precision: Precision = "auto",
    branches: Sequence[str] | None = None,
    title: str = "Embedding",
) -> Tensor:
    """Return the test-time descriptors float32 [N, D], on the CPU, of crops uint8 [N, H, W, 3] (RGB).

    Args:
        model: the trained network; it stays as it is.
        pixels: crops at the model's input size; a memory map will do.
        batch_size: crops embedded at once.
        device: where to compute.
        precision: of the forward passes.
        branches: names of the branches that make the descriptor; all by default.
        title: what the progress bar says.

    Raises:
        UserError: the model has no branch of that name.
    """
    embedder = PixelEmbedder(model, device=device, precision=precision, branches=branches)
    return _in_batches(embedder, pixels, batch_size, title)


def classify_pixels(model: Network, pixels: Pixels, *, batch_size: int = 64, device: torch.device) -> Tensor:
    """Return how likely each class is, float64 [N, persons], on the CPU, of pictures uint8 [N, H, W, 3].

    In float32 whatever a recipe trains in: in bfloat16 several classes often score the same.

    Args:
        model, pixels, batch_size, device: as in ``embed_pixels``.

    Raises:
        UserError: the model has no classifier.
    """
    embedder = PixelEmbedder(model, device=device, precision="float32")
    return _in_batches(embedder.classify, pixels, batch_size, "Classifying")


def _in_batches(describe: Callable[[Tensor], Tensor], pixels: Pixels, batch_size: int, title: str) -> Tensor:
    described: Tensor | None = None
    with Bar(title, len(pixels)) as bar:
        for start in range(0, len(pixels), batch_size):
            # a copy in memory: the map may be read-only
            found = describe(torch.from_numpy(np.array(pixels[start : start + batch_size])))
            if described is None:
                described = torch.empty(len(pixels), found.shape[1], dtype=found.dtype)
            described[start : start + len(found)] = found
            bar.advance(len(found))
    if described is None:
        raise ValueError("there are no crops to embed")
    return described

"""Embedding many crops with a trained network."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from resight.device import Precision, autocast
from resight.imaging import STRETCHED, Pixels, Resizing
from resight.memory import keep_freed_memory
from resight.models.folding import folded
from resight.models.network import Network, Views
from resight.progress import Bar

Crops = Pixels | Sequence[Pixels]


class BatchEmbedder(Protocol):
    """Embeds any number of crops: a ``PixelEmbedder`` or an ``inference.Embedder``.

    Attributes:
        picture_size: height and width of its input crops.
        resizing: how pictures are resized to it.
    """

    @property
    def picture_size(self) -> tuple[int, int]: ...
    @property
    def resizing(self) -> Resizing: ...

    def embed(self, pixels: Crops, names: Sequence[object] = ()) -> Tensor:
        """Return the test-time descriptors float32 [N, D], on the CPU, of crops uint8 [N, H, W, 3] (RGB).

        Args:
            pixels: of the crops.
            names: of the crops, for messages.
        """


class PixelEmbedder:
    """A network ready to embed crops: folded, on the device, with reused memory.

    The model itself keeps its mode and its device: a folded copy is used.

    Args:
        model: the trained network.
        device: where to compute.
        precision: of the forward passes.
        branches: names of the branches that make the descriptor; all by default.
        views: of a crop to average over; by default the model's.
        batch_size: crops embedded at once by ``embed`` and ``classify``.
    """

    resizing = STRETCHED

    def __init__(
        self,
        model: Network,
        *,
        device: torch.device,
        precision: Precision = "auto",
        branches: Sequence[str] | None = None,
        views: Views | None = None,
        batch_size: int = 64,
    ) -> None:
        keep_freed_memory()
        self.device, self.precision, self.branches, self.batch_size = device, precision, branches, batch_size
        self.network: Network = folded(model).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.views = views or model.views

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of its input crops, in pixels."""
        return self.network.picture_size

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the test-time descriptors float32 [B, D], on the device, of one batch of crops.

        Raises:
            UserError: the model has no branch of that name.
        """
        with autocast(self.device, self.precision):
            return self.network.embed(self._images(pixels), self.branches)

    def embed(self, pixels: Crops, names: Sequence[object] = (), title: str | None = "Embedding") -> Tensor:
        """Return the test-time descriptors float32 [N, D], on the CPU, of crops uint8 [N, H, W, 3] (RGB).

        Args:
            pixels: crops of ``picture_size``; may be a memory map.
            names: not used: descriptors may be anything while a network trains.
            title: of the progress bar; None shows none.

        Raises:
            UserError: the model has no branch of that name.
        """
        return in_batches(self, pixels, self.batch_size, title)

    def classify(self, pixels: Crops) -> Tensor:
        """Return the probability of each class, float64 [N, persons], on the CPU, for such crops.

        Raises:
            UserError: the model has no classifier.
        """
        return in_batches(self._classify, pixels, self.batch_size, "Classifying")

    @torch.inference_mode()
    def _classify(self, pixels: Tensor) -> Tensor:
        with autocast(self.device, self.precision):
            return self.network.classify(self._images(pixels))

    def _images(self, pixels: Tensor) -> Tensor:
        images = pixels.permute(0, 3, 1, 2).to(self.device, non_blocking=True)  # in channels_last order
        return self.network.normalise(images)


def in_batches(
    work: Callable[[Tensor], Tensor], pixels: Crops, batch_size: int, title: str | None = None
) -> Tensor:
    """Return what ``work`` makes of pixels [N, H, W, 3], a batch at a time: [N, D], on the CPU.

    Args:
        work: from uint8 [B, H, W, 3] to [B, D].
        title: of the progress bar; None shows none.
    """
    results: Tensor | None = None
    with nullcontext() if title is None else Bar(title, len(pixels)) as bar:
        for start in range(0, len(pixels), batch_size):
            # a copy in memory: the map may be read-only
            found = work(torch.from_numpy(np.array(pixels[start : start + batch_size])))
            if results is None:
                results = torch.empty(len(pixels), found.shape[1], dtype=found.dtype)
            results[start : start + len(found)] = found
            if bar is not None:
                bar.advance(len(found))
    if results is None:
        raise ValueError("there are no crops to embed")
    return results

"""Embedding many crops with a trained network."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resight.device import Precision, autocast
from resight.memory import keep_freed_memory
from resight.models.folding import folded
from resight.models.network import Network
from resight.progress import Bar


def embed_pixels(
    model: Network,
    pixels: NDArray[np.uint8],
    *,
    batch_size: int = 64,
    device: torch.device,
    precision: Precision = "auto",
    branches: Sequence[str] | None = None,
    title: str = "Embedding",
) -> Tensor:
    """Return the test-time descriptors float32 [N, D], on the CPU, of crops uint8 [N, H, W, 3] (RGB).

    The model itself stays as it is, its mode and device too: a folded copy of it does the work.

    Args:
        model: the trained network.
        pixels: crops at the model's input size; a memory map will do.
        batch_size: crops embedded at once.
        device: where to compute.
        precision: of the forward passes.
        branches: names of the branches that make the descriptor; all by default.
        title: what the progress bar says.

    Raises:
        UserError: the model has no branch of that name.
    """
    keep_freed_memory()
    network = folded(model).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    features: Tensor | None = None
    with torch.inference_mode(), autocast(device, precision), Bar(title, len(pixels)) as bar:
        for start in range(0, len(pixels), batch_size):
            # a copy in memory (the map may be read-only), already in channels_last order
            images = torch.from_numpy(np.array(pixels[start : start + batch_size])).permute(0, 3, 1, 2)
            found = network.embed(network.normalise(images.to(device)), branches)
            if features is None:
                features = torch.empty(len(pixels), found.shape[1])
            features[start : start + len(found)] = found
            bar.advance(len(found))
    if features is None:
        raise ValueError("there are no crops to embed")
    return features

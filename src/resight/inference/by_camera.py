"""Embedding crops of several cameras, each by batch normalisation with its own statistics."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from resight.errors import UserError
from resight.imaging import Pixels, Resizing, read_image, resize_all
from resight.inference.embedder import Embedder, refuse_unusable
from resight.models.embedding import Crops
from resight.models.statistics import FEWEST, camera_groups, with_statistics
from resight.progress import Bar, say, track


class CameraEmbedder:
    """Embeds crops like an ``Embedder``; see ``models.statistics.with_statistics`` for the difference.

    Args:
        embedder: of one of our own networks.
        cameras: path of every crop that will be embedded -> its camera, None if unknown.

    Raises:
        UserError: the model is an ONNX or OpenVINO graph or has no batch normalisation; hardly any crop can
            be read.
    """

    def __init__(self, embedder: Embedder, cameras: Mapping[Path, Hashable]) -> None:
        network = embedder.model.need_network("to adapt statistics")
        self.embedder, paths = embedder, list(cameras)
        group, sources = camera_groups(list(cameras.values()))
        self._group = dict(zip(paths, group.tolist(), strict=True))
        if others := int((group == -1).sum()):
            say(
                f"Note: {others:,} of {len(paths):,} crops get the statistics of all, because their "
                f"cameras are unknown or have fewer than {FEWEST} crops."
            )
        self._computes = []
        for rows in track(sources, "Taking statistics", len(sources)):
            crops = resize_all(_readable(paths[row] for row in rows), self.picture_size, self.resizing)
            adapted = with_statistics(network, crops, embedder.device, embedder.precision)
            model = replace(embedder.model, network=adapted, source=None)
            one = Embedder(
                model,
                device=str(embedder.device),
                precision=embedder.precision,
                branches=embedder.branches,
                views=embedder.views,
                runtime="torch",
            )
            self._computes.append(one.compute)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of its input crops."""
        return self.embedder.picture_size

    @property
    def resizing(self) -> Resizing:
        """How pictures are resized to it."""
        return self.embedder.resizing

    def compute(self, pixels: Tensor, paths: Sequence[Path]) -> Tensor:
        """Return the descriptors float32 [B, D] of a batch of crops uint8 [B, H, W, 3]."""
        groups = np.array([self._group[path] for path in paths])
        found: Tensor | None = None
        for number in np.unique(groups):
            rows = np.flatnonzero(groups == number)
            vectors = self._computes[number](pixels[rows])
            found = vectors.new_empty(len(pixels), vectors.shape[1]) if found is None else found
            found[rows] = vectors
        assert found is not None
        return found

    def embed(self, pixels: Crops, names: Sequence[object] = ()) -> Tensor:
        """Return the descriptors float32 [N, D], on the CPU, of crops uint8 [N, *picture_size, 3] (RGB).

        Args:
            pixels: the crops.
            names: their paths.

        Raises:
            UserError: a descriptor is unusable; see ``refuse_unusable``.
        """
        paths = [name for name in names if isinstance(name, Path)]
        found = []
        with Bar("Embedding", len(pixels)) as bar:
            for start in range(0, len(pixels), self.embedder.batch_size):
                here = slice(start, start + self.embedder.batch_size)
                batch = np.array(pixels[here])
                vectors = self.compute(torch.from_numpy(batch), paths[here]).cpu()
                refuse_unusable(vectors.numpy(), batch, names[here])
                found.append(vectors)
                bar.advance(len(batch))
        return torch.cat(found)


def _readable(paths: Iterator[Path]) -> Iterator[Pixels]:
    for path in paths:
        try:
            yield read_image(path)
        except UserError:
            continue  # it is reported where it is embedded

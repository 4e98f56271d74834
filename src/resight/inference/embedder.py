"""From pictures to unit vectors: what a gallery asks of a model."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.imaging import Pixels, resize_all
from resight.registry import Settings

if TYPE_CHECKING:
    from resight.device import Precision
    from resight.models.network import Network


Vectors = NDArray[np.float32]


class ModelIdentity(Settings):
    """Which model a gallery's vectors are of.

    Attributes:
        fingerprint: of the model (``models.fingerprint``).
        name: what people call it.
        width: numbers a vector.
        weights: run or file that it was loaded from, where known.
    """

    fingerprint: str
    name: str
    width: int
    weights: str | None = None

    def describe(self) -> str:
        """Return it in words."""
        where = "" if self.weights is None else f", loaded from {self.weights}"
        return f"{self.name} with the fingerprint {self.fingerprint[:12]}{where}"


class Embedder(Protocol):
    """Describes pictures.

    Attributes:
        fingerprint: the same for models that describe every picture alike.
        name: what people call the model.
        width: numbers a picture.
        weights: run or file that it was loaded from, where known.
        on_cpu: whether it computes on the cores that decode pictures, too.
    """

    fingerprint: str
    name: str
    width: int
    weights: str | None
    on_cpu: bool

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Return the pictures [h, w, 3] at the size that the model takes; they may be read one by one."""

    def __call__(self, pictures: Sequence[Pixels]) -> Vectors:
        """Describe pictures that are ready: float32 [N, D], of any length but zero."""


class NetworkEmbedder:
    """A trained network; may be called from several threads.

    Args:
        network: it stays as it is; a folded copy does the work.
        name: what people call it; by default the network's name.
        weights: run or file that it was loaded from.
        device, precision: of the forward passes.
        batch_size: pictures described at once, at most.
    """

    def __init__(
        self,
        network: "Network",
        *,
        name: str | None = None,
        weights: Path | str | None = None,
        device: str = "auto",
        precision: "Precision" = "auto",
        batch_size: int = 64,
    ) -> None:
        import torch

        from resight.device import resolve_device
        from resight.memory import keep_freed_memory
        from resight.models.fingerprint import fingerprint
        from resight.models.folding import folded

        keep_freed_memory()
        self.fingerprint = fingerprint(network)
        self.name = name or network.name
        self.weights = None if weights is None else str(Path(weights).absolute())
        self._size = network.picture_size
        self._device, self._precision, self._batch_size = resolve_device(device), precision, batch_size
        self._network: Network = (
            folded(network).to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        )
        self.on_cpu = self._device.type == "cpu"
        self._lock = Lock()
        self.width = self([np.zeros((*self._size, 3), np.uint8)]).shape[1]

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Resize pictures to the network's size."""
        return resize_all(pictures, self._size)

    def __call__(self, pictures: Sequence[Pixels]) -> Vectors:
        """Describe pictures at the network's size."""
        import torch

        from resight.device import autocast

        found = []
        with self._lock, torch.inference_mode(), autocast(self._device, self._precision):
            for start in range(0, len(pictures), self._batch_size):
                batch = torch.from_numpy(np.stack(pictures[start : start + self._batch_size]))
                images = self._network.normalise(batch.permute(0, 3, 1, 2).to(self._device))
                found.append(self._network.embed(images).float().cpu().numpy())
        return np.concatenate(found)


def unit(vectors: Vectors) -> Vectors:
    """Return vectors [N, D] scaled to length 1.

    Raises:
        UserError: one is zero, or holds NaN or infinity.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise UserError(
            "The model describes a picture by zeros, NaN or infinity. Look at how it was trained: such a "
            "model cannot be searched with."
        )
    return np.asarray(vectors / lengths, np.float32)


def identity_of(embedder: Embedder) -> ModelIdentity:
    """Return what a gallery keeps of a model."""
    return ModelIdentity(
        fingerprint=embedder.fingerprint, name=embedder.name, width=embedder.width, weights=embedder.weights
    )


def refuse_other_model(place: str, needed: ModelIdentity, given: Embedder) -> None:
    """Refuse a model that a gallery's vectors are not of.

    Raises:
        UserError: it says which model the gallery needs.
    """
    if given.fingerprint != needed.fingerprint:
        raise UserError(
            f"The gallery {place} holds vectors of another model, which cannot be compared. It needs "
            f"{needed.describe()}; got {identity_of(given).describe()}. Give that model, or change the "
            f"gallery to this one: resight gallery reembed --gallery {place} --model RUN"
        )

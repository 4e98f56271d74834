"""From pictures to vectors."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.imaging import Pixels, resize_all
from resight.registry import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from resight.device import Precision
    from resight.inference.loading import LoadedModel
    from resight.models.embedding import Crops
    from resight.models.network import Network, Views


Vectors = NDArray[np.float32]


class ModelIdentity(Settings):
    """Which model a gallery's vectors are of.

    Attributes:
        fingerprint: of the model (``models.fingerprint``).
        name: shown to users.
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


class SupportsEmbedding(Protocol):
    """Turns pictures into vectors: an ``Embedder``, or what stands in front of one.

    Attributes:
        fingerprint: equal for models that describe every picture alike.
        name: of the model, shown to users.
        width: numbers a picture.
        weights: run or file that the model was loaded from, where known.
        on_cpu: whether it computes on the same cores that decode pictures.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def weights(self) -> str | None: ...
    @property
    def on_cpu(self) -> bool: ...

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Return the pictures [h, w, 3] at the size that the model takes; they may be read one by one."""

    def __call__(self, pictures: Sequence[Pixels]) -> Vectors:
        """Describe preprocessed pictures: float32 [N, D], of any length but zero."""


class Embedder:
    """Turns pictures into vectors with a trained model; may be called from several threads.

    Args:
        model: what ``load_model`` returned, or a network in memory; it stays as it is.
        device: to compute on; by default the one that the model was loaded for.
        precision: of the forward passes; by default the model's.
        branches: names of the branches that make the descriptor; all by default.
        views: of a crop, whose descriptors are averaged; by default as the model was made.
        batch_size: pictures described at once, at most.

    Attributes:
        compute: describes one batch, uint8 [B, H, W, 3] to float32 [B, D] on the device.
        picture_size: height and width of preprocessed pictures, in pixels.
        fingerprint: equal for models that describe every picture alike.
        name: of the model, shown to users.
        width: numbers in a vector.
        weights: run or file that the model was loaded from, where known.
        on_cpu: whether it computes on the same cores that decode pictures.

    Raises:
        UserError: the machine has no such device, or the batch size is below 1.
    """

    def __init__(
        self,
        model: "LoadedModel | Network",
        *,
        device: str | None = None,
        precision: "Precision | None" = None,
        branches: Sequence[str] | None = None,
        views: "Views | None" = None,
        batch_size: int = 64,
    ) -> None:
        from resight.device import resolve_device, resolve_precision
        from resight.inference.loading import LoadedModel
        from resight.models.embedding import PixelEmbedder

        if batch_size < 1:
            raise UserError(f"A batch has one picture or more; got {batch_size}.")
        self.model = model if isinstance(model, LoadedModel) else LoadedModel(model, model.name)
        self.branches, self.views = branches, views or self.model.network.views
        self.device = resolve_device(device or self.model.device)
        self.precision = resolve_precision(precision or self.model.precision, self.device)
        self.batch_size = batch_size
        self.compute = PixelEmbedder(
            self.model.network,
            device=self.device,
            precision=self.precision,
            branches=branches,
            views=views,
            batch_size=batch_size,
        )
        self.picture_size = self.compute.picture_size
        self.name = self.model.name
        self.weights = None if self.model.source is None else str(self.model.source)
        self.on_cpu = self.device.type == "cpu"
        self._lock = Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Of the model with these branches and views."""
        from resight.models.fingerprint import fingerprint

        return fingerprint(self.model.network, self.branches, self.views)

    @cached_property
    def width(self) -> int:
        """Numbers a picture.

        Raises:
            UserError: the model has no branch of that name.
        """
        return int(self([np.zeros((*self.picture_size, 3), np.uint8)]).shape[1])

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Resize pictures [h, w, 3] to ``picture_size``; they may be read one by one."""
        return resize_all(pictures, self.picture_size)

    def embed(self, pixels: "Crops") -> "Tensor":
        """Return the descriptors float32 [N, D], on the CPU, of crops uint8 [N, *picture_size, 3] (RGB)."""
        return self.compute.embed(pixels)

    def __call__(self, pictures: Sequence[Pixels]) -> Vectors:
        """Describe preprocessed pictures: float32 [N, D]."""
        with self._lock:
            return self.compute.embed(pictures, title=None).numpy()


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


def identity_of(embedder: SupportsEmbedding) -> ModelIdentity:
    """Return what a gallery keeps of a model."""
    return ModelIdentity(
        fingerprint=embedder.fingerprint, name=embedder.name, width=embedder.width, weights=embedder.weights
    )


def refuse_other_model(place: str, needed: ModelIdentity, given: SupportsEmbedding) -> None:
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

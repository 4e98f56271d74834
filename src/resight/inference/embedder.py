"""Embedding pictures as vectors."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.imaging import STRETCHED, Pixels, resize_all
from resight.models.packaged import source_name
from resight.registry import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from resight.device import Precision
    from resight.inference.loading import LoadedModel
    from resight.inference.runtimes.choice import Runtime
    from resight.models.embedding import Crops
    from resight.models.network import Network, Views


Vectors = NDArray[np.float32]


class ModelIdentity(Settings):
    """The model that computed a gallery's vectors.

    Attributes:
        fingerprint: see ``models.fingerprint``.
        name: name shown to users.
        width: length of a vector.
        weights: run, folder or file that it was loaded from, if known.
        precision: number type that it computes in.
        trained_cameras: names of the cameras whose crops it was trained on, if known.
    """

    fingerprint: str
    name: str
    width: int
    weights: str | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    trained_cameras: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return a description for messages."""
        where = "" if self.weights is None else f", loaded from {self.weights}"
        low = "" if self.precision == "float32" else f" in {self.precision}"
        model = f"{self.name}{low} ({self.width} numbers a crop)"
        return f"{model} with the fingerprint {self.fingerprint[:12]}{where}"


class SupportsEmbedding(Protocol):
    """Embeds pictures as vectors: an ``Embedder``, or a wrapper around one.

    Attributes:
        fingerprint: equal for models that embed every picture alike.
        name: name of the model, shown to users.
        width: length of a vector.
        weights: run, folder or file that the model was loaded from, if known.
        on_cpu: whether it computes on the CPU cores that also decode pictures.
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
    def precision(self) -> "Precision": ...
    @property
    def on_cpu(self) -> bool: ...

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Resize pictures [h, w, 3] to the model's input size; the iterable is read one picture at a time."""

    def __call__(self, pictures: Sequence[Pixels]) -> Vectors:
        """Embed preprocessed pictures: float32 [N, D], not normalised and never zero."""


class Embedder:
    """Embeds pictures as vectors with a trained model; may be called from several threads.

    Args:
        model: what ``load_model`` returned, or a network in memory; it is not changed.
        device: name of the device to compute on; by default the one that the model was loaded for.
        precision: number type of the forward passes; by default the model's.
        branches: names of the branches that the descriptor consists of; all by default.
        views: views of a crop whose descriptors are averaged; by default those of the model.
        batch_size: largest number of pictures in a forward pass.
        runtime: name of the runtime; by default the model's (see ``runtimes.switching``).

    Attributes:
        compute: embeds one batch: uint8 [B, H, W, 3] to float32 [B, D] on the device.
        picture_size: height and width of preprocessed pictures, in pixels.
        fingerprint: equal for models that embed every picture alike.
        name: name of the model, shown to users.
        width: length of a vector.
        weights: run, folder or file that the model was loaded from, if known.
        trained_cameras: names of the cameras whose crops it was trained on, if known.
        on_cpu: whether it computes on the CPU cores that also decode pictures.

    Raises:
        UserError: the machine has no such device; the runtime is not installed, or cannot compute the model;
            the batch size is less than 1.
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
        runtime: "Runtime | None" = None,
    ) -> None:
        import torch

        from resight.device import resolve_device, resolve_precision
        from resight.inference.graphs import GraphModel
        from resight.inference.loading import LoadedModel
        from resight.inference.runtimes.candidates import graph_candidates, network_candidates
        from resight.inference.runtimes.choice import machine_key
        from resight.inference.runtimes.export import folder_for_graph
        from resight.inference.runtimes.switching import SwitchingCompute
        from resight.models.network import picture_size

        if batch_size < 1:
            raise UserError(f"The batch size must be at least 1; got {batch_size}.")
        self.model = model if isinstance(model, LoadedModel) else LoadedModel(model, model.name)
        network = self.model.network
        self.branches, self.views = branches, views or network.views
        device = device or self.model.device
        if isinstance(network, GraphModel):
            if device not in ("auto", "cpu"):
                raise UserError(
                    f"{self.model.name} is an ONNX or OpenVINO graph, which runs on the CPU; got the "
                    f"device '{device}'. Leave the device out."
                )
            device = "cpu"
        self.device = resolve_device(device)
        self.batch_size, self.resizing = batch_size, self.model.resizing
        precision, runtime = precision or self.model.precision, runtime or self.model.runtime
        self.picture_size = picture_size(network.input_size, self.views)
        if isinstance(network, GraphModel):
            if branches is not None:
                raise UserError(
                    f"{self.model.name} is an ONNX or OpenVINO graph with one output vector: it has no "
                    "branches to choose from. Leave the branches out."
                )
            self.precision: Precision = "float32" if precision == "auto" else precision
            candidates = graph_candidates(network, self.precision, self.views, runtime)
        else:
            self.precision = resolve_precision(precision, self.device)
            candidates = network_candidates(
                network,
                self.device,
                self.precision,
                branches,
                self.views,
                graph_folder=folder_for_graph(self.model.source),
                wanted=runtime,
            )
        threads = torch.get_num_threads()
        self.compute = SwitchingCompute(
            runtime,
            candidates,
            lambda: machine_key(self.fingerprint, self.precision, threads),
            self.picture_size,
            self.precision,
        )
        if isinstance(network, GraphModel):
            self.compute.open()  # so that a damaged file is refused now
        self.name = self.model.name
        self.weights = None if self.model.source is None else source_name(self.model.source)
        self.trained_cameras = () if isinstance(network, GraphModel) else network.trained_cameras
        self.on_cpu = self.device.type == "cpu"
        self._lock = Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the model with these branches, views, resizing and precision."""
        from resight.inference.graphs import GraphModel
        from resight.models.fingerprint import fingerprint

        network = self.model.network
        if isinstance(network, GraphModel):
            found = network.fingerprint(self.views)
        else:
            found = fingerprint(network, self.branches, self.views)
        others = [self.resizing] * (self.resizing != STRETCHED) + [self.precision] * (
            self.precision != "float32"
        )
        if not others:
            return found
        return hashlib.blake2b(f"{found} {others}".encode(), digest_size=16).hexdigest()

    @property
    def runtime(self) -> str:
        """Name of the runtime in use."""
        return self.compute.runtime

    def prepare(self, crops: int | None = None) -> str:
        """Choose the runtime, by measurement if that saves time; return a description of the choice.

        Args:
            crops: number of crops to embed; None if unknown, as in a service.
        """
        self.compute.prepare(crops)
        return self.compute.describe()

    @cached_property
    def width(self) -> int:
        """Length of a vector.

        Raises:
            UserError: the model has no branch of a given name.
        """
        return int(self([np.zeros((*self.picture_size, 3), np.uint8)]).shape[1])

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Resize pictures [h, w, 3] to ``picture_size``; the iterable is read one picture at a time."""
        return resize_all(pictures, self.picture_size, self.resizing)

    def embed(self, pixels: "Crops", names: Sequence[object] = ()) -> "Tensor":
        """Return the descriptors float32 [N, D], on the CPU, of crops uint8 [N, *picture_size, 3] (RGB).

        Args:
            pixels: the crops.
            names: names of the crops, for messages.

        Raises:
            UserError: a descriptor is unusable; see ``refuse_unusable``.
        """
        from resight.models.embedding import in_batches

        self.compute.prepare(len(pixels))
        done = 0

        def checked(batch: "Tensor") -> "Tensor":
            nonlocal done
            found = self.compute(batch)
            refuse_unusable(found.cpu().numpy(), batch.numpy(), names[done : done + len(batch)])
            done += len(batch)
            return found

        return in_batches(checked, pixels, self.batch_size, "Embedding")

    def __call__(self, pictures: Sequence[Pixels]) -> Vectors:
        """Embed preprocessed pictures: float32 [N, D]."""
        from resight.models.embedding import in_batches

        with self._lock:
            return in_batches(self.compute, pictures, self.batch_size).numpy()


def refuse_unusable(
    vectors: Vectors, pictures: Sequence[Pixels] | Pixels = (), names: Sequence[object] = ()
) -> None:
    """Refuse vectors that cannot be compared.

    Args:
        vectors: [N, D].
        pictures: the pictures of these vectors; without them, equal vectors are allowed.
        names: names of the pictures, for messages.

    Raises:
        UserError: a vector is zero or contains NaN or infinity; or all are equal, but the pictures are not.
    """

    def name(row: int) -> object:
        return names[row] if len(names) else f"picture {row + 1} of {len(vectors)}"

    advice = "Check how it was trained, and how crops are prepared for it: resight model info MODEL"
    lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        kind = "zeros" if lengths[bad[0]] == 0 else "NaN or infinity"
        raise UserError(f"The model embeds {name(int(bad[0]))} as {kind}, so it cannot be used. {advice}")
    if len(vectors) < 2 or np.abs(vectors - vectors[0]).max() > 1e-6 * np.abs(vectors[0]).max():
        return
    other = next((row for row, one in enumerate(pictures) if not np.array_equal(one, pictures[0])), None)
    if other is not None:
        raise UserError(
            f"The model embeds {name(0)} and {name(other)} as the same vector, like all {len(vectors)} "
            f"pictures of this batch, so it cannot be used. {advice}"
        )


def unit(vectors: Vectors, pictures: Sequence[Pixels] | Pixels = (), names: Sequence[object] = ()) -> Vectors:
    """Return vectors [N, D] scaled to length 1; see ``refuse_unusable``."""
    refuse_unusable(vectors, pictures, names)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def identity_of(embedder: SupportsEmbedding) -> ModelIdentity:
    """Return the description of a model that a gallery stores."""
    return ModelIdentity(
        fingerprint=embedder.fingerprint,
        name=embedder.name,
        width=embedder.width,
        weights=embedder.weights,
        precision="bfloat16" if embedder.precision == "bfloat16" else "float32",
        trained_cameras=getattr(embedder, "trained_cameras", ()),  # other embedders need not know
    )


def check_model(place: str, needed: ModelIdentity, given: SupportsEmbedding) -> None:
    """Refuse a model other than the one that computed a gallery's vectors.

    Raises:
        UserError: the models differ; the message says which one the gallery needs.
    """
    if given.fingerprint != needed.fingerprint:
        raise UserError(
            f"The gallery {place} has vectors of another model, so they cannot be compared. It needs "
            f"{needed.describe()}; got {identity_of(given).describe()}. Use that model, or convert the "
            f"gallery to this one: resight gallery reembed --gallery {place} --model MODEL"
        )

"""Embedding with networks in ONNX files and OpenVINO IR."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from resight.device import Precision
from resight.errors import UserError
from resight.inference.preprocessing import Layout, Preprocessing
from resight.inference.runtimes.graph import Array, open_graph
from resight.inference.runtimes.reasons import GraphRuntime
from resight.models.network import Descriptor, Views, cut_views
from resight.registry import Settings

FORMAT = "1"
"""Version in every fingerprint: increased when a change here makes the same graph give other vectors."""


class GraphSettings(Settings):
    """The graph in a model folder, and how it is run.

    Attributes:
        file: name of the ONNX or ``.xml`` file.
        layout: order of its input's axes.
        output: name of the output that is the embedding.
        batch: its fixed batch size; None if it takes any number of crops.
        repairs: changes made to the file at import.
        runtime: the runtime whose vectors it has; None if those of all are alike. In int8 they differ.
    """

    file: str
    layout: Layout = "nchw"
    output: str
    batch: int | None = None
    repairs: tuple[str, ...] = ()
    runtime: GraphRuntime | None = None


@dataclass(slots=True)
class GraphModel:
    """A network in an ONNX or OpenVINO file, and its preprocessing.

    Attributes:
        path: the file.
        name: name shown to users.
        settings: how it is run.
        preprocessing: how crops are prepared for it.
        descriptor: which descriptor a view has; that of ``preprocessing`` unless it was changed.
    """

    path: Path
    name: str
    settings: GraphSettings
    preprocessing: Preprocessing
    descriptor: Descriptor

    @property
    def views(self) -> Views:
        """Views of each crop; their vectors are averaged."""
        return self.preprocessing.views

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of its input."""
        return self.preprocessing.input_size

    def fingerprint(self, views: Views | None = None) -> str:
        """Return 32 hexadecimal digits that identify all that determines its vectors: files and settings."""
        identity = self.preprocessing.model_dump() | {
            "views": views or self.views,
            "descriptor": self.descriptor,
            "format": FORMAT,
            "layout": self.settings.layout,
            "output": self.settings.output,
        }
        if self.settings.runtime is not None:
            identity["runtime"] = self.settings.runtime
        digest = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16)
        for path in graph_files(self.path):
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "blake2b").digest())
        return digest.hexdigest()


def graph_files(path: Path) -> list[Path]:
    """Return the files of a graph: the path's, and the ``.bin`` file of an ``.xml`` file."""
    return [path, path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [path]


class GraphEmbedder:
    """A graph ready to embed crops.

    If its batch size is fixed, the last batch is filled up with copies of its last crop, whose vectors are
    dropped.

    Args:
        model: the graph.
        runtime: runtime to use; by default OpenVINO for ``.xml`` files, else ONNX Runtime.
        precision: number type to multiply in.
        views: views of each crop, whose vectors are averaged; by default the model's.

    Raises:
        UserError: the runtime is not installed, or cannot run the file.
    """

    def __init__(
        self,
        model: GraphModel,
        *,
        runtime: GraphRuntime | None = None,
        precision: Precision = "float32",
        views: Views | None = None,
    ) -> None:
        self.model, self.views = model, views or model.views
        self.graph = open_graph(
            model.path,
            runtime,
            threads=torch.get_num_threads(),
            precision="bfloat16" if precision == "bfloat16" else "float32",
            any_batch=model.settings.batch is None,
        )
        known = [port.name for port in self.graph.outputs]
        if model.settings.output not in known:
            raise UserError(f"{model.path} has no output '{model.settings.output}'; its outputs: {known}.")

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the descriptors float32 [B, D] of one batch of crops uint8 [B, H, W, 3]."""
        images = pixels.cpu().permute(0, 3, 1, 2)
        views = cut_views(images, self.model.input_size, self.views)
        found = [self._describe(view) for view in views]
        return found[0] if len(found) == 1 else torch.stack(found).mean(0)

    def _describe(self, view: Tensor) -> Tensor:
        settings = self.model.settings
        images = self.model.preprocessing.normalise(view, settings.layout).numpy()
        fixed = settings.batch or len(images)
        parts = [self._run(images[first : first + fixed], fixed) for first in range(0, len(images), fixed)]
        vectors = torch.from_numpy(np.concatenate(parts))
        return functional.normalize(vectors, dim=1) if self.model.descriptor == "unit" else vectors

    def _run(self, images: Array, fixed: int) -> Array:
        missing = fixed - len(images)
        whole = np.concatenate([images, *([images[-1:]] * missing)]) if missing else images
        found = self.graph.run(whole)[self.model.settings.output]
        return found.reshape(len(whole), -1)[: len(images)].astype(np.float32)

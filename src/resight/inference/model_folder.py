"""A model folder: ``model.json`` and a network, ours or imported, that need nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch

from resight import __version__
from resight.errors import UserError
from resight.files import write_json
from resight.imaging import Resizing
from resight.inference.graphs import GraphModel, GraphSettings
from resight.inference.preprocessing import Preprocessing
from resight.models.network import Network
from resight.models.weights import load_weights
from resight.registry import Settings

SETTINGS, WEIGHTS = "model.json", "weights.safetensors"
FORMAT: Literal[1] = 1


class ModelSettings(Settings):
    """What ``model.json`` says.

    Attributes:
        format: version of the file.
        resight: version of Resight that wrote it.
        name: shown to users.
        source: name of the file that the model was imported from.
        kind: of a file that was recognised (``known_files``).
        architecture: of one of Resight's own networks, whose weights are in ``weights.safetensors``.
        graph: a network in an ONNX or ``.xml`` file.
        preprocessing: how crops are fed to it.
    """

    format: Literal[1] = FORMAT
    resight: str = __version__
    name: str
    source: str
    kind: str | None = None
    architecture: str | None = None
    graph: GraphSettings | None = None
    preprocessing: Preprocessing

    @pydantic.model_validator(mode="after")
    def _one_network(self) -> "ModelSettings":
        if (self.architecture is None) == (self.graph is None):
            raise ValueError("one of architecture and graph is expected")
        if self.architecture is not None and self.preprocessing.colours != "rgb":
            raise ValueError("the weights of an architecture take RGB")
        return self


@dataclass(frozen=True, slots=True)
class FolderModel:
    """A model that was loaded from its folder.

    Attributes:
        network: in evaluation mode, on the CPU; or a graph in a file.
        name: shown to users.
        resizing: how crops come to the size that it takes.
    """

    network: Network | GraphModel
    name: str
    resizing: Resizing


def read_settings(folder: Path) -> ModelSettings:
    """Read ``model.json`` of a folder.

    Raises:
        UserError: it is damaged, or of another version.
    """
    path = folder / SETTINGS
    try:
        return ModelSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except pydantic.ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors()
        )
        raise UserError(
            f"{path} is damaged or of another version of Resight (this is {__version__}, which reads format "
            f"{FORMAT}): {found}. Import the model again."
        ) from error


def write_settings(settings: ModelSettings, folder: Path) -> None:
    """Write ``model.json``."""
    write_json(folder / SETTINGS, settings.model_dump(mode="json", exclude_none=True))


def load_folder(folder: Path) -> FolderModel:
    """Load the model of a folder.

    Raises:
        UserError: its settings or its network cannot be read.
    """
    settings = read_settings(folder)
    fed = settings.preprocessing
    if settings.graph is not None:
        graph = GraphModel(folder / settings.graph.file, settings.name, settings.graph, fed, fed.descriptor)
        return FolderModel(graph, settings.name, fed.resizing)
    network = load_weights(folder / WEIGHTS, torch.device("cpu"))
    feed(network, fed)
    return FolderModel(network, settings.name, fed.resizing)


def feed(network: Network, fed: Preprocessing) -> None:
    """Let a network prepare crops in this way; ``resizing`` is the caller's."""
    network.input_size, network.views, network.descriptor = fed.input_size, fed.views, fed.descriptor
    for own, values in ((network.mean, fed.mean), (network.std, fed.deviation)):
        own.copy_(torch.tensor(values).view(1, 3, 1, 1) / fed.value_range)


def preprocessing_of(network: Network | GraphModel, resizing: Resizing) -> Preprocessing:
    """Return how crops are fed to a loaded network."""
    if isinstance(network, GraphModel):
        return network.preprocessing.model_copy(update={"descriptor": network.descriptor})
    three: dict[str, Any] = {
        "mean": network.mean.flatten().tolist(),
        "deviation": network.std.flatten().tolist(),
    }
    return Preprocessing(
        input_size=network.input_size,
        interpolation=resizing.interpolation,
        padding=resizing.padding,
        views=network.views,
        descriptor=network.descriptor,
        **three,
    )

"""Model folders: ``model.json`` and a network, ours or imported. Nothing else is needed to embed crops."""

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


class Int8Calibration(Settings):
    """What a graph in int8 was calibrated with.

    Attributes:
        crops: number of crops.
        source: origin of the crops.
        input_range: smallest and largest number that its input had.
    """

    crops: int
    source: str
    input_range: tuple[float, float]

    def describe(self) -> str:
        """Return a description for users."""
        low, high = self.input_range
        return f"{self.crops:,} crops of {self.source}, given as numbers from {low:g} to {high:g}"


class ModelSettings(Settings):
    """Contents of ``model.json``.

    Attributes:
        format: version of the file format.
        resight: version of Resight that wrote it.
        name: name shown to users.
        source: name of the file that the model was imported from.
        kind: name of the known file that it is (``known_files``).
        architecture: name of a network of Resight's, whose weights are in ``weights.safetensors``; None for
            a graph.
        graph: settings of a network in an ONNX or ``.xml`` file; None for an architecture.
        preprocessing: how crops are prepared for it.
        calibration: of a graph that Resight quantised.
    """

    format: Literal[1] = FORMAT
    resight: str = __version__
    name: str
    source: str
    kind: str | None = None
    architecture: str | None = None
    graph: GraphSettings | None = None
    preprocessing: Preprocessing
    calibration: Int8Calibration | None = None

    @pydantic.model_validator(mode="after")
    def _one_network(self) -> "ModelSettings":
        if (self.architecture is None) == (self.graph is None):
            raise ValueError("one of architecture and graph is expected")
        if self.architecture is not None and self.preprocessing.colours != "rgb":
            raise ValueError("the weights of an architecture take RGB")
        return self

    @pydantic.model_validator(mode="after")
    def _calibrated_range(self) -> "ModelSettings":
        if self.calibration is None:
            return self
        own, found = self.calibration.input_range, self.preprocessing.input_range()
        if max(abs(one - other) for one, other in zip(own, found, strict=True)) > 1e-3 * (own[1] - own[0]):
            raise ValueError(
                "it was calibrated with numbers from {:g} to {:g}, but its preprocessing now gives {:g} to "
                "{:g}, so its vectors would be wrong".format(*own, *found)
            )
        return self


@dataclass(frozen=True, slots=True)
class FolderModel:
    """A model that was loaded from its folder.

    Attributes:
        network: network in evaluation mode, on the CPU; or an ONNX or OpenVINO graph.
        name: name shown to users.
        resizing: how crops are resized to its input size.
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


def calibration_of(source: Path | None) -> Int8Calibration | None:
    """Return what the model of a folder in int8 was calibrated with; None for any other source."""
    if source is None or not (source / SETTINGS).is_file():
        return None
    return read_settings(source).calibration


def write_settings(settings: ModelSettings, folder: Path) -> None:
    """Write ``model.json``."""
    write_json(folder / SETTINGS, settings.model_dump(mode="json", exclude_none=True))


def load_folder(folder: Path) -> FolderModel:
    """Load the model of a folder.

    Raises:
        UserError: its settings or its network cannot be read.
    """
    settings = read_settings(folder)
    wanted = settings.preprocessing
    if settings.graph is not None:
        path = folder / settings.graph.file
        graph = GraphModel(path, settings.name, settings.graph, wanted, wanted.descriptor)
        return FolderModel(graph, settings.name, wanted.resizing)
    network = load_weights(folder / WEIGHTS, torch.device("cpu"))
    set_preprocessing(network, wanted)
    return FolderModel(network, settings.name, wanted.resizing)


def set_preprocessing(network: Network, wanted: Preprocessing) -> None:
    """Set a network's preprocessing, except for colours and resizing, which the caller does."""
    network.input_size, network.views, network.descriptor = wanted.input_size, wanted.views, wanted.descriptor
    for buffer, values in ((network.mean, wanted.mean), (network.std, wanted.deviation)):
        buffer.copy_(torch.tensor(values).view(1, 3, 1, 1) / wanted.value_range)


def preprocessing_of(network: Network | GraphModel, resizing: Resizing) -> Preprocessing:
    """Return the preprocessing of a loaded network."""
    if isinstance(network, GraphModel):
        return network.preprocessing.model_copy(update={"descriptor": network.descriptor})
    statistics: dict[str, Any] = {
        "mean": network.mean.flatten().tolist(),
        "deviation": network.std.flatten().tolist(),
    }
    return Preprocessing(
        input_size=network.input_size,
        interpolation=resizing.interpolation,
        padding=resizing.padding,
        views=network.views,
        descriptor=network.descriptor,
        **statistics,
    )

"""Importing other toolkits' networks into model folders."""

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resight import __version__
from resight.errors import UserError
from resight.files import cache_folder, umask
from resight.imaging import STRETCHED, Resizing
from resight.inference.graph_import import external_files, has_preprocessing, import_graph
from resight.inference.graphs import GraphModel, graph_files
from resight.inference.model_folder import (
    WEIGHTS,
    FolderModel,
    ModelSettings,
    load_folder,
    preprocessing_of,
    set_preprocessing,
    write_settings,
)
from resight.inference.preprocessing import Preprocessing, check_settings
from resight.inference.roboflow import is_roboflow, read_roboflow
from resight.models.foreign import read_foreign
from resight.models.network import Network
from resight.models.weights import is_own, load_weights, save_weights

GRAPH_SUFFIXES = (".onnx", ".xml")

FEW = 8
"""Number of tensors that a note names one by one."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A model that was imported.

    Attributes:
        settings: what was written to ``model.json``.
        notes: sentences for the user.
    """

    settings: ModelSettings
    notes: list[str]


@dataclass(frozen=True, slots=True)
class ReadWeights:
    """A network that was read from a weights file.

    Attributes:
        network: network in evaluation mode, on the CPU.
        architecture: name of its architecture.
        resizing: how crops are resized for it, unless the user says otherwise.
    """

    network: Network
    architecture: str
    resizing: Resizing

    def preprocessing(self, given: Mapping[str, Any]) -> Preprocessing:
        """Return its preprocessing, with the given settings instead of its own."""
        return check_settings(preprocessing_of(self.network, self.resizing).model_dump() | dict(given))


def import_model(
    path: Path,
    folder: Path,
    *,
    architecture: str | None = None,
    camera: int | None = None,
    name: str | None = None,
    output: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> Imported:
    """Write a model folder from a file: ONNX, OpenVINO IR, or weights of a known architecture.

    Args:
        path: the file, or a folder of Roboflow's ``reid``.
        folder: new or empty folder to write.
        architecture: name of the weights' architecture; by default recognised by their names and shapes.
        camera: camera of the training data, from 0, whose vector is added for every crop, if the weights have
            vectors of cameras; by default, none is added.
        name: name shown to users; by default the file's.
        output: name of a graph's output that is the embedding; by default recognised.
        given: settings of ``Preprocessing``; the others are those of the known file, or the defaults.

    Raises:
        UserError: the file cannot be used as an embedder, for the reason given; the folder is not empty.
    """
    path, given = path.expanduser(), dict(given or {})
    name = name or path.stem
    if is_roboflow(path):
        said = read_roboflow(path)
        path, architecture = said.weights, architecture or said.architecture
        given = said.preprocessing | given
    if not path.is_file():
        raise UserError(f"There is no file {path}. An ONNX file, OpenVINO IR (.xml) or weights are expected.")
    graph = path.suffix.lower() in GRAPH_SUFFIXES
    for option, value, for_graphs in (
        ("--output", output, True),
        ("--architecture", architecture, False),
        ("--camera-embedding", camera, False),
    ):
        if value is not None and graph is not for_graphs:
            kinds = "ONNX and OpenVINO files" if for_graphs else "weights files"
            raise UserError(f"{option} is for {kinds}; {path.name} is not one. Leave it out.")
    with new_folder(folder) as temporary:
        if graph:
            settings, notes = import_graph(path, temporary, name, output, given)
        else:
            found, notes = read_weights(path, architecture, camera)
            settings = _save_weights(found, path, temporary, name, given)
        write_settings(settings, temporary)
    return Imported(settings, notes)


def load_file(path: Path) -> FolderModel:
    """Load the model in a weights file, or in an ONNX or OpenVINO file whose preprocessing is known.

    Folders of Roboflow's ``reid`` are loaded, too. An ONNX or OpenVINO file is first imported into a folder
    in the cache.

    Raises:
        UserError: the file cannot be used as an embedder, or its preprocessing is unknown.
    """
    if is_roboflow(path):
        said = read_roboflow(path)
        weights, _ = read_weights(said.weights, said.architecture)
        wanted = weights.preprocessing(said.preprocessing)
        set_preprocessing(weights.network, wanted)
        return FolderModel(weights.network, path.name, wanted.resizing)
    if path.suffix.lower() not in GRAPH_SUFFIXES:
        weights, _ = read_weights(path)
        return FolderModel(weights.network, weights.architecture, weights.resizing)
    digest = hashlib.blake2b(__version__.encode(), digest_size=16)
    for each in (*graph_files(path), *external_files(path)):
        if each.is_file():
            digest.update(each.read_bytes())
    folder = cache_folder() / "models" / digest.hexdigest()
    if not folder.is_dir():
        if not has_preprocessing(path):
            raise UserError(
                f"The preprocessing that {path} needs is unknown: it is not a known file, and its metadata "
                f"do not have it. Import it first: resight model import {path} --out FOLDER"
            )
        try:
            import_model(path, folder)
        except UserError:
            if not folder.is_dir():  # or else another process has imported it in the meantime
                raise
    found = load_folder(folder)
    if isinstance(found.network, GraphModel):
        found.network.name = path.stem  # the folder may be from a copy of the file with another name
    return replace(found, name=path.stem)


def read_weights(
    path: Path, architecture: str | None = None, camera: int | None = None
) -> tuple[ReadWeights, list[str]]:
    """Return the network of a weights file, and notes for the user.

    Raises:
        UserError: it is damaged, or its architecture is unknown.
    """
    if is_own(path):
        if architecture is not None or camera is not None:
            raise UserError(
                f"{path} was written by Resight and names its architecture. Leave --architecture and "
                "--camera-embedding out."
            )
        network = load_weights(path, torch.device("cpu"))
        return ReadWeights(network, network.name, STRETCHED), []
    found = read_foreign(path, architecture, camera)
    notes = [f"{path.name} has the weights of {found.architecture}: {found.used} tensors are used."]
    if found.dropped:
        notes.append(f"Embedding does not need these, and they were dropped: {_listed(found.dropped)}.")
    if found.unused:
        notes.append(f"These tensors are not used: {', '.join(found.unused)}.")
    if found.cameras and camera is None:
        notes.append(
            f"It was trained with a vector for each of {found.cameras} cameras. None is added now; "
            f"--camera-embedding 0 to {found.cameras - 1} adds that of a camera for every crop."
        )
    return ReadWeights(found.network, found.architecture, found.resizing), notes


def _listed(names: Sequence[str]) -> str:
    """Return names of tensors; of many, their modules and the number of tensors in each."""
    if len(names) <= FEW:
        return ", ".join(names)
    modules = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{module} ({count})" for module, count in modules.items())


def _save_weights(
    found: ReadWeights, path: Path, folder: Path, name: str, given: dict[str, Any]
) -> ModelSettings:
    """Write the weights into a folder and return its settings."""
    if given.pop("colours", "rgb") == "bgr":
        _take_rgb(found.network)
        given |= {key: given[key][::-1] for key in ("mean", "deviation") if key in given}
    preprocessing = found.preprocessing(given)
    save_weights(found.network, folder / WEIGHTS)
    return ModelSettings(
        name=name, source=path.name, architecture=found.architecture, preprocessing=preprocessing
    )


def _take_rgb(network: Network) -> None:
    """Make a network that was trained on BGR take RGB, by reversing its first layer's input channels."""
    first = next(one for one in network.modules() if isinstance(one, nn.Conv2d) and one.in_channels == 3)
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(1))


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to ``folder`` at the end."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} is not an empty folder. Choose another --out.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~umask())
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. Choose another --out.") from error

"""Importing other toolkits' networks into model folders."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resight import __version__
from resight.errors import UserError
from resight.files import cache_folder
from resight.imaging import STRETCHED
from resight.inference.graph_import import external_files, has_preprocessing, import_graph
from resight.inference.graphs import GraphModel, graph_files
from resight.inference.model_folder import (
    WEIGHTS,
    FolderModel,
    ModelSettings,
    load_folder,
    preprocessing_of,
    write_settings,
)
from resight.inference.preprocessing import check_settings
from resight.models.foreign import read_foreign
from resight.models.network import Network
from resight.models.weights import is_own, load_weights, save_weights

GRAPH_SUFFIXES = (".onnx", ".xml")


@dataclass(frozen=True, slots=True)
class Imported:
    """A model that was imported.

    Attributes:
        settings: what was written to ``model.json``.
        notes: sentences for the user.
    """

    settings: ModelSettings
    notes: list[str]


def import_model(
    path: Path,
    folder: Path,
    *,
    architecture: str | None = None,
    name: str | None = None,
    output: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> Imported:
    """Write a model folder from a file: ONNX, OpenVINO IR, or weights of a known architecture.

    Args:
        path: the file.
        folder: new or empty folder to write.
        architecture: name of the weights' architecture; by default recognised by their names and shapes.
        name: name shown to users; by default the file's.
        output: name of a graph's output that is the embedding; by default recognised.
        given: settings of ``Preprocessing``; the others are those of the known file, or the defaults.

    Raises:
        UserError: the file cannot be used as an embedder, for the reason given; the folder is not empty.
    """
    path, given = path.expanduser(), dict(given or {})
    if not path.is_file():
        raise UserError(f"There is no file {path}. An ONNX file, OpenVINO IR (.xml) or weights are expected.")
    graph = path.suffix.lower() in GRAPH_SUFFIXES
    for option, value, for_graphs in (("--output", output, True), ("--architecture", architecture, False)):
        if value is not None and graph is not for_graphs:
            kinds = "ONNX and OpenVINO files" if for_graphs else "weights files"
            raise UserError(f"{option} is for {kinds}; {path.name} is not one. Leave it out.")
    name = name or path.stem
    with new_folder(folder) as temporary:
        if graph:
            settings, notes = import_graph(path, temporary, name, output, given)
        else:
            settings, notes = _import_weights(path, temporary, name, architecture, given)
        write_settings(settings, temporary)
    return Imported(settings, notes)


def load_file(path: Path) -> FolderModel:
    """Load the model in a weights file, or in an ONNX or OpenVINO file whose preprocessing is known.

    An ONNX or OpenVINO file is first imported into a folder in the cache.

    Raises:
        UserError: the file cannot be used as an embedder, or its preprocessing is unknown.
    """
    if path.suffix.lower() not in GRAPH_SUFFIXES:
        network, name, _ = read_weights(path)
        return FolderModel(network, name, STRETCHED)
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


def read_weights(path: Path, architecture: str | None = None) -> tuple[Network, str, list[str]]:
    """Return the network of a weights file, the name of its architecture, and notes for the user.

    Raises:
        UserError: it is damaged, or its architecture is unknown.
    """
    if is_own(path):
        if architecture is not None:
            raise UserError(
                f"{path} was written by Resight and names its architecture. Leave --architecture out."
            )
        network = load_weights(path, torch.device("cpu"))
        return network, network.name, []
    found = read_foreign(path, architecture)
    notes = [f"{path.name} has the weights of {found.architecture}: {found.used} tensors are used."]
    if found.dropped:
        notes.append(f"The classifier was dropped: {', '.join(found.dropped)}.")
    if found.unused:
        notes.append(f"These tensors are not used: {', '.join(found.unused)}.")
    return found.network, found.architecture, notes


def _import_weights(
    path: Path, folder: Path, name: str, architecture: str | None, given: dict[str, Any]
) -> tuple[ModelSettings, list[str]]:
    network, architecture, notes = read_weights(path, architecture)
    if given.pop("colours", "rgb") == "bgr":
        _take_rgb(network)
        given |= {key: given[key][::-1] for key in ("mean", "deviation") if key in given}
    preprocessing = check_settings(preprocessing_of(network, STRETCHED).model_dump() | given)
    save_weights(network, folder / WEIGHTS)
    return (
        ModelSettings(name=name, source=path.name, architecture=architecture, preprocessing=preprocessing),
        notes,
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
            temporary.chmod(0o777 & ~_umask())
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. Choose another --out.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

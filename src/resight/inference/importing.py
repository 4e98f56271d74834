"""Importing networks of others into model folders."""

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
from resight.inference.graph_import import external_files, import_graph, says_how
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
        settings: that were written.
        notes: what the user should know.
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
    """Write a model folder of a file: ONNX, OpenVINO IR, or weights of a known architecture.

    Args:
        path: of the file.
        folder: new or empty.
        architecture: of weights; by default found by their names and shapes.
        name: shown to users; by default the file's.
        output: name of the output that is the embedding, of a graph; by default found.
        given: settings of ``Preprocessing``; others are those of the known file, or the usual ones.

    Raises:
        UserError: the file cannot be used as an embedder, and why; the folder is not empty.
    """
    path, given = path.expanduser(), dict(given or {})
    if not path.is_file():
        raise UserError(f"There is no file {path}. An ONNX file, OpenVINO IR (.xml) or weights are expected.")
    graph = path.suffix.lower() in GRAPH_SUFFIXES
    for option, value, only in (("--output", output, True), ("--architecture", architecture, False)):
        if value is not None and graph is not only:
            kinds = "ONNX and OpenVINO files" if only else "weights files"
            raise UserError(f"{option} is for {kinds}; {path.name} is none. Leave it out.")
    name = name or path.stem
    with _new_folder(folder) as made:
        if graph:
            settings, notes = import_graph(path, made, name, output, given)
        else:
            settings, notes = _import_weights(path, made, name, architecture, given)
        write_settings(settings, made)
    return Imported(settings, notes)


def load_file(path: Path) -> FolderModel:
    """Load the model in a weights file, or in an ONNX or OpenVINO file that says how crops are fed to it.

    Such a graph is imported into the cache first.

    Raises:
        UserError: the file cannot be used as an embedder, or nothing says how crops are fed to it.
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
        if not says_how(path):
            raise UserError(
                f"{path} does not say how crops are fed to it: it is no known file, and its metadata do not "
                f"say it. Import it first: resight model import {path} --out FOLDER"
            )
        try:
            import_model(path, folder)
        except UserError:
            if not folder.is_dir():  # another process imported it meanwhile
                raise
    found = load_folder(folder)
    if isinstance(found.network, GraphModel):
        found.network.name = path.stem  # the folder may be that of an equal file
    return replace(found, name=path.stem)


def read_weights(path: Path, architecture: str | None = None) -> tuple[Network, str, list[str]]:
    """Return the network of a weights file, its architecture's name, and what the user should know.

    Raises:
        UserError: it is damaged, or its architecture is not known.
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
    fed = check_settings(preprocessing_of(network, STRETCHED).model_dump() | given)
    save_weights(network, folder / WEIGHTS)
    return (
        ModelSettings(name=name, source=path.name, architecture=architecture, preprocessing=fed),
        notes,
    )


def _take_rgb(network: Network) -> None:
    """Turn weights that were trained on BGR into the same network on RGB."""
    first = next(one for one in network.modules() if isinstance(one, nn.Conv2d) and one.in_channels == 3)
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(1))


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, which takes the name ``folder`` at the end."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} is not an empty folder. Choose another --out.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            yield made
            made.chmod(0o777 & ~_umask())
            made.replace(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. Choose another --out.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

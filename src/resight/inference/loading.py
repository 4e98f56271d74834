"""Loading a model from a run, a model folder or a file."""

from dataclasses import dataclass, replace
from pathlib import Path

from resight.device import Precision, resolve_device
from resight.errors import UserError, did_you_mean
from resight.imaging import STRETCHED, Resizing
from resight.inference.graphs import GraphModel
from resight.inference.importing import load_file
from resight.inference.model_folder import SETTINGS, load_folder
from resight.inference.roboflow import is_roboflow
from resight.inference.runtimes.choice import Runtime
from resight.models.network import Network
from resight.models.packaged import ABOUT, NAME, find_packaged
from resight.progress import say
from resight.training.run import Run

ADVICE = f"Name a run, a model folder or a file of weights; or {NAME}, which comes with Resight."


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, and the defaults for embedding crops with it.

    Attributes:
        network: network in evaluation mode, on the CPU; or an ONNX or OpenVINO graph. It normalises pixels
            itself; its ``input_size`` and ``views`` say which crops it takes.
        name: name shown to users: that of the run's recipe, the model folder or the network.
        source: absolute path of the run, folder or file that it was loaded from; None in memory.
        device: name of the device that an ``Embedder`` uses by default.
        precision: default number type of an ``Embedder``'s forward passes.
        run: the training run, if it was loaded from a run's folder.
        resizing: how crops are resized to its input size.
        runtime: default runtime of an ``Embedder``.
    """

    network: Network | GraphModel
    name: str
    source: Path | None = None
    device: str = "auto"
    precision: Precision = "auto"
    run: Run | None = None
    resizing: Resizing = STRETCHED
    runtime: Runtime = "auto"

    def need_network(self, purpose: str) -> Network:
        """Return the network.

        Args:
            purpose: what it is needed for, for the message, such as ``to name classes``.

        Raises:
            UserError: the model is an ONNX or OpenVINO graph.
        """
        if isinstance(self.network, Network):
            return self.network
        raise UserError(
            f"{self.name} is an ONNX or OpenVINO graph, which returns only vectors; {purpose}, one of "
            "Resight's own networks is needed."
        )


def load_model(
    source: Path | str | Run,
    *,
    device: str = "auto",
    precision: Precision | None = None,
    runtime: Runtime = "auto",
) -> LoadedModel:
    """Load a model.

    Args:
        source: a run or its folder, a weights file, a model folder, or an ONNX or OpenVINO file whose
            preprocessing is known or in its metadata; or ``drawn-people``, the model that comes with Resight.
        device: name of the device to embed on, or ``auto``.
        precision: number type of the forward passes; by default that of the run's recipe, or ``auto``.
        runtime: name of the runtime, or ``auto``.

    Raises:
        UserError: there is no such run, folder or file; the training is not complete; the file is damaged, or
            its preprocessing is unknown; the machine has no such device.
    """
    return replace(_load(source, device, precision), runtime=runtime)


def model_exists(source: Path | str) -> bool:
    """Return whether ``load_model`` would find something to load."""
    return find_packaged(source).exists()


def model_or_default(model: Path | None, *, device: str = "auto", runtime: Runtime = "auto") -> LoadedModel:
    """Load a model; if none is named, the one that comes with Resight, and say so."""
    if model is None:
        say(f"No model is named: this is {NAME}, which comes with Resight. {ABOUT}")
    return load_model(NAME if model is None else model, device=device, runtime=runtime)


def _load(source: Path | str | Run, device: str, precision: Precision | None) -> LoadedModel:
    resolve_device(device)
    if isinstance(source, Run):
        run = source
    else:
        source = find_packaged(source)
        if source.is_file() or (source / SETTINGS).is_file() or is_roboflow(source):
            found = load_folder(source) if (source / SETTINGS).is_file() else load_file(source)
            place = source.absolute()
            return LoadedModel(
                found.network, found.name, place, device, precision or "auto", resizing=found.resizing
            )
        if not source.exists():
            near = did_you_mean(str(source), [NAME], ADVICE)
            raise UserError(f"The file or folder {source} does not exist.{near}")
        run = Run.open(source)
    network = run.load_network(resolve_device("cpu"))
    return LoadedModel(
        network, run.recipe.name, run.folder.absolute(), device, precision or run.recipe.precision, run
    )

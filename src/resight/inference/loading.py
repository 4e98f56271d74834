"""Loading a trained model from a run or a weights file."""

from dataclasses import dataclass
from pathlib import Path

from resight.device import Precision, resolve_device
from resight.models.network import Network
from resight.models.weights import load_weights
from resight.training.run import Run


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A trained network, and how to embed crops with it.

    Attributes:
        network: in evaluation mode, on the CPU. It normalises pixels itself; its ``picture_size`` and
            ``views`` define its input.
        name: name of the run's recipe, or of the network; shown to users.
        source: run or file that it was loaded from, as an absolute path; None for a network in memory.
        device: name of the default device of an ``Embedder``.
        precision: default precision of an ``Embedder``'s forward passes.
        run: the run that trained it, if it was loaded from a run's folder.
    """

    network: Network
    name: str
    source: Path | None = None
    device: str = "auto"
    precision: Precision = "auto"
    run: Run | None = None


def load_model(
    source: Path | str | Run, *, device: str = "auto", precision: Precision | None = None
) -> LoadedModel:
    """Load a trained model.

    Args:
        source: folder of a run, a ``weights.safetensors`` file, or a run.
        device: name of the device to embed on, or ``auto``.
        precision: of the forward passes; by default the one in the run's recipe, or ``auto``.

    Raises:
        UserError: there is no such run or file; the training is not complete; the file is damaged; the
            machine has no such device.
    """
    resolve_device(device)
    cpu = resolve_device("cpu")
    if not isinstance(source, Run):
        source = Path(source).expanduser()
        if source.is_file():
            network = load_weights(source, cpu)
            return LoadedModel(network, network.name, source.absolute(), device, precision or "auto")
        source = Run.open(source)
    return LoadedModel(
        source.load_network(cpu),
        source.recipe.name,
        source.folder.absolute(),
        device,
        precision or source.recipe.precision,
        source,
    )

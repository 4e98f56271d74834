"""Loading a model to read pictures with."""

from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import UserError

if TYPE_CHECKING:
    from resight.gallery.gallery import Gallery
    from resight.inference.embedder import NetworkEmbedder


def load_embedder(model: Path, device: str) -> "NetworkEmbedder":
    """Load a run, or a file of weights, to read pictures with; a gallery remembers where it lies."""
    from resight.device import resolve_device
    from resight.inference.embedder import NetworkEmbedder
    from resight.models.weights import load_weights
    from resight.training.run import Run

    cpu = resolve_device("cpu")
    opened = None if model.is_file() else Run.open(model)
    network = load_weights(model, cpu) if opened is None else opened.load_model(cpu)
    precision = "auto" if opened is None else opened.recipe.precision
    name = None if opened is None else opened.recipe.name
    return NetworkEmbedder(network, name=name, weights=model, device=device, precision=precision)


def use_own_model(gallery: "Gallery", device: str) -> None:
    """Let a gallery read pictures with the model that it was made with.

    Raises:
        UserError: it does not know where that lies, or it is not there any more.
    """
    weights = gallery.metadata.model.weights
    if weights is None or not Path(weights).exists():
        gone = "" if weights is None else ", which is not there any more"
        raise UserError(
            f"To read pictures, the gallery needs its model: {gallery.metadata.model.describe()}{gone}. "
            "Name it: --model RUN"
        )
    gallery.use(load_embedder(Path(weights), device))

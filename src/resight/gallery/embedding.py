"""The model of a gallery, which embeds pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from resight.errors import UserError
from resight.gallery.corrections import CorrectedCatalogue
from resight.gallery.crops import Picture
from resight.gallery.pictures import read_pixels
from resight.gallery.stores.opening import gallery_exists
from resight.imaging import Pixels
from resight.inference.embedder import Embedder, SupportsEmbedding, Vectors, check_model, unit

if TYPE_CHECKING:
    from resight.device import Precision
    from resight.inference.loading import LoadedModel
    from resight.inference.runtimes.choice import Runtime


class EmbeddingCatalogue(CorrectedCatalogue):
    """A catalogue with its model, which is loaded when the first picture is embedded."""

    _embedder: SupportsEmbedding | None = None
    _device = "auto"
    _runtime: "Runtime" = "auto"

    def use(self, model: "LoadedModel | SupportsEmbedding") -> None:
        """Embed pictures with this model from now on.

        Raises:
            UserError: the gallery was made with another model.
        """
        embedder = as_embedder(model, self.metadata.model.precision)
        check_model(self.place, self.metadata.model, embedder)
        self._embedder = embedder

    def load_own_model(self) -> "LoadedModel":
        """Load the model that the gallery was made with from the path stored in the gallery.

        Raises:
            UserError: the path is unknown or no longer exists.
        """
        from resight.inference.loading import load_model, model_exists

        weights = self.metadata.model.weights
        if weights is None or not model_exists(weights):
            gone = "" if weights is None else ", which no longer exists"
            raise UserError(
                f"To embed pictures, the gallery needs its model: {self.metadata.model.describe()}{gone}. "
                "Give it with --model MODEL."
            )
        precision = self.metadata.model.precision
        return load_model(weights, device=self._device, precision=precision, runtime=self._runtime)

    def prepare(self, crops: int | None = None) -> str | None:
        """Decide which runtime embeds pictures; return it in words (see ``Embedder.prepare``)."""
        embedder = self._need_model()
        return embedder.prepare(crops) if isinstance(embedder, Embedder) else None

    def preprocess(self, pixels: Pixels) -> Pixels:
        """Return a picture resized for the model; searching for it gives the same result.

        Raises:
            UserError: there is no model.
        """
        return self._need_model().preprocess([pixels])[0]

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """Return the unit vectors float32 [N, D] of pictures.

        Raises:
            UserError: there is no model, or a picture cannot be read.
        """
        embedder = self._need_model()
        ready = embedder.preprocess(read_pixels(picture) for picture in pictures)
        names = [one if isinstance(one, Path) else f"picture {n}" for n, one in enumerate(pictures, 1)]
        return unit(embedder(ready), ready, names)

    def _need_model(self) -> SupportsEmbedding:
        if self._embedder is None:
            self.use(self.load_own_model())
        assert self._embedder is not None
        return self._embedder


def as_embedder(
    model: "LoadedModel | SupportsEmbedding", precision: "Precision | None" = None
) -> SupportsEmbedding:
    """Return an embedder for a loaded model; an embedder is returned unchanged.

    Args:
        model: what ``load_model`` returned, or an embedder.
        precision: of a model without a precision of its own.
    """
    if hasattr(model, "preprocess"):
        return cast("SupportsEmbedding", model)
    return Embedder(model, precision=precision if model.precision == "auto" else None)


def model_of_gallery(
    place: Path | str, model: Path | None, *, device: str = "auto", runtime: "Runtime" = "auto"
) -> "LoadedModel | None":
    """Load the model that was named; for a new gallery, by default the one that comes with Resight.

    Returns:
        None if the gallery exists and no model is named: it knows its own.

    Raises:
        UserError: the model cannot be loaded, or the cluster does not answer.
    """
    from resight.inference.loading import model_or_default

    if model is None and gallery_exists(place):
        return None
    return model_or_default(model, device=device, runtime=runtime)

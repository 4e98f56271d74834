"""What is done with a whole gallery now and then: compact, calibrate, re-embed, export."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from resight.errors import UserError
from resight.gallery.catalogue import EVERYTHING, Catalogue
from resight.gallery.copying import copy_crops
from resight.gallery.crops import Filter
from resight.gallery.metadata import Reembedding
from resight.inference.embedder import Embedder, SupportsEmbedding, identity_of

if TYPE_CHECKING:
    from resight.evaluation.embedded import Embedded
    from resight.inference.loading import LoadedModel

USUAL_FALSE_MATCH_RATE = 0.001


class MaintainedCatalogue(Catalogue):
    """A catalogue whose stores can be replaced as a whole, while others read and change them."""

    _embedder: SupportsEmbedding | None = None

    def compact(self, done: Callable[[int], None] = lambda crops: None) -> None:
        """Build graphs and give room back; where traces of forgotten crops are left, write the stores anew.

        Then no file holds anything of a forgotten crop. Searching and adding go on meanwhile, but for
        moments; killed at any time, the gallery is what it was.

        Args:
            done: called with how many more crops were copied, where stores are written anew.

        Raises:
            UserError: the disk has no room for it.
        """
        with self._compacting:
            if self.metadata.traces:
                self._write_anew(done)
            else:
                self._store.compact()

    def _write_anew(self, done: Callable[[int], None]) -> None:
        self._backend.refuse_full_disk()
        traced, layout, reembedding = self._traced, self.metadata.layout, self.metadata.reembedding
        sources = [(self._store, layout, self.metadata.store)]
        if self._pending is not None and reembedding is not None:
            width = reembedding.model.width
            sources.append((self._pending, replace(layout, width=width), reembedding.store))
        names: list[str] = []
        with ExitStack() as swapping:
            try:
                for store, layout, _ in sources:
                    names.append(self._next_name())
                    self._copies.append(self._backend.make_store(names[-1], layout))
                    copy_crops(store, self._copies[-1], self._changing, done=done)
                    self._copies[-1].compact()
                swapping.enter_context(self._changing)
                for (store, _, _), copy in zip(sources, self._copies, strict=True):
                    if store.count(EVERYTHING) > copy.count(EVERYTHING):  # crops were added meanwhile
                        copy_crops(store, copy, self._changing)
            except BaseException:
                self._copies = []
                for name in names:
                    self._backend.drop_store(name)
                raise
            if reembedding is not None:
                reembedding = reembedding.model_copy(update={"store": names[-1]})
            self._tell(store=names[0], reembedding=reembedding, traces=self._traced != traced)
            self._store, *rest = self._copies
            self._pending, self._copies = (rest[0] if rest else None), []
        for _, _, old in sources:  # searches that are still going on there keep the deleted files open
            self._backend.drop_store(old)

    def calibrate(
        self,
        labelled: "Embedded | None" = None,
        *,
        origin: str = "labelled crops of the gallery",
        false_match_rate: float = USUAL_FALSE_MATCH_RATE,
    ) -> None:
        """Measure which distance means the same person, and keep it in ``metadata.calibration``.

        Args:
            labelled: features of this gallery's model with persons and, if known, cameras; by default those
                crops of the gallery that somebody labelled.
            origin: where these are from.
            false_match_rate: at which the thresholds are checked on other persons.

        Raises:
            UserError: nothing is labelled, too few crops are, or the features are of another width.
        """
        from resight.gallery.calibrating import labelled_crops, measure

        crops = labelled_crops(self._store) if labelled is None else labelled
        if crops.features.shape[1] != self.metadata.model.width:
            raise UserError(
                f"The gallery's vectors are of {self.metadata.model.width} numbers, these of "
                f"{crops.features.shape[1]}: they are of another model."
            )
        self._tell(calibration=measure(crops, origin, false_match_rate))

    def reembed(
        self,
        model: "LoadedModel | SupportsEmbedding",
        done: Callable[[int], None] = lambda crops: None,
    ) -> int:
        """Describe all crops by another model, and return how many were described.

        Killed at any time, the gallery is what it was, and the next call with that model goes on. At the end
        it is of the new model, at once; what was calibrated has to be calibrated again.

        Args:
            model: the new one.
            done: called with how many more crops were looked at.

        Raises:
            UserError: the gallery is of that model already, or the disk is full.
        """
        embedder = as_embedder(model)
        if embedder.fingerprint == self.metadata.model.fingerprint:
            raise UserError(f"The gallery {self.place} is of this model already.")
        with self._compacting:
            begun = self.metadata.reembedding
            if begun is None or begun.model.fingerprint != embedder.fingerprint or self._pending is None:
                begun = Reembedding(model=identity_of(embedder), store=self._next_name())
                layout = replace(self.metadata.layout, width=embedder.width)
                with self._changing:
                    abandoned, self._pending = self._backend.stores() - {self.metadata.store}, None
                    self._pending = self._backend.make_store(begun.store, layout)
                    self._tell(reembedding=begun)
                for name in abandoned:
                    self._backend.drop_store(name)
            count = copy_crops(self._store, self._pending, self._changing, embedder, done)
            with self._changing:
                old, self._store, self._pending = self.metadata.store, self._pending, None
                self._tell(model=begun.model, store=begun.store, calibration=None, reembedding=None)
                self._embedder = embedder
            self._backend.drop_store(old)
        return count

    def export(
        self, folder: Path, where: Filter = EVERYTHING, done: Callable[[int], None] = lambda crops: None
    ) -> int:
        """Write features, labels and pictures of the crops that fit to a new folder; see ``exporting``."""
        from resight.gallery.exporting import export_crops

        return export_crops(self._store, self.metadata, folder, where, done)

    def _next_name(self) -> str:
        numbers = [int(name.rpartition("-")[2]) for name in self._backend.stores()]
        return f"{self.metadata.store.rpartition('-')[0]}-{max(numbers) + 1}"


def as_embedder(model: "LoadedModel | SupportsEmbedding") -> SupportsEmbedding:
    """Return what reads pictures by a model."""
    if hasattr(model, "preprocess"):
        return cast("SupportsEmbedding", model)
    return Embedder(model)

"""Maintenance of a whole gallery: compact, calibrate, re-embed, export."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import UserError
from resight.gallery.catalogue import EVERYTHING
from resight.gallery.copying import copy_crops
from resight.gallery.crops import Filter
from resight.gallery.embedding import EmbeddingCatalogue, as_embedder
from resight.gallery.metadata import Reembedding
from resight.gallery.stores.store import Record
from resight.inference.embedder import SupportsEmbedding, identity_of

if TYPE_CHECKING:
    from resight.evaluation.embedded import Embedded
    from resight.inference.loading import LoadedModel

DEFAULT_FALSE_MATCH_RATE = 0.001


class MaintainedCatalogue(EmbeddingCatalogue):
    """A catalogue whose stores can be replaced while other threads read and change them."""

    def compact(self, done: Callable[[int], None] = lambda crops: None) -> None:
        """Build graphs and free disk space; if traces of forgotten crops are left, rewrite the stores.

        Afterwards no file contains anything of a forgotten crop. Searching and adding continue meanwhile,
        with short pauses. If the process is killed, the gallery is unchanged.

        Args:
            done: called with the number of further crops copied, if stores are rewritten.

        Raises:
            UserError: there is not enough disk space.
        """
        with self._compacting:
            if self.metadata.traces:
                self._rewrite(done)
            else:
                self._store.compact()
                if not self._backend.keeps_traces:  # but in the means
                    self._means.renew(exactly=True)

    def _rewrite(self, done: Callable[[int], None]) -> None:
        self._backend.check_free_space()
        traced, layout, reembedding = self._traced, self.metadata.layout, self.metadata.reembedding
        sources = [(self._store, layout, self.metadata.store)]
        if self._pending is not None and reembedding is not None:
            width = reembedding.model.width
            sources.append((self._pending, replace(layout, width=width), reembedding.store))
        names: list[str] = []
        changes: list[Callable[[list[Record]], list[Record]]] = [
            lambda records: means.exchange(records),
            list,
        ]
        with ExitStack() as swapping:
            try:
                for (store, layout, old), change in zip(sources, changes, strict=False):
                    names.append(self._next_name())
                    self._copies.append(self._backend.make_store(names[-1], layout))
                    if store is self._store:
                        write = partial(self._backend.write_means, names[0])
                        means = self._means.for_copy(self._copies[0], write)
                    elif written := self._backend.read_means(old):
                        self._backend.write_means(names[-1], written)
                    copy_crops(store, self._copies[-1], self._changing, done=done, change=change)
                    self._copies[-1].compact()
                swapping.enter_context(self._changing)
                for (store, _, _), copy, change in zip(sources, self._copies, changes, strict=False):
                    if store.count(EVERYTHING) > copy.count(EVERYTHING):  # crops were added in the meantime
                        copy_crops(store, copy, self._changing, change=change)
                means.save()
            except BaseException:
                self._copies = []
                for name in names:
                    self._backend.drop_store(name)
                raise
            if reembedding is not None:
                reembedding = reembedding.model_copy(update={"store": names[-1]})
            self._update_metadata(store=names[0], reembedding=reembedding, traces=self._traced != traced)
            self._means = means
            self._store, *rest = self._copies
            self._pending, self._copies = (rest[0] if rest else None), []
        for _, _, old in sources:  # running searches keep the deleted files open
            self._backend.drop_store(old)

    def calibrate(
        self,
        labelled: "Embedded | None" = None,
        *,
        origin: str = "labelled crops of the gallery",
        false_match_rate: float = DEFAULT_FALSE_MATCH_RATE,
    ) -> None:
        """Measure the distance thresholds for "the same person", and store them in ``metadata.calibration``.

        Args:
            labelled: features of this gallery's model with persons and, if known, cameras; by default the
                labelled crops of the gallery.
            origin: where these come from, for messages.
            false_match_rate: rate at which a threshold is checked on other persons.

        Raises:
            UserError: too few crops are labelled, or the features have another width.
        """
        from resight.gallery.calibrating import labelled_crops, measure, without_means

        crops = labelled_crops(self._store) if labelled is None else labelled
        if crops.features.shape[1] != self.metadata.model.width:
            raise UserError(
                f"The gallery's vectors have {self.metadata.model.width} numbers, these features "
                f"{crops.features.shape[1]}: they were computed by another model."
            )
        if labelled is not None and self._means.active:
            crops = without_means(labelled, self._means)
        measured = measure(crops, origin, false_match_rate)
        self._update_metadata(
            calibration=measured.model_copy(update={"camera_normalise": self._means.active})
        )

    def reembed(
        self,
        model: "LoadedModel | SupportsEmbedding",
        done: Callable[[int], None] = lambda crops: None,
    ) -> int:
        """Embed all crops with another model, and return how many were embedded.

        The gallery switches to the new model at the end, in one step, and must then be calibrated again. If
        the process is killed before, the gallery is unchanged, and the next call with that model continues.

        Args:
            model: the new model.
            done: called with the number of further crops processed.

        Raises:
            UserError: the gallery uses that model already, or the disk is full.
        """
        embedder = as_embedder(model)
        if embedder.fingerprint == self.metadata.model.fingerprint:
            raise UserError(f"The gallery {self.place} uses this model already.")
        with self._compacting:
            begun = self.metadata.reembedding
            if begun is None or begun.model.fingerprint != embedder.fingerprint or self._pending is None:
                begun = Reembedding(model=identity_of(embedder), store=self._next_name())
                layout = replace(self.metadata.layout, width=embedder.width)
                with self._changing:
                    abandoned, self._pending = self._backend.stores() - {self.metadata.store}, None
                    self._pending = self._backend.make_store(begun.store, layout)
                    self._update_metadata(reembedding=begun)
                for name in abandoned:
                    self._backend.drop_store(name)
            count = copy_crops(self._store, self._pending, self._changing, embedder, done)
            means = self._means_of(self._pending, begun.store, begun.model)
            means.renew(exactly=True)
            with self._changing:
                # crops may have been added, and forgotten, in the meantime
                if self._store.count(EVERYTHING) > self._pending.count(EVERYTHING):
                    count += copy_crops(
                        self._store, self._pending, self._changing, embedder, change=means.add
                    )
                means.recount()
                old, self._store, self._pending = self.metadata.store, self._pending, None
                self._means = means
                self._update_metadata(
                    model=begun.model, store=begun.store, calibration=None, reembedding=None
                )
                self._embedder = embedder
            self._backend.drop_store(old)
        return count

    def export(
        self, folder: Path, where: Filter = EVERYTHING, done: Callable[[int], None] = lambda crops: None
    ) -> int:
        """Write features, labels and pictures of the matching crops to a new folder; see ``exporting``."""
        from resight.gallery.exporting import export_crops

        return export_crops(self._store, self.metadata, self._means, folder, where, done)

    def _next_name(self) -> str:
        numbers = [int(name.rpartition("-")[2]) for name in self._backend.stores()]
        return f"{self.metadata.store.rpartition('-')[0]}-{max(numbers) + 1}"

"""Batches on the device: gathered from decoded pixels and augmented ahead, in a thread."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resight.data.augment import Augmentation, RandomResizedCrop
from resight.data.samplers import Sampler
from resight.draws import WHOLE, Part, drawing_for
from resight.imaging import Pixels
from resight.seeds import derive_seed
from resight.threads import computing_threads

AHEAD = 2
"""Batches that are prepared ahead."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Crops to train on.

    Attributes:
        images: uint8 [B, 3, H, W] on the device, channels_last in memory.
        persons: int64 [B] on the device, class of each crop.
        items: int64 [B] on the CPU, positions of the crops in the loader's pixels.
        part: of the sampler's batch.
    """

    images: Tensor
    persons: Tensor
    items: Tensor
    part: Part


class RedrawnPixels(Protocol):
    """N pictures that change with the number of times that they were taken."""

    def __len__(self) -> int:
        """Return N."""

    def crops(self, items: NDArray[np.int64], earlier: NDArray[np.int64]) -> Pixels:
        """Return pictures uint8 [B, H, W, 3].

        Args:
            items: int64 [B], which.
            earlier: int64 [B], how often each was taken before.
        """


class Loader:
    """The batches of a training set.

    Args:
        pixels: uint8 [N, H, W, 3], such as ``PixelCache.pixels``; or pictures that are drawn when taken.
        person_classes: int64 [N], 0 to persons - 1.
        sampler: chooses the crops of each batch.
        augmentations: applied to each batch in this order.
        device: where batches go, and where they are augmented.
        seed: of the run; the augmentation of a step depends on (seed, epoch, step) alone.
        aspects: float32 [N], height / width of each picture before it was resized to H x W, for augmentations
            that use it; by default that of the pixels.
        parts: the parts of each batch to yield, one after the other; the whole by default. Each is augmented
            as it would be within the whole batch.
        taken: int64 [N], how often each crop was taken in earlier stages; not at all by default.
        first_epoch: number of the first epoch of this loader within the run.
    """

    def __init__(
        self,
        pixels: Pixels | RedrawnPixels,
        person_classes: NDArray[np.int64],
        sampler: Sampler,
        augmentations: Sequence[Augmentation],
        device: torch.device,
        seed: int,
        aspects: NDArray[np.float32] | None = None,
        parts: Sequence[Part] = (WHOLE,),
        taken: NDArray[np.int64] | None = None,
        first_epoch: int = 0,
    ) -> None:
        self.parts = tuple(parts)
        self.pixels, self.sampler, self.augmentations = pixels, sampler, tuple(augmentations)
        self.persons = torch.from_numpy(person_classes)
        self.device, self.seed, self.first_epoch = device, seed, first_epoch
        self.aspects = None if aspects is None else torch.from_numpy(aspects)
        self._taken = np.zeros(len(pixels), dtype=np.int64) if taken is None else taken

    def __len__(self) -> int:
        """Return the number of batches in every epoch."""
        return len(self.sampler)

    @cached_property
    def batch_sizes(self) -> list[int]:
        """Crops of each whole batch of an epoch; every epoch has the same."""
        return [len(batch) for batch in self.sampler.batches(0)]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the parts of the epoch's batches from step ``start`` on.

        Errors in the thread are raised here; the thread ends with the iterator.
        """
        batches = self.sampler.batches(epoch)
        earlier = self._earlier(epoch, batches)
        waiting: deque[Future[Batch]] = deque()
        # With more cores, its threads and the model's wait for each other (on two busy cores, augmentation
        # took ten times as long).
        pool = computing_threads(1, 1, "loader")
        try:
            for step, part in product(range(start, len(batches)), self.parts):
                rows = part.rows(len(batches[step]))
                counts = None if earlier is None else earlier[step][rows]
                waiting.append(pool.submit(self._batch, batches[step][rows], counts, epoch, step, part))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def taken_before(self, epoch: int) -> NDArray[np.int64]:
        """Return how often each crop was taken, int64 [N], before an epoch of the run."""
        counts = self._taken.copy()
        for one in range(self.first_epoch, epoch):
            counts += np.bincount(np.concatenate(self.sampler.batches(one)), minlength=len(counts))
        return counts

    def _earlier(self, epoch: int, batches: list[NDArray[np.int64]]) -> list[NDArray[np.int64]] | None:
        """Return for each place of the epoch's batches how often its crop was taken before it.

        None if it does not matter, because the pictures do not change.
        """
        if isinstance(self.pixels, np.ndarray):
            return None
        items = np.concatenate(batches)
        order = np.argsort(items, kind="stable")
        found = np.empty_like(items)
        first = np.searchsorted(items[order], items[order])
        found[order] = np.arange(len(items)) - first
        found += self.taken_before(epoch)[items]
        return np.split(found, np.cumsum([len(batch) for batch in batches])[:-1])

    def _batch(
        self,
        indices: NDArray[np.int64],
        earlier: NDArray[np.int64] | None,
        epoch: int,
        step: int,
        part: Part,
    ) -> Batch:
        items = torch.from_numpy(indices)
        if isinstance(self.pixels, np.ndarray):
            pixels: Pixels = self.pixels[indices]
        else:
            assert earlier is not None
            pixels = self.pixels.crops(indices, earlier)
        images, persons = torch.from_numpy(pixels).permute(0, 3, 1, 2), self.persons[items]
        if self.device.type == "cuda":
            images = images.pin_memory()
        images = images.to(self.device, non_blocking=True)
        persons = persons.to(self.device)
        generator = torch.Generator(self.device).manual_seed(derive_seed(self.seed, "augment", epoch, step))
        with drawing_for(part):
            for augment in self.augmentations:
                if isinstance(augment, RandomResizedCrop) and self.aspects is not None:
                    images = augment(images, generator, self.aspects[items].to(self.device))
                else:
                    images = augment(images, generator)
        return Batch(images, persons, items, part)

"""Samplers choose the crops of each batch, as a function of (seed, epoch) alone."""

from typing import Annotated, Literal
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from resight.errors import UserError
from resight.registry import Registry
from resight.seeds import derive_seed

Indices = NDArray[np.int64]


class Sampler(Interface):
    """Makes the batches of an epoch. Built as ``SAMPLERS.build(name, persons, seed, cameras, **settings)``.

    ``persons`` is int64 [N], the person of each training crop; a batch is int64 indices into it. ``cameras``,
    int64 [N] or None, has -1 where a crop's camera is not known.
    """

    def batches(self, epoch: int) -> list[Indices]:
        """Return the epoch's batches."""

    def __len__(self) -> int:
        """Return the number of batches in every epoch."""


SAMPLERS: Registry[Sampler] = Registry("sampler", "resight.data")


@SAMPLERS.register("random")
class RandomSampler:
    """Every crop once per epoch, in random order.

    The last batch is smaller if the number of crops is no multiple of ``batch_size``; a single remaining crop
    joins the batch before, because batch normalisation cannot train on one crop.

    Args:
        persons: int64 [N]. cameras: not used.
        seed: of the run.
        batch_size: crops per batch, two or more.
        drop_last: leave a smaller last batch out.

    Raises:
        UserError: there are too few crops for a batch.
    """

    def __init__(
        self,
        persons: Indices,
        seed: int,
        cameras: Indices | None = None,
        *,
        batch_size: Annotated[int, Field(ge=2)] = 32,
        drop_last: bool = False,
    ) -> None:
        self.crops, self.seed, self.batch_size = len(persons), seed, batch_size
        least = batch_size if drop_last else 2
        if self.crops < least:
            raise UserError(f"A batch needs {least} crops, but there are {self.crops} to train on.")
        full, rest = divmod(self.crops, batch_size)
        self.steps = full + (rest > 1 and not drop_last)
        self.used = full * batch_size if drop_last else self.crops

    def batches(self, epoch: int) -> list[Indices]:
        """Return the epoch's batches: every crop in exactly one (without ``drop_last``)."""
        order = _generator(self.seed, epoch).permutation(self.crops)[: self.used]
        return np.split(order, np.arange(1, self.steps) * self.batch_size)

    def __len__(self) -> int:
        """Return the number of batches in every epoch."""
        return self.steps


@SAMPLERS.register("pk")
class PersonSampler:
    """P x K: each batch holds ``crops`` crops of each of ``persons`` persons, person by person.

    The crops of a person with fewer are repeated as evenly as possible. Persons come in random order, each
    once before any comes again; those left over that fill no batch wait for another epoch's order.

    Args:
        persons_of_crops: int64 [N]; crops with a negative number belong to nobody and are left out.
        seed: of the run.
        persons: P, persons per batch.
        crops: K, crops of each person.
        epoch: ``persons``: about every person once (751 persons, P = 32: 23 batches); ``crops``: as many
            crops as there are images; or the number of batches.
        balance_cameras: take a person's K crops from as many cameras as it has, equally often as far as
            possible, so that batches have pairs across cameras (as fast-reid's BalancedIdentitySampler).

    Raises:
        UserError: a batch needs more persons than there are; cameras to balance are not known.
    """

    def __init__(
        self,
        persons_of_crops: Indices,
        seed: int,
        cameras_of_crops: Indices | None = None,
        *,
        persons: Annotated[int, Field(ge=2)] = 16,
        crops: Annotated[int, Field(ge=1)] = 4,
        epoch: Literal["persons", "crops"] | Annotated[int, Field(ge=1)] = "persons",
        balance_cameras: bool = False,
    ) -> None:
        self.seed, self.persons, self.crops = seed, persons, crops
        order = np.argsort(persons_of_crops, kind="stable")[np.count_nonzero(persons_of_crops < 0) :]
        _, first = np.unique(persons_of_crops[order], return_index=True)
        self.crops_of = np.split(order, first[1:])
        if persons > len(first):
            raise UserError(
                f"A batch of {persons} persons is larger than the training set allows: it has {len(first)} "
                f"persons. Set the sampler's persons to {len(first)} or less."
            )
        self.cameras = cameras_of_crops if balance_cameras else None
        if balance_cameras and (self.cameras is None or (self.cameras[order] < 0).any()):
            raise UserError(
                "The sampler's balance_cameras needs the camera of every crop, and it is not known for "
                f"{len(order) if self.cameras is None else int((self.cameras[order] < 0).sum())} of "
                f"{len(order)}. Leave it out, or name the cameras in the files' names with --pattern."
            )
        self.steps_a_round = len(first) // persons
        steps = {"persons": self.steps_a_round, "crops": max(1, len(order) // (persons * crops))}
        self.steps = epoch if isinstance(epoch, int) else steps[epoch]

    def batches(self, epoch: int) -> list[Indices]:
        """Return the epoch's batches, each of exactly P * K indices, in groups of K."""
        generator = _generator(self.seed, epoch)
        chosen: list[NDArray[np.int64]] = []
        while len(chosen) < self.steps:
            order = generator.permutation(len(self.crops_of))[: self.steps_a_round * self.persons]
            chosen.extend(order.reshape(-1, self.persons)[: self.steps - len(chosen)])
        return [np.concatenate([self._draw(person, generator) for person in group]) for group in chosen]

    def __len__(self) -> int:
        """Return the number of batches in every epoch."""
        return self.steps

    def _draw(self, person: int, generator: np.random.Generator) -> Indices:
        order = generator.permutation(self.crops_of[person])
        if self.cameras is not None:  # each camera's first crop comes before any camera's second
            cameras = self.cameras[order]
            earlier = np.tril(cameras[:, None] == cameras, -1).sum(1)
            order = order[np.argsort(earlier, kind="stable")]
        return np.resize(order, self.crops)


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, "sampler", epoch))

"""A network that computes by the runtime that pays, which may change while it is used."""

from collections.abc import Callable, Mapping
from functools import partial
from threading import RLock
from time import perf_counter
from typing import Any

from torch import Tensor

from resight.errors import UserError
from resight.inference.runtimes.choice import (
    Choice,
    Compute,
    Runtime,
    choose,
    difference,
    kept_choice,
    sample_crops,
    seconds_of,
)
from resight.inference.runtimes.reasons import NAMES
from resight.progress import say

FEW = 4
"""Crops in a batch that is computed by the runtime for few."""

OPENING_PAYS = 3.0
"""Seconds of computing after which a runtime that was measured before is opened; that takes one or two."""

MEASURING_PAYS = 30.0
"""Seconds of computing after which runtimes are measured; that takes about ten."""

WORDS = {"torch": "PyTorch"} | {str(name): words for name, words in NAMES.items()}


class SwitchingCompute:
    """Describes batches of crops by the runtime that is named, or with ``auto`` by the fastest.

    With ``auto`` the first runtime computes until another pays, so that a short command prepares nothing.
    ``prepare`` decides at once.

    Args:
        runtime: that is wanted.
        candidates: runtime -> what opens it; the others are compared with the first.
        key: ``choice.machine_key``, called when it is needed.
        size: height and width of the crops.
        precision: float32 or bfloat16.

    Attributes:
        choice: which runtimes compute, as it is now.

    Raises:
        UserError: the runtime is none of the candidates, cannot be opened, or computes something else.
    """

    def __init__(
        self,
        runtime: Runtime,
        candidates: Mapping[str, Callable[[], Compute]],
        key: Callable[[], Mapping[str, Any]],
        size: tuple[int, int],
        precision: str,
    ) -> None:
        self._candidates, self._key, self._size, self._precision = candidates, key, size, precision
        self._first = next(iter(candidates))
        self._opened: dict[str, Compute] = {}
        self._lock = RLock()
        self._spent, self._due = 0.0, OPENING_PAYS
        self.choice = Choice(one=self._first, many=self._first, rates={}, refused={})
        self._decided = runtime in (self._first, "auto") and (len(candidates) == 1 or runtime != "auto")
        if runtime not in (self._first, "auto"):
            self._take(self._named(runtime))

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the descriptors [B, D] of one batch of crops uint8 [B, H, W, 3]."""
        if not self._decided and self._spent > self._due:
            self._reconsider()
        compute = self._open(self.choice.one if len(pixels) <= FEW else self.choice.many)
        start = perf_counter()
        found = compute(pixels)
        self._spent += perf_counter() - start
        return found

    @property
    def runtime(self) -> str:
        """The runtime that computes large batches, as it is now."""
        return self.choice.many

    def open(self) -> None:
        """Open the runtime that computes now, which the first call does otherwise."""
        self._open(self.choice.one)

    def prepare(self, crops: int | None = None) -> None:
        """Decide which runtime computes from now on; measure where that was not done yet and pays.

        Args:
            crops: that will be embedded; None where nobody knows, as in a service.
        """
        with self._lock:
            if self._decided:
                return
            if (choice := self._worth_it(crops)) is not None:
                self._take(choice)
            self._decided = True

    def describe(self) -> str:
        """Return in words what computes, and why others do not."""
        choice = self.choice
        words = f"{WORDS[choice.many]}, {self._precision}"
        if choice.many != (first := next(iter(choice.rates), choice.many)):
            gain = choice.rates[choice.many][1] / choice.rates[first][1]
            words += f" (measured here: {gain:.2f} times as fast as {WORDS[first]})"
        return words + "".join(
            f". {WORDS[name]} is not used: {reason.rstrip('.')}" for name, reason in choice.refused.items()
        )

    def _worth_it(self, crops: int | None) -> Choice | None:
        kept = kept_choice(self._key())
        if crops is None:
            return kept or self._measured()
        if kept is not None:
            slow, fast = kept.rates.get(self._first), kept.rates[kept.many]
            return kept if slow is None or crops / slow[1] - crops / fast[1] > OPENING_PAYS else None
        sample = sample_crops(self._size)
        first = self._open(self._first)
        first(sample)
        return self._measured() if seconds_of(first, sample) * crops / len(sample) > MEASURING_PAYS else None

    def _measured(self) -> Choice:
        say("Measuring which runtime computes this model fastest here. The result is kept.")
        return choose(self._key(), {name: partial(self._open, name) for name in self._candidates}, self._size)

    def _reconsider(self) -> None:
        with self._lock:
            if self._decided:
                return
            if (kept := kept_choice(self._key())) is not None:
                self._take(kept)
            elif self._spent > MEASURING_PAYS:
                self._take(self._measured())
            else:
                self._due = MEASURING_PAYS

    def _named(self, runtime: Runtime) -> Choice:
        if runtime not in self._candidates:
            usable = " or ".join(self._candidates)
            raise UserError(f"{WORDS[runtime]} cannot compute this network. Use --runtime {usable}.")
        kept = kept_choice(self._key())
        if kept is None or runtime not in kept.rates:
            crops = sample_crops(self._size)
            found, expected = self._open(runtime)(crops), self._open(self._first)(crops)
            if (reason := difference(found, expected, self._precision)) is not None:
                raise UserError(
                    f"{WORDS[runtime]} does not compute what {WORDS[self._first]} computes: {reason}. Use "
                    f"--runtime {self._first}."
                )
        return Choice(one=runtime, many=runtime, rates={}, refused={})

    def _take(self, choice: Choice) -> None:
        self.choice, self._decided = choice, True
        for name in set(self._opened) - {choice.one, choice.many}:
            del self._opened[name]

    def _open(self, name: str) -> Compute:
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._candidates[name]()
            return self._opened[name]

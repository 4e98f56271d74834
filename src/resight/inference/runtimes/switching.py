"""Switching a network to a faster runtime while it is in use, once that saves time."""

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
"""Largest batch that the runtime for a few crops computes."""

OPENING_PAYS = 3.0
"""Seconds of computing after which it pays to open a runtime measured before; opening takes one or two."""

MEASURING_PAYS = 30.0
"""Seconds of computing after which it pays to measure the runtimes; measuring takes about ten."""

WORDS = {"torch": "PyTorch"} | {str(name): words for name, words in NAMES.items()}


class SwitchingCompute:
    """Embeds batches of crops with the named runtime, or with ``auto`` the fastest.

    With ``auto``, the first runtime computes until it pays to open or measure others, so that short commands
    are not delayed. ``prepare`` chooses at once.

    Args:
        runtime: name of the runtime, or ``auto``.
        candidates: runtime -> function that opens it; the first is the reference for the others' vectors.
        key: returns ``choice.machine_key``; called when it is needed.
        size: height and width of the crops.
        precision: float32 or bfloat16.

    Attributes:
        choice: the runtimes in use.

    Raises:
        UserError: the runtime is not a candidate, cannot be opened, or returns other vectors than the first.
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
        """Name of the runtime in use for large batches."""
        return self.choice.many

    def open(self) -> None:
        """Open the runtime in use now instead of in the first call."""
        self._open(self.choice.one)

    def prepare(self, crops: int | None = None) -> None:
        """Choose the runtime from now on, by measurement if that has not been done and saves time.

        Args:
            crops: number of crops to embed; None if unknown, as in a service.
        """
        with self._lock:
            if self._decided:
                return
            if (choice := self._worth_it(crops)) is not None:
                self._take(choice)
            self._decided = True

    def describe(self) -> str:
        """Return which runtime is used, and why others are not, for users."""
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
        say("Measuring which runtime is fastest for this model. The result is kept for the next time.")
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
                    f"{WORDS[runtime]} returns other vectors than {WORDS[self._first]}: {reason}. Use "
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

"""Which of several input formats lets a network find persons, tried on the first pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from resight.ingest.boxes import Floats

LIKELY = 0.3
"""Lowest score of a box that counts."""

ENOUGH = 4.0
"""Sum of scores at which the best format is taken, if it is also ``AHEAD`` times that of every other one."""

AHEAD = 2.0

LONGEST = 50
"""Pictures with persons after which the best format is taken, however small its lead."""


SELDOM = 20
"""After so many pictures without a person, only one in as many is tried with more than one format."""


class Trial:
    """Collects evidence until one format is clearly the best; until then, all are tried on each picture.

    Args:
        words: name of each format, the likeliest first.
        empty: scores [N] of the persons found with each format in an empty grey picture. One with some is
            wrong, unless all have some.

    Attributes:
        open: numbers of the formats that are still in question.
    """

    def __init__(self, words: Sequence[str], empty: Sequence[Floats]) -> None:
        self._words = words
        right = [at for at, scores in enumerate(empty) if not _likely(scores)]
        self.open = right or list(range(len(words)))
        self._sums, self._boxes = [0.0] * len(words), [0] * len(words)
        self._pictures = self._tried = 0

    def due(self) -> list[int]:
        """Return the formats to try on the next picture."""
        waiting = not self._pictures and self._tried >= SELDOM
        return self.open[:1] if waiting and self._tried % SELDOM else self.open

    def judge(self, scores: Mapping[int, Floats]) -> int:
        """Take a picture's scores [N] with each format that was due, and return the best format so far."""
        if len(self.open) > 1:
            for at, found in scores.items():
                self._sums[at] += sum(_likely(found))
                self._boxes[at] += len(_likely(found))
            self._tried += 1
            self._pictures += any(map(_likely, scores.values()))
            best, second = sorted(self._sums, reverse=True)[:2]
            if (best >= ENOUGH and best >= AHEAD * second) or self._pictures >= LONGEST:
                self.open = [self._best()]
        return self._best()

    def note(self) -> str:
        """Return what was found, for messages; "" if nothing was tried."""
        if len(self._words) == 1 or (len(self.open) > 1 and not self._tried):
            return ""
        best = self._best()
        others = [at for at in range(len(self._words)) if at != best]
        if len(self.open) > 1 and not self._pictures:
            return f"finds no person with {' or '.join(self._words)}."
        if not self._pictures:
            wrong = " or ".join(self._words[at] for at in others)
            return f"gets {self._words[best]}: with {wrong} it finds persons in an empty picture."
        found = ", ".join(f"{self._boxes[at]} with {self._words[at]}" for at in others)
        return (
            f"gets {self._words[best]}: with it, {self._boxes[best]} persons are found in the first "
            f"{self._pictures} pictures with any, and {found}."
        )

    def state(self) -> dict[str, Any]:
        """Return the evidence as data for JSON."""
        evidence = {"open": self.open, "sums": self._sums, "boxes": self._boxes}
        return evidence | {"pictures": self._pictures, "tried": self._tried}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state returned by ``state``."""
        self.open, self._sums, self._boxes = list(state["open"]), list(state["sums"]), list(state["boxes"])
        self._pictures, self._tried = state["pictures"], state["tried"]

    def _best(self) -> int:
        return max(self.open, key=lambda at: self._sums[at])


def _likely(scores: Floats) -> list[float]:
    return [score for score in scores.tolist() if score >= LIKELY]

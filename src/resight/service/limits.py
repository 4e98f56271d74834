"""What a request may ask for, and the refusal of one that asks for more."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from fastapi import HTTPException

CLIENTS = 10_000
"""Callers whose rates are remembered; the one seen longest ago is dropped."""


class Refusal(HTTPException):
    """A request that is not answered, and the sentence that says why."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, sentence, headers)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request.

    Attributes:
        upload_bytes: of its body.
        body_seconds: within which its body must have come.
        pixels: of one picture.
        pictures: that it brings.
        top: matches or crops that it returns.
        offset: matches that it skips.
        case_crops: that it exports, marks or forgets by their ids.
        words: of a text that is stored, in characters.
        a_minute: requests of one caller; None for any number.
        wrong_tokens_a_minute: of one address.
    """

    upload_bytes: int = 32 * 2**20
    body_seconds: float = 60.0
    pixels: int = 25_000_000
    pictures: int = 16
    top: int = 200
    offset: int = 10_000
    case_crops: int = 1_000
    words: int = 200
    a_minute: int | None = None
    wrong_tokens_a_minute: int = 10


class RateLimit:
    """Counts what callers do: so many a minute each, saved up for a minute at most.

    Args:
        a_minute: how many.
    """

    def __init__(self, a_minute: int) -> None:
        self._most = float(a_minute)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, caller: str, count: float = 1.0) -> float:
        """Count something; return 0, or after how many seconds the caller may try again."""
        now = time.monotonic()
        with self._lock:
            left, last = self._left.pop(caller, (self._most, now))
            left = min(self._most, left + (now - last) * self._most / 60)
            granted = left >= count
            self._left[caller] = (left - count if granted else left, now)
            if len(self._left) > CLIENTS:
                self._left.popitem(last=False)
        return 0.0 if granted else max(1.0, (count - left) * 60 / self._most)

"""Limits of requests, and the error for refused ones."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from fastapi import HTTPException

CLIENTS = 10_000
"""Number of callers to track; the one seen longest ago is dropped."""


class Refusal(HTTPException):
    """A refused request: HTTP status and reason."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, sentence, headers)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request.

    Attributes:
        upload_bytes: size of the body.
        body_seconds: time for the body to arrive.
        pixels: pixels of a picture.
        pictures: number of pictures.
        top: matches or crops to return.
        offset: matches to skip.
        case_crops: number of crop ids.
        words: characters of a stored text.
        requests_per_minute: for each caller; None for no limit.
        failed_logins_per_minute: for each address.
    """

    upload_bytes: int = 32 * 2**20
    body_seconds: float = 60.0
    pixels: int = 25_000_000
    pictures: int = 16
    top: int = 200
    offset: int = 10_000
    case_crops: int = 1_000
    words: int = 200
    requests_per_minute: int | None = None
    failed_logins_per_minute: int = 10


class RateLimit:
    """A token bucket for each caller, which is full after one minute.

    Args:
        requests_per_minute: capacity of a bucket.
    """

    def __init__(self, requests_per_minute: int) -> None:
        self._most = float(requests_per_minute)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, caller: str, count: float = 1.0) -> float:
        """Take from the caller's bucket; return 0, or the seconds to wait if there is not enough."""
        now = time.monotonic()
        with self._lock:
            left, last = self._left.pop(caller, (self._most, now))
            left = min(self._most, left + (now - last) * self._most / 60)
            granted = left >= count
            self._left[caller] = (left - count if granted else left, now)
            if len(self._left) > CLIENTS:
                self._left.popitem(last=False)
        return 0.0 if granted else max(1.0, (count - left) * 60 / self._most)

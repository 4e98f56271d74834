"""Limits of requests, and the error for those that exceed them."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from fastapi import HTTPException

CLIENTS = 10_000
"""Callers whose rates are kept; the one seen longest ago is dropped."""


class Refusal(HTTPException):
    """The refusal of a request: a status, and a sentence that says why."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, sentence, headers)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request.

    Attributes:
        upload_bytes: of its body.
        body_seconds: within which its body must arrive.
        pixels: of one picture.
        pictures: in it.
        top: matches or crops to return.
        offset: matches to skip.
        case_crops: ids of crops in it.
        words: characters of a text that is stored.
        requests_per_minute: requests of one caller in a minute; None for no limit.
        failed_logins_per_minute: of one address.
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
    """A token bucket for each caller, which holds what fills it in a minute.

    Args:
        requests_per_minute: requests in a minute.
    """

    def __init__(self, requests_per_minute: int) -> None:
        self._most = float(requests_per_minute)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, caller: str, count: float = 1.0) -> float:
        """Take from the caller's bucket; return 0, or the seconds to wait if it has too little."""
        now = time.monotonic()
        with self._lock:
            left, last = self._left.pop(caller, (self._most, now))
            left = min(self._most, left + (now - last) * self._most / 60)
            granted = left >= count
            self._left[caller] = (left - count if granted else left, now)
            if len(self._left) > CLIENTS:
                self._left.popitem(last=False)
        return 0.0 if granted else max(1.0, (count - left) * 60 / self._most)

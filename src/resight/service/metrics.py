"""Metrics of a service, in Prometheus' text format."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
PICTURES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self.requests = Counter(
            "resight_requests", "Requests by route, method and status.", ["route", "method", "status"],
            registry=self._registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "resight_request_seconds", "Time of requests by route.", ["route"], buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self.batches = Histogram(
            "resight_batch_pictures", "Pictures that the model embedded at once.", buckets=PICTURES,
            registry=self._registry,
        )  # fmt: skip
        self.searches = Counter("resight_searches", "Searches.", registry=self._registry)
        self.added = Counter("resight_crops_added", "Crops added.", registry=self._registry)
        self.forgotten = Counter("resight_crops_forgotten", "Crops deleted.", registry=self._registry)
        self._crops = Gauge("resight_gallery_crops", "Crops in the gallery.", registry=self._registry)

    def watch(self, crops: Callable[[], int]) -> None:
        """Set the function that returns the number of crops."""
        self._crops.set_function(crops)

    def text(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self._registry)

"""Batching: pictures of several requests that arrive while the model computes are embedded together."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

from resight.imaging import Pixels
from resight.inference.embedder import SupportsEmbedding, Vectors

MAX_BATCH = 16
"""Most pictures in a batch; a request with more of them is a separate batch.

Larger batches would save little (HAN(Small), processor time: 22 ms for one picture alone, 4.0 for each of 16,
3.1 for each of 64) and need more memory, because buffers for each batch size are kept (440 MB for all
sizes to 16, 1,650 MB to 64).
"""


@dataclass(frozen=True, slots=True)
class _Job:
    pictures: Sequence[Pixels]
    result: "Future[Vectors]" = field(default_factory=Future)


class Batcher:
    """An embedder that combines the calls of many threads into batches.

    A batch starts as soon as the model is free, with all calls waiting at that time. So no call waits for
    more to arrive, and batches grow with the load.

    Args:
        embedder: computes the batches.
        observe: called with the number of pictures and of requests in each batch.
    """

    def __init__(
        self, embedder: SupportsEmbedding, observe: Callable[[int, int], None] = lambda count, jobs: None
    ) -> None:
        self.fingerprint, self.name = embedder.fingerprint, embedder.name
        self.width, self.weights, self.on_cpu = embedder.width, embedder.weights, embedder.on_cpu
        self.precision = embedder.precision
        self.trained_cameras = getattr(embedder, "trained_cameras", ())
        self._embedder, self._observe = embedder, observe
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="resight-batcher", daemon=True)
        self._thread.start()

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Return the pictures at the model's input size."""
        return self._embedder.preprocess(pictures)

    def __call__(self, pictures: Sequence[Pixels]) -> Vectors:
        """Embed pictures; return when their batch is done."""
        job = _Job(pictures)
        self._waiting.put(job)
        return job.result.result()

    def close(self) -> None:
        """Finish the waiting calls, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            jobs, over = self._gather(first)
            pictures = [picture for job in jobs for picture in job.pictures]
            try:
                vectors = self._embedder(padded(pictures))[: len(pictures)]
            except Exception as error:  # raised in the waiting threads
                for job in jobs:
                    job.result.set_exception(error)
            else:
                self._observe(len(vectors), len(jobs))
                start = 0
                for job in jobs:
                    job.result.set_result(vectors[start : start + len(job.pictures)])
                    start += len(job.pictures)
            if over:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        """Return a job and the ones waiting behind it, and whether to stop after them."""
        jobs, count = [first], len(first.pictures)
        while count < MAX_BATCH:
            try:
                job = self._waiting.get_nowait()
            except Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            count += len(job.pictures)
        return jobs, False


def padded(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Repeat the last picture until there are 2, 4, 8 or 16, because each batch size needs buffers."""
    whole = min(1 << (len(pictures) - 1).bit_length(), max(MAX_BATCH, len(pictures)))
    return [*pictures, *([pictures[-1]] * (whole - len(pictures)))]

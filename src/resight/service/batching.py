"""One model for many requests: pictures that arrive while it computes are embedded together."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

from resight.imaging import Pixels
from resight.inference.embedder import SupportsEmbedding, Vectors

MOST = 16
"""Pictures in a batch; a request with more of them is a batch of its own.

Larger batches would save little (HAN(Small), processor time: 22 ms for one picture alone, 4.0 for each of 16,
3.1 for each of 64) and cost memory, as buffers for each batch size are kept (440 MB for all sizes to 16,
1,650 MB to 64).
"""


@dataclass(frozen=True, slots=True)
class _Job:
    pictures: Sequence[Pixels]
    result: "Future[Vectors]" = field(default_factory=Future)


class Batcher:
    """``SupportsEmbedding`` for any number of threads, in front of one that computes.

    A batch starts as soon as the model is free, with all calls that wait then. So no call waits for others,
    and the busier the service, the larger the batches.

    Args:
        embedder: the model.
        observe: is called with the number of pictures and of requests of each batch.
    """

    def __init__(
        self, embedder: SupportsEmbedding, observe: Callable[[int, int], None] = lambda count, jobs: None
    ) -> None:
        self.fingerprint, self.name = embedder.fingerprint, embedder.name
        self.width, self.weights, self.on_cpu = embedder.width, embedder.weights, embedder.on_cpu
        self.precision = embedder.precision
        self._embedder, self._observe = embedder, observe
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="resight-batcher", daemon=True)
        self._thread.start()

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Return the pictures at the model's input size."""
        return self._embedder.preprocess(pictures)

    def __call__(self, pictures: Sequence[Pixels]) -> Vectors:
        """Embed pictures; returns when their batch is done."""
        job = _Job(pictures)
        self._waiting.put(job)
        return job.result.result()

    def close(self) -> None:
        """Finish the waiting calls, and stop."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            jobs, over = self._gather(first)
            pictures = [picture for job in jobs for picture in job.pictures]
            try:
                vectors = self._embedder(padded(pictures))[: len(pictures)]
            except Exception as error:  # raised in the threads that wait
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
        """Return a job and those that wait after it, and whether to stop after them."""
        jobs, count = [first], len(first.pictures)
        while count < MOST:
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
    """Return the pictures, the last one repeated up to 2, 4, 8 or 16: few batch sizes need few buffers."""
    whole = min(1 << (len(pictures) - 1).bit_length(), max(MOST, len(pictures)))
    return [*pictures, *([pictures[-1]] * (whole - len(pictures)))]

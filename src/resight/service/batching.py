"""One model for many requests: pictures that wait while it computes are described together."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

from resight.imaging import Pixels
from resight.inference.embedder import SupportsEmbedding, Vectors

MOST = 16
"""Pictures that are described at once; a request that brings more of them is described alone.

More would save little (HAN(Small), processor time: 22 ms for one picture alone, 4.0 for each of 16, 3.1 for
each of 64) and cost memory, because what each size of batch needs is kept (440 MB after all sizes to 16,
1,650 MB to 64).
"""


@dataclass(frozen=True, slots=True)
class _Job:
    pictures: Sequence[Pixels]
    result: "Future[Vectors]" = field(default_factory=Future)


class Batcher:
    """``SupportsEmbedding`` that may be called from any number of threads, in front of one that computes.

    A call is taken up as soon as the model is free, with all that came meanwhile: nobody waits for others to
    come, and the busier the service, the larger the batches.

    Args:
        embedder: the model.
        told: is called with the number of pictures and of requests of each batch.
    """

    def __init__(
        self, embedder: SupportsEmbedding, told: Callable[[int, int], None] = lambda count, jobs: None
    ) -> None:
        self.fingerprint, self.name = embedder.fingerprint, embedder.name
        self.width, self.weights, self.on_cpu = embedder.width, embedder.weights, embedder.on_cpu
        self._embedder, self._told = embedder, told
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="resight-batcher", daemon=True)
        self._thread.start()

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Return the pictures at the size that the model takes."""
        return self._embedder.preprocess(pictures)

    def __call__(self, pictures: Sequence[Pixels]) -> Vectors:
        """Describe pictures; returns when the batch that they are in is done."""
        job = _Job(pictures)
        self._waiting.put(job)
        return job.result.result()

    def close(self) -> None:
        """Finish what waits, and stop."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            jobs, over = self._gather(first)
            pictures = [picture for job in jobs for picture in job.pictures]
            try:
                vectors = self._embedder(filled_up(pictures))[: len(pictures)]
            except Exception as error:  # of the model's or of the machine's making: who waits is told
                for job in jobs:
                    job.result.set_exception(error)
            else:
                self._told(len(vectors), len(jobs))
                start = 0
                for job in jobs:
                    job.result.set_result(vectors[start : start + len(job.pictures)])
                    start += len(job.pictures)
            if over:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        """Return a job and those that wait behind it, and whether the end came."""
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


def filled_up(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Return the pictures, and the last again up to 2, 4, 8 or 16: few sizes of batch keep little memory."""
    whole = min(1 << (len(pictures) - 1).bit_length(), max(MOST, len(pictures)))
    return [*pictures, *([pictures[-1]] * (whole - len(pictures)))]

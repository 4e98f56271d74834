"""Threads that compute in parallel with others, and the number of cores available."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import device

S = TypeVar("S")
T = TypeVar("T")


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def computing_threads(count: int, cores: int, name: str) -> ThreadPoolExecutor:
    """Return a pool of threads that compute on ``cores`` cores each; other threads are unaffected.

    Threads that compute on more cores than are idle wait for each other. PyTorch's setting of one thread
    becomes the default of those that start later, so all of these start now, and the default is then
    restored.
    """
    import torch  # here, because importing it takes a second, which reading a gallery need not wait for

    def begin() -> None:
        torch.set_num_threads(cores)
        torch.get_num_threads()  # applies the number now, not later

    before, all_there = torch.get_num_threads(), Barrier(count)
    pool = ThreadPoolExecutor(count, name, initializer=begin)
    list(pool.map(lambda _: all_there.wait(), range(count)))
    torch.set_num_threads(before)
    return pool


class Workers:
    """Threads of one core each, for operations that PyTorch itself runs on one core.

    Args:
        device: of the tensors; only a CPU with several cores gets threads.

    Attributes:
        count: number of threads; 1 means the caller's own.
    """

    def __init__(self, device: "device") -> None:
        import torch

        self.count = torch.get_num_threads() if device.type == "cpu" else 1
        self._pool = computing_threads(self.count, 1, "worker") if self.count > 1 else None

    def map(self, work: Callable[[S], T], parts: Iterable[S]) -> list[T]:
        """Return ``work`` of each part, in order, without gradients."""
        import torch

        without_gradients = torch.no_grad()(work)  # gradients are switched off per thread
        if self._pool is None:
            return [without_gradients(part) for part in parts]
        return list(self._pool.map(without_gradients, parts))

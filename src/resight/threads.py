"""Threads that compute in parallel with others, and the number of cores available."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier


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

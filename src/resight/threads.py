"""Threads that compute beside others, and the cores that there are for them."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def computing_threads(count: int, cores: int, name: str) -> ThreadPoolExecutor:
    """Return threads that compute on so many cores each; all others go on as they did.

    A thread that computes on more cores than it finds idle waits for the threads that it starts there, and
    they for each other. What a thread sets becomes the default of those that start later: so all of these
    start now, take their number, and the default is put back.
    """
    import torch  # here, as whoever only looks into a gallery waits a second for it

    def begin() -> None:
        torch.set_num_threads(cores)
        torch.get_num_threads()  # takes the number now, not later

    before, all_there = torch.get_num_threads(), Barrier(count)
    pool = ThreadPoolExecutor(count, name, initializer=begin)
    list(pool.map(lambda _: all_there.wait(), range(count)))
    torch.set_num_threads(before)
    return pool

"""Threads compute on the cores that they were given, and leave others alone."""

import threading

import torch

from resight.threads import computing_threads


def cores() -> int:
    torch.ones(10**6).sum()  # a thread takes its number at its first computation
    return torch.get_num_threads()


def test_threads_have_their_cores_and_others_keep_theirs() -> None:
    before, later = torch.get_num_threads(), []
    try:
        torch.set_num_threads(3)
        with computing_threads(4, 2, "some") as pool:
            all_there = threading.Barrier(4)
            inside = list(pool.map(lambda _: (all_there.wait(), cores())[1], range(4)))
            thread = threading.Thread(target=lambda: later.append(cores()))
            thread.start()
            thread.join()
            assert inside == [2] * 4
            assert (cores(), later) == (3, [3])
    finally:
        torch.set_num_threads(before)

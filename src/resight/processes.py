"""Processes that work together, started by torchrun on one or several machines."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count as numbers
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed
from torch.distributed.constants import default_pg_timeout
from torch.distributed.rendezvous import rendezvous

from resight.errors import UserError
from resight.interruption import ending_at_once
from resight.program import STARTED

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""How long processes wait for one that evaluates or writes. A dead one is noticed at once."""

STORE_PATIENCE = timedelta(minutes=1)
"""How long to try to reach torchrun, which was there first: if it is not, it has ended."""

_groups = numbers()


class Processes:
    """A group of processes that work together.

    Args:
        rank: number of this process, from 0.
        count: number of processes.
        store: for shared counters; None for a single process.
        advice: how to go on after another process has stopped.
    """

    def __init__(self, rank: int, count: int, store: "Store | None" = None, advice: str = "") -> None:
        self.rank, self.count, self._store, self._advice = rank, count, store, advice
        self._counts: Counter[str] = Counter()

    def add(self, name: str, amount: int) -> int:
        """Add to a counter shared by all processes, and return its new value; it starts at 0."""
        if self._store is not None:
            return int(self._store.add(f"resight/{name}", amount))
        self._counts[name] += amount
        return self._counts[name]

    def broadcast(self, value: T) -> T:
        """Return the value of process 0 (picklable data) in all processes.

        Raises:
            UserError: another process has stopped.
        """
        if self._store is None:
            return value
        values = [value]
        with self.user_errors():
            distributed.broadcast_object_list(values, src=0)
        return values[0]

    def once(self, work: Callable[[], T]) -> T:
        """Let process 0 do the work, and return its result (picklable data) in all processes.

        Raises:
            UserError: process 0 could not do it, or another process has stopped.
        """
        return self.broadcast(work() if self.rank == 0 else None)  # type: ignore[return-value]

    def any(self, flag: bool) -> bool:
        """Return whether the flag is true in any of the processes.

        Raises:
            UserError: another process has stopped.
        """
        if self._store is None:
            return flag
        flags = torch.tensor(flag, dtype=torch.uint8)
        with self.user_errors():
            distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags)

    def wait(self) -> None:
        """Wait for all processes.

        Raises:
            UserError: another process has stopped.
        """
        if self._store is not None:
            with self.user_errors():
                distributed.barrier()

    @contextmanager
    def user_errors(self) -> Iterator[None]:
        """Turn the error that a stopped process causes in this one into a sentence."""
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not _is_of_connection(error):
                raise
            sentence = f"Another process has stopped; see its message. This one stops too. {self._advice}"
            raise UserError(sentence.rstrip()) from error


@contextmanager
def together(device: torch.device | None = None, advice: str = "") -> Iterator[Processes]:
    """Join the processes that torchrun started; without torchrun, a single one.

    Args:
        device: where the tensors are that the processes exchange; none are on a GPU by default.
        advice: see ``Processes``.

    Raises:
        UserError: torchrun has ended.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(0, 1)
        return
    from torch._C._distributed_c10d import PrefixStore

    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    ended = UserError("torchrun, which started this process, has ended.")
    if by_torchrun and STARTED[0] == os.getpid() and STARTED[1] != os.getppid():
        raise ended  # else this process would join those of the next torchrun at the same port
    limit = STORE_PATIENCE if by_torchrun else default_pg_timeout
    try:
        with ending_at_once():
            store, rank, count = next(rendezvous("env://", timeout=limit))
        # so that a program can do this several times
        store = PrefixStore(f"resight/{next(_groups)}", store)
        _meet(store, count)
        store.set_timeout(default_pg_timeout)  # NCCL waits by it for the first process, later
    except distributed.DistNetworkError as error:
        if not by_torchrun:
            raise
        raise ended from error
    backend = "gloo"
    if device is not None and device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    with ending_at_once():
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    try:
        yield Processes(rank, count, store, advice)
    finally:
        distributed.destroy_process_group()


def _meet(store: "Store", count: int) -> None:
    """Wait for all processes.

    They are not connected yet, so the end of one is not noticed, and PyTorch's own wait for it cannot be
    interrupted.
    """
    store.add("here", 1)
    while store.add("here", 0) < count:
        time.sleep(0.02)


def _is_of_connection(error: RuntimeError) -> bool:
    text = str(error)
    return isinstance(error, distributed.DistError) or any(word in text for word in ("gloo", "Gloo", "NCCL"))

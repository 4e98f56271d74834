"""Processes that embed together, started by torchrun on one or several machines."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from torch import distributed
from torch.distributed.rendezvous import rendezvous

from resight.errors import UserError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

T = TypeVar("T")


class Processes:
    """A group of processes that work together.

    Args:
        rank: number of this process, from 0.
        count: number of processes.
        store: for shared counters; None for a single process.
    """

    def __init__(self, rank: int, count: int, store: "Store | None" = None) -> None:
        self.rank, self.count, self._store = rank, count, store
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
        with _user_errors():
            distributed.broadcast_object_list(values, src=0)
        return values[0]

    def wait(self) -> None:
        """Wait for all processes.

        Raises:
            UserError: another process has stopped.
        """
        if self._store is not None:
            with _user_errors():
                distributed.barrier()


@contextmanager
def together() -> Iterator[Processes]:
    """Join the processes that torchrun started; without torchrun, a single one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(0, 1)
        return
    store, rank, count = next(rendezvous("env://"))
    # no tensors are sent, so gloo is sufficient on GPUs too
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=count)
    try:
        yield Processes(rank, count, store)
    finally:
        distributed.destroy_process_group()


@contextmanager
def _user_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise UserError("Another process has stopped; see its message. This one stops too.") from error

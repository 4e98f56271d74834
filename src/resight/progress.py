"""Progress on standard error: a bar with the time left on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")

stderr = Console(stderr=True, highlight=False)
"""Where everything but results goes."""


def say(message: str) -> None:
    """Print a sentence on standard error as it stands: unwrapped, and brackets in a path are no markup."""
    stderr.print(message, soft_wrap=True, markup=False, emoji=False)


class Bar:
    """A progress bar as a context manager: ``with Bar("Training", steps) as bar: bar.advance()``.

    Where standard error is no terminal, it prints a line at the start, every ``quiet_seconds`` and at the
    end, with the time left. A total of None is one that nobody knows.
    """

    def __init__(self, title: str, total: int | None, done: int = 0, quiet_seconds: float = 20.0) -> None:
        self.title, self.total, self.done, self.started_at = title, total, done, done
        self.note = ""
        self.quiet_seconds = quiet_seconds
        self.start = self.last = time.monotonic()
        self._rich: Progress | None = None

    def __enter__(self) -> "Bar":
        self.start = self.last = time.monotonic()
        if stderr.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._rich = Progress(*columns, console=stderr, transient=False)
            self._rich.start()
            self._task = self._rich.add_task(self.title, total=self.total, completed=self.done, note="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._rich is not None:
            self._rich.stop()
        elif self.done > self.started_at:
            self._line()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count steps as done; ``note`` is shown behind the bar."""
        self.done += steps
        self.note = self.note if note is None else note
        if self._rich is not None:
            self._rich.update(self._task, completed=self.done, note=self.note)
        elif time.monotonic() - self.last >= self.quiet_seconds:
            self._line()

    def _line(self) -> None:
        self.last = time.monotonic()
        spent = self.last - self.start
        if self.total is None:
            far = f"{self.done}, {clock(spent)} spent"
        else:
            left = spent * (self.total - self.done) / max(1, self.done - self.started_at)
            far = f"{self.done}/{self.total}, {clock(spent)} spent, {clock(left)} left"
        print(
            f"{self.title}: {far}",
            self.note,
            file=sys.stderr,
            flush=True,
        )


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Yield the items behind a progress bar."""
    with Bar(title, total) as bar:
        for item in items:
            yield item
            bar.advance()


def clock(seconds: float) -> str:
    """Return a duration as ``1:02:03`` or ``2:03``."""
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"

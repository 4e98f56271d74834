"""Progress on standard error: a bar with the time left on a terminal, a line now and then elsewhere."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from resight.names import printable, printable_lines

T = TypeVar("T")

RECENT = 60.0
"""The time left is computed from the pace of the last so many seconds, if nothing else is said."""

EVERY = 20.0
"""Seconds between two lines where there is no terminal."""

SAID = 10
"""Things left out that are named one by one; a command's table counts all."""

stderr = Console(stderr=True, highlight=False)
"""Where everything but results goes."""


def is_first_process() -> bool:
    """Return whether this is the first of the processes that torchrun started; the others are silent."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


def say(message: str) -> None:
    """Print a sentence on standard error: unwrapped; brackets and control characters in a name do nothing."""
    if is_first_process():
        stderr.print(printable_lines(message), soft_wrap=True, markup=False, emoji=False)


def say_left_out(problems: Sequence[str]) -> None:
    """Print a sentence for each of the first things that were left out, and how many more there are."""
    for problem in problems[:SAID]:
        say(printable(f"Left out: {problem}"))
    if len(problems) > SAID:
        say(f"Left out: {len(problems) - SAID:,} more.")


class Bar:
    """A progress bar as a context manager: ``with Bar("Training", crops) as bar: bar.advance(16)``.

    Where standard error is no terminal, it prints a line now and then, and at the end.
    The time left is computed from the recent pace in this process.

    Args:
        title: what is going on.
        total: number of steps; None where it is not known.
        done: steps done before, by an earlier process.
        now: a clock, in seconds.
        recent: number of seconds that the pace is taken from; more where a step takes long.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        done: int = 0,
        now: Callable[[], float] = time.monotonic,
        recent: float = RECENT,
    ) -> None:
        self.title, self.total, self.done, self.begun_at = title, total, done, done
        self.note = ""
        self.now, self.recent = now, recent
        self._start()
        self._rich: Progress | None = None

    def __enter__(self) -> "Bar":
        self._start()
        if stderr.is_terminal and is_first_process():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]} {task.fields[note]}"),
            )
            self._rich = Progress(*columns, console=stderr, transient=False)
            self._rich.start()
            self._task = self._rich.add_task(
                self.title, total=self.total, completed=self.done, left="", note=""
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._rich is not None:
            self._rich.stop()
        elif self.done > self.begun_at:
            self._line(self.now())

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count steps as done; ``note`` is shown after the bar."""
        now = self.now()
        self.done += steps
        self.note = self.note if note is None else note
        if steps < 0:  # what a killed process had done after its last checkpoint is done again
            self._marks = deque([(now, self.done)])
        self._remember(now)
        if self._rich is not None:
            left = self.seconds_left()
            self._rich.update(
                self._task,
                completed=self.done,
                left="" if left is None else f"{clock(left)} left",
                note=self.note,
            )
        elif now - self._printed >= EVERY:
            self._line(now)

    def seconds_left(self) -> float | None:
        """Return how long the rest takes at the recent pace; None if that is not known."""
        (then, before), (now, done) = self._marks[0], self._marks[-1]
        if self.total is None or done <= before or now == then:
            return None
        return (self.total - done) * (now - then) / (done - before)

    def _start(self) -> None:
        self._began = self._printed = self.now()
        self._marks = deque([(self._began, self.done)])

    def _remember(self, now: float) -> None:
        """Record the progress, at most once a second, and drop what is no longer recent."""
        marks = self._marks
        if len(marks) > 1 and now - marks[-2][0] < 1:
            marks.pop()
        marks.append((now, self.done))
        while len(marks) > 2 and now - marks[1][0] >= self.recent:
            marks.popleft()

    def _line(self, now: float) -> None:
        self._printed = now
        if not is_first_process():
            return
        spent, left = clock(now - self._began), self.seconds_left()
        far = f"{self.done}" if self.total is None else f"{self.done}/{self.total}"
        rest = "" if left is None else f", {clock(left)} left"
        print(f"{self.title}: {far}, {spent} spent{rest}", self.note, file=sys.stderr, flush=True)


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Yield the items, with a progress bar."""
    with Bar(title, total) as bar:
        for item in items:
            yield item
            bar.advance()


def clock(seconds: float) -> str:
    """Return a duration as ``1:02:03`` or ``2:03``."""
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"

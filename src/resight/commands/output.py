"""Printing results: as tables, or as one JSON value."""

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resight.left_out import LeftOut
from resight.names import CONTROLS, printable, printable_lines
from resight.progress import say_left_out

if TYPE_CHECKING:
    from resight.evaluation.classification import ClassificationScores
    from resight.evaluation.scores import Scores
    from resight.evaluation.statistics import Spread


UNBROKEN = 10_000
"""Width of what is no terminal."""
BORDER = 3
"""Characters between two columns of a table."""
NAME = 20
"""Width to which the first column may be folded."""
FIGURE = 30
"""Length of the longest figure; what is longer is words."""
FOLDED = 12
"""Width to which a column of words may be folded."""


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # JSON leaves some control characters of names as they are
    for line in text.split("\n"):
        print(CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line))


def show(text: str) -> None:
    """Print text with names of files or labels in it on standard output."""
    print(printable_lines(text))


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    title: str | None = None,
    *,
    left: Collection[int] = (0,),
    whole_names: bool = False,
) -> None:
    """Print a table on standard output.

    Args:
        columns: headings.
        rows: cells, as many as headings.
        title: above it.
        left: places of the columns that are left-aligned; the others are right-aligned.
        whole_names: do not break the cells of the first column, which are names to copy.
    """
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:  # a file or a pipe has no width
        console = Console(highlight=False, width=UNBROKEN)
    cells = [[printable_lines(str(cell)) for cell in row] for row in rows]
    names = max((cell_len(row[0]) for row in cells), default=0)
    whole_names = whole_names and names + FOLDED + 2 * BORDER < console.width
    for part in _parts(columns, cells, console.width, names if whole_names else NAME):
        # a string's brackets would be markup
        above = None if title is None else Text(printable_lines(title), style="table.title")
        table = Table(title=above, title_justify="left")
        for place, width in part.items():
            table.add_column(
                Text(columns[place]),
                justify="left" if place in left else "right",
                overflow="fold",
                no_wrap=whole_names and place == 0,
                width=width,
            )
        for row in cells:
            table.add_row(*(Text(row[place]) for place in part))
        console.print(table)


def _parts(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, name_width: int
) -> list[dict[int, int | None]]:
    """Split columns that do not fit beside each other, so that no figure is broken; words are folded.

    Columns that begin alike up to a comma ("mAP", "mAP, paper") stay together if they can.

    Returns:
        For each table to print: place of a column -> its width, None for any. Each begins with the first
        column.
    """
    longest = [max((cell_len(row[place]) for row in rows), default=0) for place in range(len(columns))]
    natural = (max(cell_len(column), cells) for column, cells in zip(columns, longest, strict=True))
    if sum(natural) + BORDER * len(columns) < width:
        return [dict.fromkeys(range(len(columns)))]
    space = width - min(longest[0], name_width) - BORDER - 1
    parts: list[dict[int, int | None]] = []
    room = 0
    for _, places in groupby(range(1, len(columns)), key=lambda place: columns[place].partition(",")[0]):
        widths = {
            place: max([longest[place], *map(cell_len, columns[place].split())])
            if longest[place] <= FIGURE
            else None
            for place in places
        }
        least = {place: (FOLDED if one is None else one) + BORDER for place, one in widths.items()}
        together = sum(least.values()) <= space
        for place, one in widths.items():
            if (sum(least.values()) if together and place == min(widths) else least[place]) > room:
                parts.append({0: None})
                room = space
            parts[-1][place] = one
            room -= least[place]
    return parts or [{0: None}]


def leave_out(
    left_out: LeftOut, skipped: Sequence[tuple[Path, str]], name: Callable[[Path], str] = str
) -> None:
    """Say which pictures were skipped, and count them as left out.

    Args:
        left_out: counts them.
        skipped: path and reason of each.
        name: returns what to call a picture in the table of what was left out.
    """
    say_left_out([f"{path} {reason}" for path, reason in skipped])
    for path, reason in skipped:
        left_out.add_unreadable(name(path), reason)


def print_left_out(left_out: LeftOut) -> None:
    """Print what was left out as a table: reason, count and first example; nothing if it is empty."""
    if left_out:
        rows = [[row["reason"], f"{row['count']:,}", printable(row["example"])] for row in left_out.as_list()]
        print_table(["Left out", "Count", "First example"], rows)


def print_scores(scores: "Scores", title: str) -> None:
    """Print scores in per cent, the number of scored queries, and what the protocol ignored."""
    values = {"mAP": scores.mAP, **{f"Rank-{k}": scores.rank(k) for k in scores.ranks}, "mINP": scores.mINP}
    show(title)
    print_table(["Score", "%"], [[name, f"{100 * value:.1f}"] for name, value in values.items()])
    print(f"{scores.queries:,} of {scores.total_queries:,} queries have a match.")
    removed = scores.removed
    clothes = ", or the same clothes" if scores.protocol.cross_clothes else ""
    ignored = {
        "junk crops": removed.junk_crops,
        "pairs of a query with itself": removed.itself_pairs,
        f"pairs of one person and one camera{clothes}": removed.same_camera_pairs,
    }
    if any(ignored.values()):
        print("Ignored: " + ", ".join(f"{count:,} {what}" for what, count in ignored.items() if count) + ".")


def print_spreads(spreads: "Mapping[str, Spread]", title: str) -> None:
    """Print the mean, standard deviation and 95 % interval of each score, in per cent."""
    show(title)
    rows = [
        [figure_name(name), *map(_per_cent, (figure.mean, figure.std, figure.low, figure.high))]
        for name, figure in spreads.items()
    ]
    print_table(["Score", "Mean %", "Std", "95 % from", "to"], rows)


def print_classified(scores: "ClassificationScores", title: str) -> None:
    """Print the top-k accuracies and errors of a classification, in per cent."""
    show(title)
    rows = [[f"Top-{k}", _two(scores.accuracy(k)), _two(1 - scores.accuracy(k))] for k in scores.tops]
    print_table(["", "Right %", "Error %"], rows)
    print(f"{len(scores.ranks):,} pictures of {scores.classes:,} classes.")


def figure_name(key: str) -> str:
    """Return a score's name in tables: ``Rank-1`` for ``rank1``, ``Top-1 error`` for ``top1_error``."""
    words = key.replace("rank", "Rank-").replace("top", "Top-").split("_")
    return " ".join(words)


def _per_cent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _two(share: float) -> str:
    return f"{100 * share:.2f}"

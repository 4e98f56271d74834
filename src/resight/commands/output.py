"""Printing results: as tables, or as one JSON value."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from resight.left_out import LeftOut

if TYPE_CHECKING:
    from resight.evaluation.classification import ClassificationScores
    from resight.evaluation.scores import Scores
    from resight.evaluation.statistics import Spread


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    title: str | None = None,
    *,
    whole_names: bool = False,
) -> None:
    """Print a table on standard output; the first column is left-aligned, the others are right-aligned.

    Args:
        columns: headings.
        rows: cells, as many as headings.
        title: above it.
        whole_names: do not break the cells of the first column, which are names to copy.
    """
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(
            column,
            justify="left" if index == 0 else "right",
            overflow="fold",
            no_wrap=whole_names and index == 0,
        )
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))  # a string's brackets would be markup
    Console(highlight=False).print(table)


def print_left_out(left_out: LeftOut) -> None:
    """Print what was left out as a table: reason, count and first example; nothing if it is empty."""
    if left_out:
        rows = [[row["reason"], f"{row['count']:,}", row["example"]] for row in left_out.as_list()]
        print_table(["Left out", "Count", "First example"], rows)


def print_scores(scores: "Scores", title: str) -> None:
    """Print scores in per cent, the number of scored queries, and what the protocol ignored."""
    values = {"mAP": scores.mAP, **{f"Rank-{k}": scores.rank(k) for k in scores.ranks}, "mINP": scores.mINP}
    print(title)
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
    print(title)
    rows = [
        [figure_name(name), *map(_per_cent, (figure.mean, figure.std, figure.low, figure.high))]
        for name, figure in spreads.items()
    ]
    print_table(["Score", "Mean %", "Std", "95 % from", "to"], rows)


def print_classified(scores: "ClassificationScores", title: str) -> None:
    """Print the top-k accuracies and errors of a classification, in per cent."""
    print(title)
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

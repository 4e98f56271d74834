"""A result as Markdown, CSV and LaTeX, and the folder with all of them and the plot."""

import csv
import io
from pathlib import Path

from resight.files import whole_file
from resight.tables.plots import save_plot
from resight.tables.results import TableResult
from resight.tables.sheets import Sheet, footnotes, sheets_of

LATEX = {sign: f"\\{sign}" for sign in "%&_#${}"} | {
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "≫": r"$\gg$",
    "<": "$<$",
    ">": "$>$",
    "†": r"$\dagger$",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "\\": r"\textbackslash{}",
    "[": "{[}",  # which after a line's end would begin an option
    "\n": " ",
}
"""Signs of row names, settings and figures that mean something else to LaTeX -> what prints them."""

HEADER = (
    *("table", "conditions", "row", "quoted", "column", "metric", "runs", "mean", "std", "low", "high"),
    *("published", "published_std", "difference", "difference_low", "difference_high"),
    *("published_difference", "not_run"),
)
"""Columns of the CSV file."""


def markdown(result: TableResult, level: int = 2) -> str:
    """Return the result as Markdown: a heading of this level, and each sheet under its full title."""
    parts = [f"{'#' * level} {result.title}"]
    for sheet in sheets_of(result):
        lines = [f"**{sheet.title}**", "", _line(sheet.columns)]
        lines.append(
            "|" + "".join("---|" if place in sheet.left else "---:|" for place in range(len(sheet.columns)))
        )
        parts.append("\n".join([*lines, *map(_line, sheet.rows)]))
    return "\n\n".join([*parts, *footnotes(result)]) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", r"\|").split()) for cell in cells) + " |"


def latex(result: TableResult) -> str:
    """Return the result as LaTeX, a ``table`` for each sheet, for the package ``booktabs``."""
    parts = [_latex_table(sheet) for sheet in sheets_of(result)]
    comments = (line for note in footnotes(result) for line in note.splitlines())
    return "\n".join([*(f"% {line}" for line in comments), *parts])


def _latex_table(sheet: Sheet) -> str:
    width = "".join("l" if place in sheet.left else "r" for place in range(len(sheet.columns)))
    rows = [" & ".join(map(_escaped, row)) + r" \\" for row in (sheet.columns, *sheet.rows)]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escaped(sheet.title)}}}",
            rf"\begin{{tabular}}{{{width}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _escaped(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def comma_separated(result: TableResult) -> str:
    """Return the result as CSV: a line for each figure, with everything that its cell holds."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADER)
    for row in result.rows:
        for heading, cells in zip(result.headings, row.cells, strict=True):
            why = row.missing.get(heading, row.missing.get("", ""))
            for cell in cells:
                ours, change = cell.ours, cell.difference
                means = (ours.mean, ours.std, ours.low, ours.high) if ours else (None,) * 4
                published = (one and one.text for one in (cell.published, cell.published_std))
                changes = (change.mean, change.low, change.high) if change else (None,) * 3
                place = (result.name, "; ".join(result.conditions), row.name, row.quoted, heading)
                figures = (len(cell.values), *means, *published, *changes, cell.published_difference)
                writer.writerow((*place, cell.metric, *figures, why))
    return stream.getvalue()


def write_all(result: TableResult, folder: Path) -> list[Path]:
    """Write the result in every format, and its plot as PNG and SVG; return the files."""
    stem = "-".join(filter(None, (result.name.replace("/", "-"), result.substitute)))
    texts = {"md": markdown(result), "csv": comma_separated(result), "tex": latex(result)}
    written = []
    for suffix, text in texts.items():
        with whole_file(folder / f"{stem}.{suffix}") as path:
            path.write_text(text, encoding="utf-8")
        written.append(folder / f"{stem}.{suffix}")
    result.save(folder / f"{stem}.json")
    return [*written, folder / f"{stem}.json", *save_plot(result, folder / stem)]

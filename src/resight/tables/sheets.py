"""A result as sheets of text: columns and rows that every format prints alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resight.tables.metrics import METRICS, Metric, count
from resight.tables.results import Cell, CheckedClaim, Interval, ResultRow, TableResult

NONE = "-"
VARIANTS = {
    "raw trapezoid": "by trapezoids",
    "unit trapezoid": "unit descriptor, by trapezoids",
    "unit": "unit descriptor",
}
"""Variant of a score -> its heading; a row's own descriptor is in its main column."""


CLAIM_COLUMNS = ("Claim", "Difference", "Ours", "Paper", "Shows")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of text.

    Attributes:
        title: with everything that is not as in the paper.
        columns: headings; the first is of the rows' names.
        rows: cells, as many as headings.
        left: places of the columns of words, which are left-aligned; figures are right-aligned.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)


VERDICTS = (
    "A claim shows (yes) if the interval of the difference is on its side of 0; opposite: it is on the other "
    "side; no: it includes 0. Of one run, only the signs are compared."
)
FAST = (
    "The -fast recipes are for minutes on a CPU: few epochs, no pretrained weights, and ResNet-18 on crops "
    "of 96x48 where the paper has ResNet-50 on larger ones. HAN keeps its network, at 160x64. "
    "'resight recipe show NAME' prints one."
)


def sheets_of(result: TableResult) -> list[Sheet]:
    """Return the sheets of a result: for each heading the figures, differences, and other definitions."""
    found: list[Sheet] = []
    for number, (heading, metrics) in enumerate(zip(result.headings, result.metrics, strict=True)):
        title = ": ".join(filter(None, (result.heading, heading)))
        rows = [(row, row.cells[number]) for row in result.rows]
        claims = _claims(f"{title}; claims", [one for one in result.claims if one.column == number])
        if METRICS[metrics[0]].kind == "network":
            found += [_costs(title, metrics, rows), *claims]
            continue
        found.append(_figures(title, metrics, rows))
        if any(cell.difference is not None for _, cells in rows for cell in cells):
            found.append(_differences(f"{title}; differences from {result.reference}", metrics, rows))
        found += claims
        found += _variants(f"{title}; other definitions", rows)
    return found


def footnotes(result: TableResult) -> list[str]:
    """Return the sentences under a result: its source, its note, and what was not run and why."""
    quoted = any(
        row.quoted and any(cell.published for cells in row.cells for cell in cells) for row in result.rows
    )
    lines = [f"Paper: {result.source}."] if result.source else []
    lines += [result.note] if result.note else []
    if any(run.recipe.endswith("-fast") for run in result.runs):
        lines.append(FAST)
    if quoted:
        lines.append("Rows marked (quoted) are other people's methods, as the paper quotes them.")
    if result.reference is not None and all(row.name != result.reference for row in result.rows):
        lines.append(f"Differences would be from {result.reference}, which is not among the rows.")
    if any(one.ours is not None for one in result.claims):
        lines.append(VERDICTS)
    ours = [cell.ours for row in result.rows for cell in _all(row) if cell.ours is not None]
    if any(interval.low is not None for interval in ours):
        lines.append(
            "± is the standard deviation over runs; in brackets, Student's 95 % interval of the mean paired "
            "difference, for runs like these."
        )
    elif ours and result.runs:
        lines.append(
            "One run of each row: there is no interval over seeds, and another seed could turn a difference "
            "around."
        )
    others = sorted({run.versions["resight"] for run in result.runs} - {result.version})
    if others:
        lines.append(f"Runs of other versions than {result.version} are among these: {', '.join(others)}.")
    lines += [f"Not run: {'; '.join(where)}: {why}" for why, where in result.missing.items()]
    return lines


def _all(row: ResultRow) -> Iterator[Cell]:
    return (cell for cells in row.cells for cell in cells)


def name_of(row: ResultRow) -> str:
    """Return the row's name, marked if it is quoted."""
    return f"{row.name} (quoted)" if row.quoted else row.name


Rows = Sequence[tuple[ResultRow, Sequence[Cell]]]


def _figures(title: str, metrics: Sequence[str], rows: Rows) -> Sheet:
    columns, lines = ["Row"], [[name_of(row)] for row, _ in rows]
    for place, name in enumerate(metrics):
        metric = METRICS[name]
        paper = any(cells[place].published for _, cells in rows)
        columns += [metric.title, *([f"{metric.title}, paper"] if paper else [])]
        for line, (_, cells) in zip(lines, rows, strict=True):
            line += [_ours(cells[place].ours, metric), *([_published(cells[place])] if paper else [])]
    return Sheet(title, tuple(columns), tuple(map(tuple, lines)))


def _ours(found: Interval | None, metric: Metric) -> str:
    if found is None:
        return NONE
    mean = metric.shown(found.mean)
    return mean if found.std is None else f"{mean} ± {metric.shown(found.std)}"


def _published(cell: Cell) -> str:
    if cell.published is None:
        return NONE
    text = cell.published.text
    return text if cell.published_std is None else f"{text} ± {cell.published_std.text}"


def _differences(title: str, metrics: Sequence[str], rows: Rows) -> Sheet:
    kept = [(row, cells) for row, cells in rows if any(cell.difference is not None for cell in cells)]
    paper = any(cell.published_difference is not None for _, cells in kept for cell in cells)
    titles = [METRICS[name].title for name in metrics]
    columns = [column for name in titles for column in (name, *([f"{name}, paper"] if paper else []))]
    lines = []
    for row, cells in kept:
        line = [row.name]
        for cell in cells:
            line.append(_change(cell.difference, METRICS[cell.metric]))
            line += [_printed(cell.published_difference, METRICS[cell.metric])] if paper else []
        lines.append(tuple(line))
    return Sheet(title, ("Row", *columns), tuple(lines))


def _claims(title: str, claims: Sequence[CheckedClaim]) -> list[Sheet]:
    lines = tuple(claim_line(one) for one in claims if one.ours is not None)
    return [Sheet(title, CLAIM_COLUMNS, lines, left=(0, 1, 4))] if lines else []


def claim_line(one: CheckedClaim) -> tuple[str, ...]:
    """Return a claim as a line under ``CLAIM_COLUMNS``."""
    metric = METRICS[one.claim.metric]
    text = one.claim.text + (f" (Section {one.claim.section})" if one.claim.section else "")
    compared = f"{metric.title}, {one.claim.row} - {one.claim.over}"
    return text, compared, _change(one.ours, metric), _printed(one.published, metric), one.shows


def _printed(change: float | None, metric: Metric) -> str:
    """Return a difference of the paper's figures, which have different numbers of digits."""
    if change is None:
        return NONE
    return metric.shown(change, sign=True) if metric.digits is None else f"{change:+g}"


def _change(found: Interval | None, metric: Metric) -> str:
    if found is None:
        return NONE
    mean = metric.shown(found.mean, sign=True)
    if found.low is None or found.high is None:
        return mean
    return f"{mean} [{metric.shown(found.low, sign=True)}, {metric.shown(found.high, sign=True)}]"


def _variants(title: str, rows: Rows) -> list[Sheet]:
    names = dict.fromkeys(
        (place, variant)
        for _, cells in rows
        for place, cell in enumerate(cells)
        if cell.metric in ("mAP", "rank1")
        for variant in cell.variants
        if variant in VARIANTS and (cell.metric == "mAP" or variant == "unit")
    )
    lines = []
    for row, cells in rows:
        figures = [cells[place].variants.get(variant) for place, variant in names]
        if any(figure is not None for figure in figures):
            shown = [METRICS["mAP"].shown(figure) if figure is not None else NONE for figure in figures]
            lines.append((row.name, *shown))
    if not lines:
        return []
    first = next(cells for _, cells in rows)
    titles = (f"{METRICS[first[place].metric].title}, {VARIANTS[variant]}" for place, variant in names)
    return [Sheet(title, ("Row", *titles), tuple(lines))]


def _costs(heading: str, metrics: Sequence[str], rows: Rows) -> Sheet:
    """Return figures that are counted: ours, the paper's, and the relative difference on one scale."""
    columns, lines = ["Row"], [[name_of(row)] for row, _ in rows]
    for place, name in enumerate(metrics):
        title = METRICS[name].title
        beside = any(cells[place].published for _, cells in rows)
        for one in (title, "multiply-adds") if name == "flops" else (title,):
            columns += [one, f"{one}, paper"] if beside else [one]
        columns += [f"{title}, difference"] if beside else []
        for line, (row, cells) in zip(lines, rows, strict=True):
            figures, difference = _cost(row, cells[place])
            for ours, paper in figures:
                line += [ours, paper] if beside else [ours]
            line += [difference] if beside else []
    return Sheet(heading, tuple(columns), tuple(map(tuple, lines)))


def _cost(row: ResultRow, cell: Cell) -> tuple[list[tuple[str, str]], str]:
    """Return our and the published figure, of FLOPs also as multiply-adds, and the relative difference."""
    figures = [(_ours(cell.ours, METRICS[cell.metric]), _published(cell))]
    sign = "" if cell.published is None else cell.published.sign
    ours = None if cell.ours is None else cell.ours.mean
    paper = None if cell.published is None else cell.published.value
    if cell.metric == "flops":
        ours, paper = multiply_adds(row, cell)
        shown = NONE if paper is None else f"{sign}{count(paper)}"
        figures.append((NONE if ours is None else count(ours), shown))
    if not ours or not paper or sign:
        return figures, NONE
    return figures, f"{round(100 * (ours / paper - 1), 1) + 0.0:+.1f} %"


def multiply_adds(row: ResultRow, cell: Cell) -> tuple[float | None, float | None]:
    """Return our and the published multiply-adds of a cell with FLOPs.

    Ours count two operations for each; what a paper's figure counts is said in its row.
    """
    share = 0.5 if row.counted == "operations" else 1.0
    return (
        None if cell.ours is None else cell.ours.mean / 2,
        None if cell.published is None else share * cell.published.value,
    )

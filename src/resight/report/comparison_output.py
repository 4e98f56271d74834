"""A comparison of models as tables, Markdown, and a plot of accuracy against speed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from resight.files import whole_file
from resight.inference.runtimes.choice import BATCH
from resight.inference.runtimes.switching import WORDS
from resight.report.comparison import ComparedModel, Estimate, ModelComparison, SetScores

Rows = list[list[str]]

COSTS = (
    "model",
    "parameters",
    "multiply-adds",
    "ms a crop, one",
    f"ms a crop, batch of {BATCH}",
    "MB",
    "computed by",
)


def accuracy_table(found: ModelComparison) -> tuple[list[str], Rows]:
    """Return the header and the rows of scores: two rows per model, mAP and rank-1, in per cent."""
    header = ["model", "score", *(one.name for one in found.sets)]
    rows = []
    for number, (model, scores) in enumerate(zip(found.models, found.scores, strict=True)):
        marks = ["*" if one.trained[number] else "" for one in found.sets]
        cells = [one if isinstance(one, SetScores) else None for one in scores]
        for name, what in (("mAP", "mAP"), ("rank1", "Rank-1")):
            values = [
                "failed" if cell is None else per_cent(getattr(cell, name)) + mark
                for cell, mark in zip(cells, marks, strict=True)
            ]
            rows.append([model.name if name == "mAP" else "", what, *values])
    return header, rows


def cost_table(found: ModelComparison) -> tuple[list[str], Rows]:
    """Return the header and the rows of costs."""
    return list(COSTS), [
        [
            model.name,
            "unknown" if model.cost.parameters is None else f"{model.cost.parameters / 1e6:.2f} M",
            "unknown" if model.cost.multiply_adds is None else f"{model.cost.multiply_adds / 1e6:,.0f} M",
            *(f"{value:.1f}" for value in model.milliseconds),
            "unknown" if model.megabytes is None else f"{model.megabytes:.0f}",
            computed_by(model),
        ]
        for model in found.models
    ]


def notes(found: ModelComparison) -> Iterator[str]:
    """Yield sentences about what the tables do not say."""
    yield "Scores are in per cent, in brackets with their 95 % intervals over queries."
    for number, model in enumerate(found.models):
        for one, scores in zip(found.sets, found.scores[number], strict=True):
            if count := one.trained[number]:
                yield f"* {model.name} was trained on {count:,} of the test crops of {one.name}."
            if isinstance(scores, str):
                yield f"{model.name} has no scores on {one.name}: {scores.rstrip('.')}."
            elif scores.unreadable:
                yield f"{one.name}: {len(scores.unreadable):,} crops are unreadable and were left out."
        if model.cost.unknown is not None:
            yield f"The cost of {model.name} is unknown: {model.cost.unknown}."


def per_cent(one: Estimate) -> str:
    """Return a score with its interval, such as ``43.1 (38.6 to 47.7)``."""
    if one.low is None or one.high is None:
        return f"{100 * one.value:.1f}"
    return f"{100 * one.value:.1f} ({100 * one.low:.1f} to {100 * one.high:.1f})"


def computed_by(model: ComparedModel) -> str:
    """Return runtime and precision for users."""
    return f"{WORDS[model.embedder.runtime]}, {model.embedder.precision}"


def markdown(found: ModelComparison, sentences: Sequence[str]) -> str:
    """Return both tables and the sentences as Markdown."""
    parts = [_markdown_table(*accuracy_table(found)), _markdown_table(*cost_table(found))]
    return "\n".join([*parts, *(f"- {sentence}" for sentence in sentences), ""])


def _markdown_table(header: Sequence[str], rows: Rows) -> str:
    ruler = ["---", *["---:"] * (len(header) - 1)]
    lines = [header, ruler, *([cell.replace("|", r"\|").replace("*", r"\*") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def plot(found: ModelComparison, path: Path) -> None:
    """Draw mAP against milliseconds per crop in large batches, a panel per data set, as PNG."""
    figure = Figure(figsize=(1 + 4.2 * len(found.sets), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(found.sets), squeeze=False)[0]
    for place, (one, panel) in enumerate(zip(found.sets, panels, strict=True)):
        for number, model in enumerate(found.models):
            scores = found.scores[number][place]
            if isinstance(scores, str):
                continue
            mAP = scores.mAP
            low, high = (mAP.value if end is None else end for end in (mAP.low, mAP.high))
            panel.errorbar(
                model.milliseconds[1],
                100 * mAP.value,
                yerr=[[100 * (mAP.value - low)], [100 * (high - mAP.value)]],
                fmt="os^Dv<>pP"[number // 10 % 9],
                color=f"C{number % 10}",
                capsize=3,
                label=model.name,
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
        panel.set_title(one.name)
        panel.set_xlabel(f"milliseconds per crop (batch of {BATCH})")
        panel.set_ylabel("mAP, %")
        panel.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    columns = int(figure.get_figwidth() / (0.5 + 0.08 * max(map(len, labels), default=1)))  # in inches
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, columns), fontsize="small")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")

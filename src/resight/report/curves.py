"""Training curves from a run's log."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from resight.report.charts import Line, line_chart


def training_charts(metrics: Sequence[dict[str, Any]]) -> list[Markup]:
    """Return charts of the loss, the learning rate and the evaluations during training, over epochs.

    Args:
        metrics: lines of ``metrics.jsonl``; charts without data are left out.
    """
    epochs = [line for line in metrics if line["kind"] == "epoch"]
    if not epochs:
        return []
    ends = [0, *(line["step"] for line in epochs)]
    numbers = [0, *(line["epoch"] for line in epochs)]
    steps = [
        (float(np.interp(line["step"], ends, numbers)), line) for line in metrics if line["kind"] == "steps"
    ]
    rates = [(at, line["lr"]) for at, line in steps]
    charts = [
        line_chart(_losses(epochs), title="Loss", x_label="epoch"),
        line_chart(
            [Line("highest", max(rate for _, rate in rates), rates, "c3")],
            title="Learning rate",
            x_label="epoch",
        ),
    ]
    evaluations = [line for line in metrics if line["kind"] == "evaluation"]
    if evaluations:
        lines = [
            Line(
                name,
                100 * evaluations[-1][key],
                [(line["epoch"], 100 * line[key]) for line in evaluations],
                colour,
            )
            for name, key, colour in (("Rank-1", "rank1", "c1"), ("mAP", "mAP", "c2"))
        ]
        charts.append(line_chart(lines, title="Scores during training (%)", x_label="epoch"))
    return charts


def _losses(epochs: Sequence[dict[str, Any]]) -> list[Line]:
    """Return the objective's value and, if it has several terms, each of them before weighting."""
    losses = [(line["epoch"], line["loss"]) for line in epochs]
    lines = [Line("objective, at the end", losses[-1][1], losses, "c1")]
    names = list(dict.fromkeys(name for line in epochs for name in line["terms"]))
    if len(names) > 1:
        for index, name in enumerate(names):
            points = [(line["epoch"], line["terms"][name]) for line in epochs if name in line["terms"]]
            lines.append(Line(name, points[-1][1], points, f"c{2 + index % 5}"))
    return lines

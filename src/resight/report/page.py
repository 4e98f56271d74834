"""The report of a run: one self-contained HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight import __version__
from resight.data.benchmark import Benchmark
from resight.data.crop import Crop
from resight.errors import UserError
from resight.evaluation.repeated import RepeatedScores
from resight.evaluation.scores import Scores
from resight.files import whole_file
from resight.imaging import Pixels
from resight.inference.loading import LoadedModel
from resight.models.network import Network
from resight.names import readable
from resight.report.attention import View, attention_views
from resight.report.baselines import Baseline, baselines_of, pixels_of
from resight.report.charts import Line, environment, line_chart
from resight.report.curves import training_charts
from resight.report.facts import facts_of
from resight.report.lists import KINDS, RankedList, ranked_lists
from resight.report.pictures import thumbnail
from resight.report.sheets import BOX_COLOURS
from resight.training.run import Run
from resight.training.testing import EmbeddedBenchmark, take_draw

LOOKS = 8
"""Number of crops with attention maps."""

TITLES = {"best": "Best queries", "median": "Median queries", "worst": "Worst queries"}
COLUMNS = ("Rank-1", "mAP", "mINP", "Rank-5", "Rank-10")
KEYS = ("rank1", "mAP", "mINP", "rank5", "rank10")
TILES = (("Rank-1", "rank1"), ("mAP", "mAP"), ("Rank-5", "rank5"), ("mINP", "mINP"))
CMC_RANKS = 20

IGNORED = {
    True: "junk, and gallery crops of the query's person under the query's own camera.",
    False: "junk, and the query itself; cameras are not known.",
}
AP_NOTES = {
    "mean": "the mean of the precision at each match",
    "trapezoid": "by trapezoids, as Market-1501's own script",
}
METRIC_NOTES = {
    "cosine": "similarity to the query (cosine, at most 1)",
    "euclidean": "distance from the query (Euclidean)",
}


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written.

    Attributes:
        path: of the page.
        scores: of the model; None where the benchmark has no test part.
        baselines: for comparison.
        lists: its ranked lists.
    """

    path: Path
    scores: Scores | None
    baselines: tuple[Baseline, ...]
    lists: tuple[RankedList, ...]


def write_report(
    model: LoadedModel,
    benchmark: Benchmark,
    path: Path | None = None,
    *,
    embedded: EmbeddedBenchmark | None = None,
    scores: Scores | RepeatedScores | None = None,
) -> Report:
    """Write the report of a run on a benchmark as one self-contained HTML file.

    Args:
        model: of a finished run.
        benchmark: of the test.
        path: of the page; ``report.html`` in the run's folder by default.
        embedded: query and gallery, embedded by the model.
        scores: of ``embedded``; without both, the page has no scores.

    Raises:
        UserError: the model was not loaded from a run's folder.
    """
    run = model.run
    if run is None:
        raise UserError("A report is about a run: load the run's folder instead of a weights file.")
    network = model.need_network("to report on a run")
    path = path or run.folder / "report.html"
    shown = scores.draws[0] if isinstance(scores, RepeatedScores) else scores
    baselines: list[Baseline] = []
    lists: list[RankedList] = []
    page: dict[str, Any] = {"rows": [], "lists": [], "looks": []}
    if embedded is not None and shown is not None:
        if benchmark.draws:
            embedded = take_draw(embedded, benchmark.draws[0])
        pixels, query_rows, _ = pixels_of(embedded, network.input_size)
        baselines = baselines_of(
            embedded, benchmark.protocol, network.input_size, seed=run.recipe.seed, ap=shown.ap
        )
        page |= _scores_part(run, shown, baselines)
        lists = ranked_lists(embedded, shown, benchmark.protocol)
        page["lists"] = _lists_part(lists, benchmark)
        page["looks"] = _looks_part(network, embedded.query_crops, pixels, query_rows)
    curves = training_charts(run.metrics())
    of_draws = (
        [f"These are the first of {len(benchmark.draws)} draws; 'resight evaluate' gives their mean."]
        if benchmark.draws
        else []
    )
    page |= {
        "title": f"{run.recipe.name} on {benchmark.name}",
        "recipe": run.recipe,
        "data_name": benchmark.name,
        "columns": COLUMNS,
        "curves": curves,
        "facts": facts_of(run, benchmark),
        "notes": list(dict.fromkeys([*run.info["data"]["notes"], *benchmark.notes, *of_draws])),
        "recipe_yaml": run.recipe.to_yaml(),
        "input_size": network.input_size,
        "box_colours": BOX_COLOURS,
        "version": __version__,
        "percent": percent,
    }
    with whole_file(path) as temporary:
        text = readable(environment().get_template("page.html.jinja").render(page))  # names of any bytes
        temporary.write_text(text, encoding="utf-8")
    return Report(path, shown, tuple(baselines), tuple(lists))


def _scores_part(run: Run, scores: Scores, baselines: Sequence[Baseline]) -> dict[str, Any]:
    """Return the table with baselines, the tiles and the CMC curve."""
    own = scores.as_dict()
    rows = [
        {"name": run.recipe.name, "meaning": "this run", "own": True, "values": [own[key] for key in KEYS]}
    ]
    for baseline in reversed(baselines):
        values = [baseline.scores[key] for key in KEYS]
        rows.append({"name": baseline.name, "meaning": baseline.meaning, "own": False, "values": values})
    curves = [(run.recipe.name, scores.cmc.tolist())] + [
        (entry.name, entry.cmc) for entry in reversed(baselines)
    ]
    lines = [
        Line(
            name,
            100 * cmc[0],
            [(k + 1, 100 * rate) for k, rate in enumerate(cmc[:CMC_RANKS])],
            f"c{index + 1}",
        )
        for index, (name, cmc) in enumerate(curves)
    ]
    tiles = [{"name": name, "value": percent(own[key]), "unit": "%"} for name, key in TILES]
    left_out = scores.total_queries - scores.queries
    note = f"queries; {left_out:,} more have no match" if left_out else "queries"
    tiles.append({"name": note, "value": f"{scores.queries:,}", "unit": ""})
    ignored = IGNORED[scores.protocol.cross_camera]
    best = max(baselines, key=lambda baseline: baseline.scores["rank1"])
    return {
        "rows": rows,
        "tiles": tiles,
        "cmc": line_chart(
            lines,
            title="Queries answered within the first k (CMC, %)",
            x_label="k",
            y_range=(0, 100),
        ),
        "verdict": {
            "own": own["rank1"],
            "queries": scores.queries,
            "name": best.name,
            "best": best.scores["rank1"],
        },
        "protocol_note": f"In per cent, by the protocol {', '.join(scores.protocol.describe())}. "
        f"Ignored: {ignored}",
        "ignored_note": f"Left out: {ignored}",
        "ap_note": AP_NOTES[scores.ap],
        "metric_note": METRIC_NOTES[scores.metric],
    }


def _lists_part(lists: Sequence[RankedList], benchmark: Benchmark) -> list[dict[str, Any]]:
    """Return the ranked lists with their pictures, by kind."""
    groups = []
    for kind in KINDS:
        entries = [
            {
                "person": benchmark.names.get(entry.query.person, str(entry.query.person)),
                "average_precision": entry.average_precision,
                "first_match": entry.first_match,
                "query": _shown(entry.query, benchmark),
                "hits": [
                    {"crop": _shown(hit.crop, benchmark), "score": hit.score, "right": hit.right}
                    for hit in entry.hits
                ],
            }
            for entry in lists
            if entry.kind == kind
        ]
        if entries:
            groups.append({"title": TITLES[kind], "entries": entries})
    return groups


def _shown(crop: Crop, benchmark: Benchmark) -> dict[str, str]:
    camera = "" if crop.camera is None else f"cam {crop.camera}"
    return {"picture": thumbnail(crop.path), "camera": camera, "file": benchmark.relative(crop.path)}


def _looks_part(
    model: Network, queries: Sequence[Crop], pixels: Pixels, query_rows: Sequence[int]
) -> list[list[View]]:
    """Return the attention maps of one crop each of some persons, spread evenly over the queries."""
    first = {crop.person: row for crop, row in reversed(list(zip(queries, query_rows, strict=True)))}
    rows = list(reversed(first.values()))
    count = min(LOOKS, len(rows))
    chosen = [rows[place * len(rows) // count] for place in range(count)]
    return [views for views in attention_views(model, pixels[chosen]) if views]


def percent(fraction: float) -> str:
    """Return a fraction in per cent, with one decimal."""
    return f"{100 * fraction:.1f}"

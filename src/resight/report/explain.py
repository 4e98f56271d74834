"""Explaining a model, or two of one architecture beside each other, by the papers' figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from resight.data.benchmark import Benchmark
from resight.data.crop import Crop
from resight.errors import UserError, did_you_mean
from resight.evaluation.features import Metric
from resight.evaluation.scores import Scores
from resight.inference.embedder import Embedder
from resight.inference.loading import LoadedModel
from resight.models.network import Network
from resight.names import readable
from resight.report.figures import (
    ExplanationChoices,
    ExplanationFigure,
    Shown,
    Subject,
    figure_of_lists,
    figure_of_maps,
    figure_of_masks,
    figure_of_points,
    figure_of_projection,
)
from resight.report.lists import Kind, ranked_lists, select_queries
from resight.report.projection import too_few
from resight.report.reference_points import Weights, position_weights
from resight.training.comparing import differences, what_counts
from resight.training.testing import embed_benchmark, score_benchmark, take_draw


@dataclass(frozen=True, slots=True)
class Explanation:
    """The figures of one model, or of two beside each other.

    Attributes:
        subjects: the models.
        crops: the queries that the sheets show, in order, with the reason for each.
        figures: in the order of the page.
        left_out: why the other figures do not apply.
        weights: (model, module) -> what each position attends to (``position_weights``).
        related: number of positions to mark that a reference point attends to most.
        differ: what differs in the two runs' recipes: place -> value in each.
    """

    subjects: tuple[Subject, ...]
    crops: tuple[tuple[Kind, Crop], ...]
    figures: tuple[ExplanationFigure, ...]
    left_out: tuple[str, ...]
    weights: Mapping[tuple[str, str], Weights]
    related: int
    differ: Mapping[str, tuple[object, object]]

    @property
    def differences(self) -> dict[str, str]:
        """What differs in the recipes, as text: place -> "value and value", each as YAML."""
        return {key: f"{_text(one)} and {_text(two)}" for key, (one, two) in self.differ.items()}


def explain(
    models: Sequence[LoadedModel],
    benchmark: Benchmark,
    choices: ExplanationChoices = ExplanationChoices(),  # noqa: B008 (frozen)
    *,
    skip_unreadable: bool = False,
) -> Explanation:
    """Make the figures of a model, or of two beside each other.

    Args:
        models: one, or two of the same architecture.
        benchmark: with a test part; of a set with draws, the first one is shown.
        choices: what to show.
        skip_unreadable: leave unreadable images out.

    Raises:
        UserError: the models differ in architecture, there is no such query, or an image is unreadable.
    """
    if len(models) > 1:
        refuse_another_architecture(*models)
    subjects = [
        _subject(name, model, benchmark, choices.metric, skip_unreadable)
        for name, model in zip(_names(models), models, strict=True)
    ]
    first = subjects[0]
    queries = _queries(first, benchmark, choices)
    lists = {
        subject.name: ranked_lists(
            subject.embedded, subject.scores, benchmark.protocol, queries, hits=choices.hits
        )
        for subject in subjects
    }
    crops = [(entry.kind, entry.query) for entry in lists[first.name]]
    figures: list[ExplanationFigure | str] = []
    weights: dict[tuple[str, str], Weights] = {}
    shown = Shown.of(subjects, crops)
    if shown is None:
        figures.append("Attention: an ONNX or OpenVINO graph returns only vectors.")
    else:
        for name, network in shown.networks.items():
            found = position_weights(network, shown.pixels)
            weights |= {(name, place): values for place, values in found.items()}
        figures += [figure_of_maps(shown), figure_of_points(shown, weights, choices), figure_of_masks(shown)]
    figures.append(figure_of_lists(lists, benchmark, choices.metric))
    reason = too_few(first.embedded)
    figures.append(reason or figure_of_projection(subjects, [crop.person for _, crop in crops], choices))
    recipes = [what_counts(model.run.recipe.as_dict()) for model in models if model.run is not None]
    differ = differences(recipes[0], recipes[1]) if len(recipes) == 2 else {}
    return Explanation(
        tuple(subjects),
        tuple(crops),
        tuple(figure for figure in figures if isinstance(figure, ExplanationFigure)),
        tuple(reason for reason in figures if isinstance(reason, str)),
        weights,
        choices.related,
        differ,
    )


def refuse_another_architecture(one: LoadedModel, other: LoadedModel) -> None:
    """Raise a UserError unless two models have the same layers, of any width, and the same input size."""

    def layers(model: LoadedModel) -> object:
        network = model.network
        if not isinstance(network, Network):
            return type(network)
        return type(network), [name for name, _ in network.named_parameters() if "classifier" not in name]

    def described(model: LoadedModel) -> str:
        height, width = model.network.input_size
        return f"{model.source or model.name} ({model.network.name}, {height}x{width})"

    if layers(one) != layers(other) or one.network.input_size != other.network.input_size:
        raise UserError(
            f"{described(other)} is another architecture than {described(one)}, so their maps do not "
            "correspond. Compare two trainings of one network, such as a recipe with and without one of its "
            "terms, or explain each model alone."
        )


def _text(value: object) -> str:
    """Return a value of a recipe as YAML on one line; ``none`` if it is missing."""
    if value is None:
        return "none"
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).split("\n")[0]


def _names(models: Sequence[LoadedModel]) -> list[str]:
    """Return the name of one model, or the ends of two models' paths by which they differ."""
    if len(models) == 1:
        return [readable(models[0].name)]
    paths = [Path(model.source or model.name) for model in models]
    ends = [[Path(*path.parts[-depth:]).as_posix() for path in paths] for depth in range(1, 100)]
    different = next((names for names in ends if len(set(names)) == len(names)), None)
    if different is None:
        raise UserError(f"{paths[0]} is named twice. Name two different runs, or one.")
    return [readable(name) for name in different]


def _subject(
    name: str, model: LoadedModel, benchmark: Benchmark, metric: Metric, skip_unreadable: bool
) -> Subject:
    embedded = embed_benchmark(Embedder(model), benchmark, skip_unreadable=skip_unreadable)
    if benchmark.draws:
        embedded = take_draw(embedded, benchmark.draws[0])
    scores = score_benchmark(embedded, replace(benchmark, draws=()), metric=metric)
    assert isinstance(scores, Scores)
    return Subject(name, model, embedded, scores)


def _queries(subject: Subject, benchmark: Benchmark, choices: ExplanationChoices) -> dict[Kind, list[int]]:
    """Return the rows of the queries to show."""
    crops = subject.embedded.query_crops
    if not choices.crops:
        return select_queries(subject.embedded, subject.scores, choices.each)
    names = {crop.path.name: row for row, crop in reversed(list(enumerate(crops)))}
    names |= {benchmark.relative(crop.path): row for row, crop in enumerate(crops)}
    names |= {str(crop.path): row for row, crop in enumerate(crops)}
    rows = []
    for name in choices.crops:
        if name not in names:
            raise UserError(
                f"{benchmark.root} has no query '{name}'."
                f"{did_you_mean(name, names, 'Give the file name of a query, or its path in the data set.')}"
            )
        rows.append(names[name])
        if not subject.scores.per_query.valid[names[name]]:
            raise UserError(
                f"The query '{name}' has no match in the gallery that counts. Choose another one."
            )
    return {"chosen": list(dict.fromkeys(rows))}

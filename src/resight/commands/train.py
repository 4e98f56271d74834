"""``resight train``: train a recipe, score it on the data set's test part, write the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from resight.commands.data_options import DEFAULT, CrossCamera, DataOptions
from resight.commands.options import Device, Flag, Json, SkipUnreadable
from resight.commands.output import leave_out, print_classified, print_json, print_left_out, print_table
from resight.errors import UserError
from resight.interruption import resumable
from resight.progress import is_first_process, say

if TYPE_CHECKING:
    from resight.data.benchmark import Benchmark
    from resight.data.classification import Classification
    from resight.inference.loading import LoadedModel
    from resight.training.run import Run

COLUMNS = {"mAP": "mAP", "rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10", "mINP": "mINP"}


def train(
    recipe: str,
    *,
    data: Annotated[Sequence[Path], Parameter(negative="")] = (),
    reading: DataOptions = DEFAULT,
    cross_camera: CrossCamera = True,
    out: Path | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set", negative="")] = (),
    epochs: int | None = None,
    resume: Flag = False,
    device: Device = "auto",
    seed: int | None = None,
    skip_unreadable: SkipUnreadable = False,
    json: Json = False,
) -> None:
    """Train a recipe on a data set, score it on the test part, and write a report.

    Several processes share each batch, on GPUs or on machines, under torchrun:
    torchrun --nproc-per-node 2 -m resight train ...

    Args:
        recipe: name of a recipe (see 'resight recipe list'), a YAML file, or with --resume a run's folder.
        data: folder of a published data set, in Market-1501 layout, with one sub-folder per person, or of
            'resight synthesize --on-the-fly'. If repeated, the run is trained on all sets and tested on the
            first.
        out: folder of the run; runs/RECIPE by default.
        overrides: key.path=value, such as stages.0.optimizer.lr=0.01; may be repeated.
        epochs: instead of the recipe's; divided among its stages in the same proportion, and with the epochs
            that schedules name changed alike.
        resume: continue a run that was interrupted or killed.
        seed: instead of the recipe's.
    """
    from resight.data.benchmark import Benchmark
    from resight.data.classification import Classification
    from resight.data.matching import refuse_trained_persons, refuse_without_match
    from resight.data.opening import open_data, reopen
    from resight.people.on_the_fly import is_drawn, open_drawn
    from resight.training.reading import load_recipe
    from resight.training.run import INFO, RECIPE, how_to_resume, is_adaptation, read_info
    from resight.training.scaling import rescaled
    from resight.training.trainer import train as train_recipe

    source: str | Path = recipe
    benchmark: Benchmark | Classification | None = None
    if (Path(recipe) / INFO).exists():
        if not resume:
            raise UserError(f"{recipe} is a run's folder. Add --resume to continue the run.")
        if is_adaptation(Path(recipe)):
            raise UserError(f"{recipe} is no run of 'resight train'. {how_to_resume(Path(recipe))}")
        source, out = Path(recipe) / RECIPE, out or Path(recipe)
        if not data:
            opened = read_info(Path(recipe))["data"]["opened"]
            place = Path(opened["paths"][0])
            benchmark = open_drawn(place) if is_drawn(place) else reopen(opened)
    elif resume and Path(recipe).is_dir():
        raise UserError(f"{recipe} is not a run's folder (it has no {INFO}). Name the folder of a run.")
    loaded = load_recipe(source, overrides)
    if epochs is not None:
        given, loaded = loaded, rescaled(loaded, epochs)
        if [stage.schedule for stage in loaded.stages] != [stage.schedule for stage in given.stages]:
            say(
                f"Note: {given.epochs} epochs become {epochs}, and those that schedules name change alike. "
                "To change the number alone: --set stages.0.epochs=N"
            )
    if any(is_drawn(place) for place in data):
        benchmark = open_drawn(_only(data, reading))
    elif data:
        benchmark = open_data(data, cross_camera=cross_camera, **reading.arguments())
    elif benchmark is None:
        raise UserError("Name the data to train on: --data FOLDER.")
    if isinstance(benchmark, Benchmark):
        refuse_trained_persons(benchmark)
        refuse_without_match(benchmark)
    for note in benchmark.notes:
        say(f"Note: {note}")
    run = train_recipe(
        loaded,
        benchmark,
        out or Path("runs") / loaded.name,
        device=device,
        seed=seed,
        resume=resume,
        skip_unreadable=skip_unreadable,
    )
    if not is_first_process():
        return
    with resumable(how_to_resume(run.folder)):
        _test(run, benchmark, skip_unreadable, device, json)


def _test(
    run: "Run", benchmark: "Benchmark | Classification", skip_unreadable: bool, device: str, json: bool
) -> None:
    """Score a run on a data set's test part, write the report and print the result."""
    from resight.data.classification import Classification
    from resight.inference.embedder import Embedder
    from resight.inference.loading import load_model
    from resight.report.page import write_report
    from resight.training.run import SCORES
    from resight.training.testing import embed_benchmark, save_scores, score_benchmark

    model = load_model(run, device=device)
    if isinstance(benchmark, Classification):
        _test_classes(run, model, benchmark, json)
        return
    left_out = benchmark.left_out
    left_out.add_unreadable("in the training part", count=run.info["data"]["left_out"])
    embedded = scores = None
    if benchmark.query and benchmark.gallery:
        embedded = embed_benchmark(Embedder(model), benchmark, skip_unreadable=skip_unreadable)
        scores = score_benchmark(embedded, benchmark)
        leave_out(left_out, embedded.skipped, benchmark.relative)
        save_scores(scores, run.folder / SCORES)
    report = write_report(model, benchmark, embedded=embedded, scores=scores)
    result = None if scores is None else scores.as_dict()
    if json:
        print_json(_result(run, report.path, result) | {"left_out": left_out.as_list()})
        return
    if result is not None:
        rows: list[tuple[str, Mapping[str, float]]] = [(run.recipe.name, result)]
        rows += [(baseline.name, baseline.scores) for baseline in report.baselines]
        print_table(
            ["", *COLUMNS.values()],
            [[name, *(f"{100 * values[key]:.1f}" for key in COLUMNS)] for name, values in rows],
            title=f"{benchmark.name}: {result['queries']:,} queries, in per cent",
        )
    print(f"Run: {run.folder}")
    print(f"Report: {report.path}")
    print_left_out(left_out)


def _only(data: Sequence[Path], reading: DataOptions) -> Path:
    """Return the folder of a set that is drawn in training.

    Raises:
        UserError: there are other sets, or options for reading files.
    """
    if len(data) > 1:
        raise UserError("People who are drawn in training are a set of their own: name one --data.")
    if given := reading.given():
        raise UserError(f"{' and '.join(given)} can only be given with files, and {data[0]} has none.")
    return data[0]


def _test_classes(run: "Run", model: "LoadedModel", data: "Classification", json: bool) -> None:
    """Score a run on a classification data set, without a report, because there is nothing to rank."""
    from resight.training.classifying import classify
    from resight.training.run import SCORES
    from resight.training.testing import save_scores

    scores = classify(model.need_network("to name classes"), data, device=model.device)
    save_scores(scores, run.folder / SCORES)
    if json:
        print_json(_result(run, None, scores.as_dict()))
        return
    print_classified(scores, f"{run.recipe.name} on {data.name}")
    print(f"Run: {run.folder}")


def _result(run: "Run", report: Path | None, scores: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "run": str(run.folder),
        "weights": str(run.folder / "weights.safetensors"),
        "report": None if report is None else str(report),
        "scores": scores,
    }

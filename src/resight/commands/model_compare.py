"""``resight model compare``: accuracy, cost, speed and memory of models."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from cyclopts import Parameter

from resight.commands.data_options import DEFAULT, CrossCamera, DataOptions
from resight.commands.options import Device, Json, RuntimeName, SkipUnreadable
from resight.commands.output import print_json, print_table
from resight.errors import UserError
from resight.interruption import SAME_COMMAND, resumable
from resight.progress import say

if TYPE_CHECKING:
    from resight.data.benchmark import Benchmark
    from resight.inference.embedder import Embedder
    from resight.training.run import Run

T = TypeVar("T")


@resumable(SAME_COMMAND)
def compare(
    *models: Path,
    data: Annotated[Sequence[Path], Parameter(consume_multiple=True, negative="")],
    out: Path,
    reading: DataOptions = DEFAULT,
    cross_camera: CrossCamera = True,
    precision: Literal["auto", "float32", "bfloat16"] | None = None,
    device: Device = "auto",
    runtime: RuntimeName = "auto",
    skip_unreadable: SkipUnreadable = False,
    json: Json = False,
) -> None:
    """Compare models on data sets: mAP and rank-1 with intervals, parameters, FLOPs, speed and memory.

    A model or a data set that cannot be opened is named first and left out. Each model embeds each set once:
    the scores are kept in the folder, so that a command that was interrupted goes on, and models or sets can
    be added. Speeds are measured at the end, all models in turn.

    Args:
        models: runs, model folders, or weights, ONNX or OpenVINO files.
        data: folders of crops, as for 'resight evaluate'.
        out: folder to write, or to add to: comparison.json, comparison.md, comparison.png and scores.
        precision: number type of all models; by default each model's own.
    """
    from resight.files import whole_file, write_json
    from resight.inference.embedder import Embedder
    from resight.inference.loading import load_model
    from resight.report import comparison, comparison_output

    missing: list[tuple[Path, str]] = []

    def open_model(path: Path) -> "tuple[Embedder, Run | None]":
        loaded = load_model(path, device=device, precision=precision, runtime=runtime)
        return Embedder(loaded), loaded.run

    opened = _open_all(models, open_model, missing)
    runs = [run for _, (_, run) in opened]
    options = reading.arguments() | {"cross_camera": cross_camera}
    readers = _one_each(options.pop("reader") or (), data)
    sets = _open_all(data, lambda path: _open_set(path, runs, options | {"reader": readers[path]}), missing)
    for path, reason in missing:
        say(f"Left out: {path}. {reason}")
    if not opened or not sets:
        kind = "models" if models and not opened else "data sets" if opened else "models to compare"
        raise UserError(f"There are no {kind}: {'; '.join(reason for _, reason in missing) or 'none named'}")
    names = _unique([(path, embedder.name) for path, (embedder, _) in opened])
    set_names = _unique([(path, benchmark.name) for path, (benchmark, _) in sets])
    found = comparison.compare(
        [
            comparison.ComparedModel(name, embedder)
            for name, (_, (embedder, _)) in zip(names, opened, strict=True)
        ],
        [comparison.ComparedSet(name, *rest) for name, (_, rest) in zip(set_names, sets, strict=True)],
        out / "scores",
        skip_unreadable=skip_unreadable,
    )
    left_out = [{"path": str(path), "reason": reason} for path, reason in missing]
    result = found.as_dict() | {"machine": comparison.describe_machine(), "left_out": left_out}
    sentences = [
        *comparison_output.notes(found),
        *(f"Left out: {path}. {reason}" for path, reason in missing),
    ]
    write_json(out / "comparison.json", result)
    with whole_file(out / "comparison.md") as temporary:
        temporary.write_text(comparison_output.markdown(found, sentences), encoding="utf-8")
    comparison_output.plot(found, out / "comparison.png")
    if json:
        print_json(result)
        return
    print_table(*comparison_output.accuracy_table(found))
    print_table(*comparison_output.cost_table(found))
    print("\n".join([*sentences, f"Written: {out}"]))


def _open_all(
    paths: Sequence[Path], open_one: Callable[[Path], T], missing: list[tuple[Path, str]]
) -> list[tuple[Path, T]]:
    """Return what can be opened, and add what cannot to ``missing``, with the reason."""
    opened = []
    for path in dict.fromkeys(paths):
        try:
            opened.append((path, open_one(path)))
        except UserError as error:
            missing.append((path, str(error)))
    return opened


def _one_each(readers: Sequence[str], data: Sequence[Path]) -> dict[Path, str | None]:
    if len(readers) not in (0, 1, len(data)):
        raise UserError(f"Give one --reader for all data sets, or one for each; got {len(readers)}.")
    named: list[str | None] = [*readers] or [None]
    named *= len(data) // len(named)
    return dict(zip(data, named, strict=True))


def _open_set(
    path: Path, runs: "Sequence[Run | None]", options: dict[str, Any]
) -> "tuple[Benchmark, tuple[int | None, ...]]":
    """Return a data set, and how many of its test crops each model was trained on."""
    from resight.data.benchmark import Benchmark
    from resight.data.matching import refuse_without_match
    from resight.training.test_sets import open_test_set

    benchmark, trained = open_test_set(path, runs, **options)
    if not isinstance(benchmark, Benchmark):
        raise UserError(f"{path} is a classification, without queries and a gallery. Name crops of persons.")
    refuse_without_match(benchmark)
    tested = {crop.path for crop in (*benchmark.query, *benchmark.gallery)}
    both = (None if run is None else len(own & tested) for run, own in zip(runs, trained, strict=True))
    return benchmark, tuple(both)


def _unique(named: Sequence[tuple[Path, str]]) -> list[str]:
    """Return the names; where two are equal, the paths instead."""
    counts = Counter(name for _, name in named)
    return [name if counts[name] == 1 else str(path) for path, name in named]

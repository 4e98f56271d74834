"""``resight explain``: what a model attends to, finds and keeps apart, in pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from resight.commands.data_options import DEFAULT, CrossCamera, DataOptions
from resight.commands.options import Device, Json, RuntimeName, SkipUnreadable
from resight.commands.output import leave_out, print_json, print_left_out, show
from resight.commands.tested_data import open_tested
from resight.errors import UserError

Repeated = Annotated[Sequence[str], Parameter(negative="")]


def explain(
    model: Path,
    other: Path | None = None,
    *,
    data: Path | None = None,
    out: Path | None = None,
    each: int = 2,
    crop: Repeated = (),
    point: Repeated = (),
    related: int = 5,
    persons: int = 20,
    metric: Literal["cosine", "euclidean"] = "cosine",
    reading: DataOptions = DEFAULT,
    cross_camera: CrossCamera = True,
    device: Device = "auto",
    runtime: RuntimeName = "auto",
    skip_unreadable: SkipUnreadable = False,
    json: Json = False,
) -> None:
    """Draw what a model attends to, finds and keeps apart, or two models beside each other.

    Args:
        model: a run, a model folder, or a weights, ONNX or OpenVINO file.
        other: a second one of the same architecture, for the same crops.
        data: folder of crops; by default the run's own test set.
        out: folder to write; by default 'explanation' in the run's folder.
        each: number of the best, of the median and of the worst queries to show, by the first model.
        crop: file name of a query to show instead; may be repeated.
        point: reference point, as fractions X,Y of width and height from the upper left corner, such as
            0.5,0.35; may be repeated.
        related: number of positions to mark that a reference point attends to most.
        persons: number of persons in t-SNE.
        metric: cosine similarity or Euclidean distance.
    """
    from resight.data.classification import Classification
    from resight.data.matching import refuse_without_match
    from resight.inference.loading import load_model
    from resight.report.explain import explain as make
    from resight.report.explanation_page import write_explanation
    from resight.report.figures import ExplanationChoices

    choices = ExplanationChoices(
        each, tuple(crop), tuple(map(_point, point)), related, persons=persons, metric=metric
    )
    models = [load_model(path, device=device, runtime=runtime) for path in (model, other) if path is not None]
    run = models[0].run
    if out is None:
        if run is None:
            raise UserError(f"{model} is not a run. Name the folder to write: --out FOLDER.")
        out = run.folder / "explanation"
    benchmark = open_tested(data, reading, cross_camera, run)
    if isinstance(benchmark, Classification):
        raise UserError(
            f"{benchmark.root} has classes instead of persons, and nothing to rank. Name a folder of crops: "
            "--data FOLDER."
        )
    refuse_without_match(benchmark)
    found = make(models, benchmark, choices, skip_unreadable=skip_unreadable)
    leave_out(benchmark.left_out, found.subjects[0].embedded.skipped, benchmark.relative)
    page, *pictures = write_explanation(found, benchmark, out)
    result = {
        "folder": str(out),
        "page": str(page),
        "pictures": [str(path) for path in pictures],
        "crops": [benchmark.relative(crop.path) for _, crop in found.crops],
        "not_applicable": list(found.left_out),
        "differences": {key: list(values) for key, values in found.differ.items()},
        "left_out": benchmark.left_out.as_list(),
    }
    if json:
        print_json(result)
        return
    for figure in found.figures:
        show(f"{figure.title}: {out / figure.name}.png, .svg")
    for reason in found.left_out:
        show(f"Does not apply: {reason}")
    for key, values in found.differences.items():
        print(f"The recipes differ in {key}: {values}.")
    print(f"To click through: {page}")
    print_left_out(benchmark.left_out)


def _point(text: str) -> tuple[float, float]:
    """Read ``X,Y``."""
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise UserError(
            f"'{text}' is not a reference point. Give fractions of the picture's width and height, such as "
            "--point 0.5,0.35."
        ) from None
    return x, y

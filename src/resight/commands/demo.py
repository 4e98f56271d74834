"""``resight demo``: draws people, searches them with a model that it may train, and fills a gallery."""

import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.commands.options import Device, Flag, Json
from resight.commands.output import print_json, print_table
from resight.errors import UserError
from resight.files import read_json, write_json
from resight.interruption import SAME_COMMAND, resumable
from resight.program import command_line
from resight.progress import clock, say

if TYPE_CHECKING:
    from resight.data.benchmark import Benchmark
    from resight.data.crop import Crop
    from resight.inference.embedder import Embedder
    from resight.training.run import Run

TRAIN_PERSONS, TEST_PERSONS = 100, 60
CAMERAS, CROPS, HEIGHT = 4, 3, 128

RECIPE = "han-small-fast"
OVERRIDES = ["model.input_size=[128,64]", "stages.0.epochs=4", "stages.1.epochs=4"]
"""The same training on every machine: 9,500 crops; two cores without AVX-512 train 27 a second or more."""

FIRST = datetime(2026, 1, 5, 8, tzinfo=UTC)

LEAD = 0.05
"""Required lead of the model over each baseline, in rank-1 and mAP."""

RECORD, PEOPLE, RUN, REPORT = "demo.json", "synthetic-people", "run", "report.html"
GALLERY = "people.gallery"
COLUMNS = {"rank1": "Rank-1", "rank5": "Rank-5", "mAP": "mAP", "mINP": "mINP"}


def demo(
    *,
    out: Path = Path("runs/demo"),
    train: Flag = False,
    persons: int | None = None,
    seed: int = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Draw synthetic people, find them again in other cameras, and fill a gallery to search.

    With --train, HAN(Small) is trained first, on other people, and a report is written; without, the model is
    the one that comes with Resight. If the command is interrupted, run it again to resume; after a finished
    demo, it starts over. The exit status is 1 if the model is not clearly better than untrained baselines.

    Args:
        out: folder for the people and people.gallery; with --train, also for the run and report.html.
        train: train a model, for two to eight minutes on two cores.
        persons: with --train: number of persons to train on, a multiple of five (100); 60 others are drawn
            for testing.
        seed: of the drawing and the training.
    """
    if persons is not None and not train:
        raise UserError("--persons are those to train on: give --train too, or leave it out.")
    persons = (TRAIN_PERSONS if persons is None else persons) if train else 0
    if train and (persons < 10 or persons % 5):
        raise UserError(f"--persons must be a multiple of 5, and at least 10; got {persons}.")
    settings = {"persons": persons, "seed": seed, "cameras": CAMERAS, "crops": CROPS, "recipe": OVERRIDES}
    if continues(out, settings):
        say(f"Resuming the demo in {out}.")
    elif train:
        say("The demo takes two to eight minutes on two cores; a GPU shortens the training.")
    start = time.monotonic()
    with resumable(SAME_COMMAND):
        result = _run(out, persons, seed, device)
    write_json(out / RECORD, {"settings": settings, "finished": True})
    if json:
        print_json(result)
    else:
        rows = [
            (entry["name"], *(f"{100 * entry[key]:.1f}" for key in COLUMNS)) for entry in result["scores"]
        ]
        title = f"{result['queries']} queries for people that training never saw, in per cent"
        print_table(["", *COLUMNS.values()], rows, title=title)
        if train:
            print(f"Report: {result['report']}")
        print(f"Gallery: {result['gallery']}, {result['crops']:,} crops. To search it in a browser:")
        print(f"  {command_line('serve', '--gallery', result['gallery'])}")
        print(f"Pictures to search with are in {result['pictures']}.")
        say(f"Done in {clock(time.monotonic() - start)}.")
    if result["shortfalls"]:
        raise UserError(
            f"The demo failed: {' '.join(result['shortfalls'])} The model should be {100 * LEAD:.0f} points "
            "ahead of every baseline. Try another --seed."
        )


def continues(out: Path, settings: Mapping[str, object]) -> bool:
    """Return whether the folder has an unfinished demo with these settings to resume; remove any other demo.

    Raises:
        UserError: the folder contains other files.
    """
    path = out / RECORD
    if path.is_file():
        record = read_json(path, f"Remove {out}, and the demo starts over.")
        if record.get("settings") == settings and not record.get("finished"):
            return True
        what = "a finished demo" if record.get("finished") else "an unfinished demo with other settings"
        say(f"{out} has {what}: it is removed, and the demo starts over.")
        for name in (PEOPLE, RUN, GALLERY):
            shutil.rmtree(out / name, ignore_errors=True)
        (out / REPORT).unlink(missing_ok=True)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not a demo's folder. Name a new or empty folder with --out.")
    write_json(out / RECORD, {"settings": settings, "finished": False})
    return False


def shortfalls(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each score that is not at least ``LEAD`` above the best baseline's.

    Args:
        own, others: the model's and each baseline's ``name``, ``rank1`` and ``mAP``, as fractions.
    """
    sentences = []
    for key, name in (("rank1", "rank-1"), ("mAP", "mAP")):
        best = max(others, key=lambda other: float(other[key]))
        if own[key] < best[key] + LEAD:
            sentences.append(f"Its {name} is {own[key]:.1%}, that of '{best['name']}' is {best[key]:.1%}.")
    return sentences


def _run(out: Path, persons: int, seed: int, device: str) -> dict[str, Any]:
    """Draw, train on ``persons`` if there are any, test and report; return the results.

    Unfinished steps are resumed.
    """
    from resight.people.generate import synthesize

    drawn = synthesize(
        out / PEOPLE,
        persons=persons + TEST_PERSONS,
        test_persons=TEST_PERSONS,
        cameras=CAMERAS,
        crops=CROPS,
        height=HEIGHT,
        seed=seed,
    )

    from resight.data.opening import open_benchmark
    from resight.inference.embedder import Embedder
    from resight.inference.loading import load_model, model_or_default
    from resight.models.packaged import NAME
    from resight.report.baselines import baselines_of
    from resight.report.page import write_report
    from resight.training.testing import embed_benchmark, save_scores, score_benchmark

    benchmark = open_benchmark(drawn.folder)
    run = _train(benchmark, out / RUN, seed, device) if persons else None
    embedder = Embedder(
        model_or_default(None, device=device) if run is None else load_model(run, device=device)
    )
    embedded = embed_benchmark(embedder, benchmark)
    scores = score_benchmark(embedded, benchmark)
    written: dict[str, Any] = {}
    if run is None:
        baselines = baselines_of(embedded, benchmark.protocol, embedder.picture_size, seed=seed)
    else:
        save_scores(scores, run.folder / "scores.json")
        report = write_report(embedder.model, benchmark, out / REPORT, embedded=embedded, scores=scores)
        written, baselines = {"report": str(report.path), "run": str(run.folder)}, list(report.baselines)
    own = {"name": NAME if run is None else f"{RECIPE}, trained"} | scores.as_dict()
    others = [{"name": baseline.name} | baseline.scores for baseline in baselines]
    return written | {
        "gallery": str(out / GALLERY),
        "crops": fill_gallery(out / GALLERY, embedder, benchmark.gallery),
        "pictures": str(drawn.folder / "query"),
        "queries": own["queries"],
        "scores": [{key: entry[key] for key in ("name", *COLUMNS)} for entry in (*others, own)],
        "shortfalls": shortfalls(own, others),
    }


def _train(benchmark: "Benchmark", folder: Path, seed: int, device: str) -> "Run":
    """Train the demo's recipe, or go on where it was."""
    from resight.training.reading import load_recipe
    from resight.training.run import INFO
    from resight.training.trainer import train

    recipe = load_recipe(RECIPE, OVERRIDES)
    return train(recipe, benchmark, folder, device=device, seed=seed, resume=(folder / INFO).exists())


def fill_gallery(place: Path, embedder: "Embedder", crops: "Sequence[Crop]") -> int:
    """Add crops to a gallery, calibrate it, and return its number of crops.

    The times are made up: a person passes every two minutes.
    """
    crops = [crop for crop in crops if crop.person >= 0]
    from resight.gallery.crops import NewCrop
    from resight.gallery.gallery import Gallery
    from resight.progress import Bar

    def new(at: int, crop: "Crop") -> NewCrop:
        seconds = 120 * (crop.person or at) + 30 * (crop.camera or 0) + at % CROPS
        return NewCrop(
            crop.path,
            camera=str(crop.camera),
            time=FIRST + timedelta(seconds=seconds),
            source="demo",
            name=crop.path.name,
            person=str(crop.person) if crop.person else None,
        )

    with (
        Gallery.open(place, embedder, create=True) as gallery,
        Bar("Filling the gallery", len(crops)) as bar,
    ):
        gallery.add((new(*one) for one in enumerate(crops)), lambda batch: bar.advance(len(batch.ids)))
        gallery.calibrate(origin="the demo's own people")
        gallery.compact()
        return len(gallery)

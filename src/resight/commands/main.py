"""Entry point of ``resight``: defines the commands, and prints user errors without a traceback.

Commands are given by import path, so ``resight --help`` imports none of them (nor torch).
"""

import errno
import io
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn, get_args

from cyclopts import App, CycloptsError, Parameter, Token, convert

from resight import __version__, program  # noqa: F401  # early, while what started this process is there
from resight.errors import UserError
from resight.names import printable_lines

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Why nothing more can be written to a disk."""

WAITING = ("waiting", "frames", "stream")
"""Threads of ``resight.ingest`` that may be blocked in a call that cannot be interrupted."""


def strictly(hint: Any, tokens: Sequence[Token]) -> Any:
    """Convert an option's words as Cyclopts does, which alone would round 10.5 to the whole number 10."""
    kinds = {hint, *get_args(hint)}
    for token in tokens:
        if int in kinds and not kinds & {float, str} and "." in token.value:
            raise ValueError(f"it must be a whole number; got {token.value}.")
    return convert(hint, tokens)


app = App(
    name="resight",
    help="Find the same person again in other cameras' pictures: train, measure and search.",
    version=__version__,
    help_format="markdown",
    # do not print the defaults of flags and repeatable options
    default_parameter=Parameter(
        converter=strictly,
        negative_iterable=(),
        show_default=lambda value: None if value == () or value is False else value,
    ),
    # main() reports interruptions and what was mistyped
    suppress_keyboard_interrupt=False,
    print_error=False,
    exit_on_error=False,
)
app.command("resight.commands.train:train", name="train", help="Train a recipe on a folder of crops.")
app.command("resight.commands.adapt:adapt", name="adapt", help="Adapt a model to crops without labels.")
app.command("resight.commands.evaluate:evaluate", name="evaluate", help="Score a model on a data set.")
app.command(
    "resight.commands.explain:explain",
    name="explain",
    help="Draw what a model attends to, finds and keeps apart.",
)
app.command("resight.commands.summarize:summarize", name="summarize", help="Mean and spread of runs' scores.")
app.command(
    "resight.commands.reproduce:reproduce", name="reproduce", help="Train the rows of a published table."
)
app.command("resight.commands.sweep:sweep", name="sweep", help="Train a recipe over a grid of settings.")
app.command("resight.commands.embed:embed", name="embed", help="Embed crops into a folder of features.")
app.command("resight.commands.score:score", name="score", help="Score features from any toolkit.")
app.command("resight.commands.synthesize:synthesize", name="synthesize", help="Draw synthetic pedestrians.")
app.command(
    "resight.commands.demo:demo",
    name="demo",
    help="Draw people, find them again and fill a gallery; --train trains first.",
)
app.command(
    "resight.commands.download:download", name="download", help="Download ImageNet weights of a trunk."
)
app.command("resight.commands.ingest:ingest", name="ingest", help="Add the people in a video to a gallery.")
app.command("resight.commands.serve:serve", name="serve", help="Serve a gallery's page and JSON API.")

data = App(name="data", help="Inspect data sets.", help_format="markdown")
data.command("resight.commands.data:check", name="check", help="Count crops and find errors in a data set.")
data.command("resight.commands.data:readers", name="readers", help="List the data sets that can be read.")
data.command("resight.commands.data:split", name="split", help="Write a data set's split to a file.")
app.command(data)

gallery = App(name="gallery", help="Store crops and search them.", help_format="markdown")
gallery.command("resight.commands.gallery:add", name="add", help="Add crops to a gallery.")
gallery.command("resight.commands.gallery:search", name="search", help="Find a person by pictures.")
gallery.command("resight.commands.gallery_listing:info", name="info", help="Show what is in a gallery.")
gallery.command(
    "resight.commands.gallery_changes:forget", name="forget", help="Delete crops; set the retention period."
)
gallery.command("resight.commands.gallery_listing:list_crops", name="list", help="List stored crops.")
gallery.command("resight.commands.gallery_listing:persons", name="persons", help="List the labelled persons.")
gallery.command(
    "resight.commands.gallery_changes:correct", name="correct", help="Correct camera, time, person or tags."
)
gallery.command("resight.commands.gallery_changes:rename", name="rename", help="Give a person another name.")
gallery.command(
    "resight.commands.gallery_upkeep:export", name="export", help="Write features, labels and pictures."
)
gallery.command(
    "resight.commands.gallery_upkeep:reembed", name="reembed", help="Change a gallery to another model."
)
gallery.command(
    "resight.commands.gallery_upkeep:calibrate",
    name="calibrate",
    help="Measure distance thresholds for the same person.",
)
gallery.command(
    "resight.commands.gallery_upkeep:settings",
    name="settings",
    help="Remove the cameras' means from the vectors, or keep them.",
)
gallery.command(
    "resight.commands.gallery_upkeep:compact", name="compact", help="Build the search graph, free disk space."
)
app.command(gallery)

model = App(name="model", help="Import, export, check and describe models.", help_format="markdown")
model.command(
    "resight.commands.model:import_file",
    name="import",
    help="Make a model folder from another toolkit's file.",
)
model.command(
    "resight.commands.model:info", name="info", help="Show a model's network, preprocessing and vectors."
)
model.command(
    "resight.commands.model_export:export",
    name="export",
    help="Write a model as an ONNX or OpenVINO file for other programs.",
)
model.command(
    "resight.commands.model_check:check",
    name="check",
    help="Check a model's preprocessing on labelled crops.",
)
model.command(
    "resight.commands.model_quantize:quantize",
    name="quantize",
    help="Write a model in int8, if it is accurate and faster.",
)
model.command(
    "resight.commands.model_compare:compare",
    name="compare",
    help="Compare models on data sets: accuracy, cost, speed.",
)
model.command(
    "resight.commands.model:list_networks", name="list", help="List the networks: parameters, FLOPs, sizes."
)
app.command(model)

recipe = App(name="recipe", help="Inspect recipes.", help_format="markdown")
recipe.command("resight.commands.recipe:show", name="show", help="Print a recipe in full.")
recipe.command(
    "resight.commands.recipe:list_recipes", name="list", help="List the recipes that come with Resight."
)
app.command(recipe)


def main() -> None:
    """Run the command line; the exit status is 0, 1 after an error, 2 if mistyped, 130 if interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may be no UTF-8
    try:
        try:
            app()
        except SystemExit:
            if sys.stdout is not None:
                sys.stdout.flush()  # so that what cannot be written is known here
            raise
    except CycloptsError as error:
        from resight.commands.usage_errors import print_usage_error

        print_usage_error(error)
        sys.exit(2)
    except UserError as error:
        print(f"resight: {printable_lines(str(error))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as how_to_resume:
        from resight.progress import is_first_process

        if is_first_process():
            print(f"resight: interrupted. {how_to_resume}".rstrip(), file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        closed, full = isinstance(error, BrokenPipeError), error.errno in FULL
        if not closed and not full:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it
        if full:
            place = error.filename or "the output"
            print(f"resight: Cannot write {place}: {error.strerror}.", file=sys.stderr)
        sys.exit(int(full))  # the reader may close a pipe when it has enough (| head)


def run() -> NoReturn:
    """Run the command line and exit."""
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stdout.buffer, io.RawIOBase):
        # with PYTHONUNBUFFERED, a full disk would cut the output without an error
        buffered = io.BufferedWriter(sys.stdout.buffer)
        sys.stdout = io.TextIOWrapper(buffered, sys.stdout.encoding, line_buffering=True)
    status: str | int | None = 0
    try:
        main()
    except SystemExit as stopped:
        status = stopped.code or 0
    if isinstance(status, int) and any(thread.name in WAITING for thread in threading.enumerate()):
        # FFmpeg sometimes crashes if a thread still waits for a server while the interpreter exits
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    run()

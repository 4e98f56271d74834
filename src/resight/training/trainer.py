"""Training a recipe on a benchmark: build the parts, run the loop, write the weights."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from resight.data.benchmark import Benchmark
from resight.data.classification import Classification
from resight.data.examples import cameras_of, examples_of, labels_of
from resight.device import resolve_device, resolve_precision
from resight.errors import UserError
from resight.files import whole_file
from resight.memory import keep_freed_memory
from resight.models.complexity import measure
from resight.models.embedding import PixelEmbedder
from resight.models.network import Network, build_model
from resight.models.pretrained import read_trunk, trunk_of
from resight.models.weights import WEIGHTS, save_weights
from resight.people.on_the_fly import DrawnBenchmark, drawn_examples
from resight.processes import Processes, together
from resight.progress import clock, say, say_left_out
from resight.seeds import derive_seed
from resight.training.checkpoint import CHECKPOINT
from resight.training.classifying import classify
from resight.training.fitting import bare_model
from resight.training.loop import Loop
from resight.training.reading import parse_recipe, refuse_labelling
from resight.training.recipe import Recipe
from resight.training.run import (
    INFO,
    LOCK,
    RECIPE,
    Run,
    describe_data,
    held,
    how_to_resume,
    machine,
    now,
    read_info,
    save_info,
    versions,
)
from resight.training.sharing import join_batch_norms
from resight.training.stages import check_sampler, make_phases
from resight.training.testing import embed_benchmark, score_benchmark


def train(
    recipe: Recipe,
    benchmark: Benchmark | Classification,
    folder: Path | str,
    *,
    device: str = "auto",
    seed: int | None = None,
    resume: bool = False,
    skip_unreadable: bool = False,
    log_steps: int = 10,
    checkpoint_seconds: float = 300.0,
) -> Run:
    """Train, and return the run; its folder then holds the weights.

    The run is a function of (recipe, seed, training data): killed at any step and resumed, it ends with the
    same weights (bit for bit on a CPU). Processes that torchrun started share each batch; the result is that
    of one process, except for rounding. The first one writes the folder, which all need to see.

    Args:
        recipe: to train.
        benchmark: the data; the test part is used only if the recipe evaluates during training.
        folder: of the run; new or empty, or with ``resume`` that of the run to continue.
        device: name, or ``auto``.
        seed: instead of the recipe's.
        resume: continue from the last checkpoint, or begin if there is none yet.
        skip_unreadable: leave unreadable images out.
        log_steps: steps between two lines of the log; the loss is checked as often.
        checkpoint_seconds: longest time between two checkpoints; there is also one after each epoch.

    Raises:
        UserError: the folder is in use; model, data and objective do not fit together; recipe or data differ
            from those of the run to resume; the loss is not finite; the disk is full; batches cannot be
            divided among the processes, or one of them has stopped.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once a checkpoint is written.
    """
    folder, target = Path(folder), resolve_device(device)
    keep_freed_memory()
    refuse_labelling(recipe)
    if seed is not None:
        recipe = parse_recipe(dict(recipe) | {"seed": seed}, f"recipe {recipe.name}", fitting=False)
    with ExitStack() as stack:
        processes = stack.enter_context(together(target, how_to_resume(folder)))
        processes.once(lambda: stack.enter_context(_held(folder, resume, recipe)))
        options = resume, skip_unreadable, log_steps, checkpoint_seconds
        run = _train(recipe, benchmark, folder, target, processes, *options)
        processes.wait()
        return run


def _train(
    recipe: Recipe,
    benchmark: Benchmark | Classification,
    folder: Path,
    target: torch.device,
    processes: Processes,
    resume: bool,
    skip_unreadable: bool,
    log_steps: int,
    checkpoint_seconds: float,
) -> Run:
    """Train in one of the processes, once the folder is the run's own."""
    # this, and pretrained weights, before pictures are decoded
    check_sampler(recipe, labels_of(benchmark), cameras_of(benchmark), processes.count)
    bare = bare_model(recipe.model)
    pretrained = None
    if recipe.pretrained is not None and not (resume and (folder / CHECKPOINT).exists()):
        pretrained = read_trunk(trunk_of(bare, recipe.pretrained), recipe.pretrained)
    if isinstance(benchmark, DrawnBenchmark):
        examples = drawn_examples(benchmark, bare.picture_size)
    else:
        examples = examples_of(benchmark, bare.picture_size, skip_unreadable=skip_unreadable)
    torch.manual_seed(derive_seed(recipe.seed, "model"))
    model = build_model(recipe.model.name, examples.number, **recipe.model.settings)
    model = model.to(target).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if pretrained is not None:
        pretrained.load(trunk_of(model, str(recipe.pretrained)))
    if recipe.recompute:
        trunk_of(model, "recompute").recomputed = recipe.recompute
    phases = make_phases(recipe, model, examples, target, processes)
    if processes.count > 1:
        join_batch_norms(model, target)
    loop = Loop(recipe, phases, model, examples, folder, target, processes, log_steps, checkpoint_seconds)

    info = _earlier_info(folder)
    if resume:
        if loop.checkpoint.exists():
            loop.restore()
        if info["finished"] is not None and loop.step == loop.steps:
            say(f"The run {folder} is complete ({recipe.epochs} epochs): there is nothing to resume.")
            return Run(folder, recipe, info)
        info["resumed"].append({"at": now(), "step": loop.step})
        say(f"Resuming {folder} at step {loop.step} of {loop.steps}.")
    say_left_out([f"{path} {reason}" for path, reason in examples.left_out])
    info |= {
        "recipe": recipe.name,
        "finished": None,
        "seed": recipe.seed,
        "device": str(target),
        "processes": processes.count,
        "precision": resolve_precision(recipe.precision, target),
        "versions": versions(),
        "machine": machine(target),
        "data": describe_data(benchmark)
        | {"left_out": len(examples.left_out), "identity": examples.identity},
        "model": {"name": recipe.model.name, **asdict(measure(model))},
        "epochs": recipe.epochs,
        "steps": loop.steps,
    }
    first = processes.rank == 0
    if first:
        with whole_file(folder / RECIPE) as path:
            path.write_text(recipe.to_yaml(), encoding="utf-8")
        save_info(folder, info)

    def evaluation(network: Network) -> dict[str, Any]:
        if isinstance(benchmark, Classification):
            return classify(network, benchmark, device=str(target)).as_dict()
        embedder = PixelEmbedder(network, device=target, precision=recipe.precision)
        embedded = embed_benchmark(embedder, benchmark, skip_unreadable=skip_unreadable)
        return score_benchmark(embedded, benchmark, device=target).as_dict()

    tested = isinstance(benchmark, Classification) or (benchmark.query and benchmark.gallery)
    loop.run(evaluation if tested else None)
    info |= {"finished": now(), "seconds": round(loop.seconds, 3)}
    if first:
        if isinstance(benchmark, Benchmark):
            loop.best.trained_cameras = benchmark.cameras_of(benchmark.train)
        save_weights(loop.best, folder / WEIGHTS)
        save_info(folder, info)
    say(f"Trained {recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''} in {clock(loop.seconds)}.")
    return Run(folder, recipe, info)


@contextmanager
def _held(folder: Path, resume: bool, recipe: Recipe) -> Iterator[None]:
    """Keep other processes from training in the folder."""
    _check_folder(folder, resume, recipe)
    with held(folder, "training"):
        yield


def _check_folder(folder: Path, resume: bool, recipe: Recipe) -> None:
    begun, written = (folder / INFO).exists(), folder / RECIPE
    if resume and not begun:
        there = "has no run in it" if folder.is_dir() else "does not exist"
        raise UserError(f"There is nothing to resume: the folder {folder} {there}. Begin without --resume.")
    if not resume and begun:
        raise UserError(
            f"The folder {folder} holds a run already. {how_to_resume(folder)}\n"
            "Or choose another folder with --out."
        )
    others = {path.name for path in folder.iterdir()} - {LOCK} if folder.is_dir() else set()
    if others == {RECIPE} and written.read_bytes() == recipe.to_yaml().encode():
        others = set()  # a run of this recipe that was killed as it began
    if not resume and folder.exists() and (not folder.is_dir() or others):
        raise UserError(
            f"{folder} is there already and is not a run's folder. Choose another one with --out."
        )


def _earlier_info(folder: Path) -> dict[str, Any]:
    """Return the content of ``run.json`` from earlier sessions, or the initial one."""
    if (folder / INFO).exists():
        return read_info(folder)
    return {"format": 1, "started": now(), "finished": None, "resumed": []}

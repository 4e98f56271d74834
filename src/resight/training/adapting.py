"""Adapting a network to unlabelled crops: pseudo-labels are made anew before each epoch of the usual loop."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resight.data.unlabelled import Unlabelled
from resight.device import resolve_device, resolve_precision
from resight.errors import UserError
from resight.files import whole_file
from resight.losses.cluster_memory import ClusterMemory
from resight.memory import keep_freed_memory
from resight.models.complexity import example
from resight.models.embedding import PixelEmbedder
from resight.models.fingerprint import fingerprint
from resight.models.network import Network, build_model
from resight.models.statistics import embed_by_camera
from resight.models.weights import WEIGHTS, save_weights
from resight.processes import Processes
from resight.progress import clock, say
from resight.training.checkpoint import load_checkpoint
from resight.training.components import Component
from resight.training.labelling import make_labels
from resight.training.loop import Loop
from resight.training.metrics import LOG
from resight.training.recipe import Labelling, Recipe
from resight.training.run import (
    LOCK,
    RECIPE,
    held,
    is_adaptation,
    machine,
    now,
    read_info,
    save_info,
    versions,
)
from resight.training.stages import Phase, make_phases
from resight.training.unusable import check_crops, refuse_alike, refuse_large, why_useless

BEST = "best.safetensors"
"""Weights with the highest measure so far, in the folder of an adaptation."""

ALONE = Processes(0, 1)
"""An adaptation runs in one process."""

FEWEST = 2
"""Persons without which nothing can be learnt."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """An adaptation that is complete.

    Attributes:
        folder: with ``weights.safetensors``.
        epochs: that were trained.
        kept: epochs after which the weights were kept; 0: those of the original network.
        history: the figures of each labelling, the first of the original network.
        seconds: time spent in training steps.
    """

    folder: Path
    epochs: int
    kept: int
    history: list[dict[str, Any]]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "folder": str(self.folder),
            "epochs": self.epochs,
            "kept": self.kept,
            "history": self.history,
            "seconds": round(self.seconds, 3),
        }


class AdaptationLoop(Loop):
    """A loop whose one stage gets new labels before each epoch, and which ends when they get no better."""

    def __init__(self, crops: Unlabelled, settings: Labelling, *arguments: Any) -> None:
        self.crops, self.settings = crops, settings
        super().__init__(*arguments)

    def restore(self) -> None:
        """Go back to the last checkpoint and its pseudo-labels; see ``Loop.restore``."""
        labels = load_checkpoint(self.checkpoint).get("labels")
        if labels is not None and len(labels) == len(
            self.examples.classes
        ):  # else restore() says what differs
            self._use(labels)
        super().restore()

    @property
    def history(self) -> list[dict[str, Any]]:
        """The log's line of each labelling."""
        assert self.log is not None  # there is one process
        return [line for line in self.log.lines if line["kind"] == "labels"]

    def _begin_epoch(self) -> bool:
        """Make new labels between two epochs; return False if there is no epoch to train with them."""
        point = self.phase.point(self.step)
        if point.step % point.steps_per_epoch == 0:
            return self._relabel(point.epoch) and super()._begin_epoch()
        return super()._begin_epoch()

    def _relabel(self, epoch: int) -> bool:
        """Label the crops with the current network; return False if there is no use in training on."""
        title, precision = f"Labelling for epoch {epoch + 1}", self.recipe.precision
        pixels, cameras = self.examples.pixels, self.crops.cameras
        assert isinstance(pixels, np.ndarray)
        if self.settings.adapt_statistics and cameras is not None:
            vectors = embed_by_camera(self.best, pixels, cameras.tolist(), self.device, precision, title)
        else:
            embedder = PixelEmbedder(self.best, device=self.device, precision=precision)
            vectors = embedder.embed(pixels, title=title)
        found = make_labels(vectors, self.crops, self.settings)
        assert self.log is not None
        if not self.log.has("labels", self.step):
            usable = found.persons >= FEWEST
            if not usable and epoch == 0:
                raise UserError(why_useless(found, len(vectors), self.settings))
            if usable and all(line["measure"] < found.measure for line in self.history):
                save_weights(self.best, self.folder / BEST)
            self.log.write("labels", self.step, epoch=epoch, **found.as_dict())
        if found.persons < FEWEST or epoch - kept_epoch(self.history) >= self.settings.patience:
            return False
        self._use(found.labels)
        widths = {name: branch.embedding.shape[1] for name, branch in example(self.model).branches.items()}
        embeddings = dict(zip(widths, vectors.split(list(widths.values()), dim=1), strict=True))
        for term in self.phase.objective.terms:
            if isinstance(term, ClusterMemory):
                term.start(embeddings, found.labels, found.cameras, found.linked)
        return True

    def _use(self, labels: Tensor) -> None:
        """Replace the stage's labels; the optimiser goes on."""
        self.labels, self.phase = labels, _phase(self.recipe, self.model, self.crops, labels, self.device)
        self.phases = [self.phase]


def kept_epoch(history: list[dict[str, Any]]) -> int:
    """Return the epoch with the highest measure, the first of equal ones."""
    usable = [line for line in history if line["clusters"] - line["links"] >= FEWEST]
    return int(max(usable, key=lambda line: line["measure"])["epoch"])


def adapt(
    network: Network,
    recipe: Recipe,
    crops: Unlabelled,
    folder: Path,
    *,
    device: str = "auto",
    log_steps: int = 10,
    checkpoint_seconds: float = 300.0,
) -> Adapted:
    """Adapt a network to unlabelled crops, and return how it went; the folder then holds the weights.

    The result is a function of (network, recipe, crops). If the folder has an adaptation of the same network
    and crops that was interrupted, it goes on, to the same weights (bit for bit on a CPU).

    Args:
        network: to begin with; it is not changed.
        recipe: with ``labelling``, and one stage whose sampler is ``pk`` with a number of batches; its model
            is replaced by the network's.
        crops: to adapt to.
        folder: new, empty, or that of an interrupted adaptation.
        device: name, or ``auto``.
        log_steps, checkpoint_seconds: as in ``trainer.train``.

    Raises:
        UserError: there are too few crops or cameras, or no clusters; the recipe is of another kind; the
            folder is of another run; the loss is not finite; the disk is full.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once a checkpoint is written.
    """
    begun = is_adaptation(folder)
    others = folder.is_dir() and any(path.name != LOCK for path in folder.iterdir())
    if not begun and folder.exists() and (not folder.is_dir() or others):
        raise UserError(f"{folder} is there already and is no adaptation. Choose another folder with --out.")
    labelling = check_crops(recipe, crops)
    with held(folder, "adapting"):
        options = resolve_device(device), log_steps, checkpoint_seconds
        return _adapt(network, recipe, labelling, crops, folder, begun, *options)


def _adapt(
    network: Network,
    recipe: Recipe,
    labelling: Labelling,
    crops: Unlabelled,
    folder: Path,
    begun: bool,
    target: torch.device,
    log_steps: int,
    checkpoint_seconds: float,
) -> Adapted:
    keep_freed_memory()
    model = without_classifiers(network).to(target).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = recipe.model_copy(update={"model": Component(name=model.name, settings=model.settings)})
    shapes = example(model).branches.values()
    refuse_large(len(crops.tracks), sum(branch.embedding.shape[1] for branch in shapes), labelling)
    identity = crops.examples.identity | {"network": fingerprint(model)}
    crops = replace(crops, examples=replace(crops.examples, identity=identity))
    persons = recipe.stages[0].sampler.settings["persons"]
    provisional = torch.arange(len(crops.tracks)) % persons  # replaced before the first epoch
    phases = [_phase(recipe, model, crops, provisional, target)]
    loop = AdaptationLoop(
        crops,
        labelling,
        recipe,
        phases,
        model,
        crops.examples,
        folder,
        target,
        ALONE,
        log_steps,
        checkpoint_seconds,
    )
    earlier: dict[str, Any] = read_info(folder) if begun else {"started": now(), "finished": None}
    if loop.checkpoint.exists():
        loop.restore()
        if earlier["finished"] is not None:
            say(f"The adaptation {folder} is complete: there is nothing to go on with.")
            return Adapted(
                folder, **{name: earlier[name] for name in ("epochs", "kept", "history", "seconds")}
            )
        say(f"Going on with {folder} at step {loop.step} of at most {loop.steps}.")
    else:
        refuse_alike(PixelEmbedder(model, device=target, precision=recipe.precision), crops, labelling)
        (folder / LOG).unlink(missing_ok=True)  # of other settings, perhaps
    info = {
        "format": 1,
        "started": earlier["started"],
        "finished": None,
        "device": str(target),
        "precision": resolve_precision(recipe.precision, target),
        "versions": versions(),
        "machine": machine(target),
        "data": identity,
    }
    save_info(folder, info)
    with whole_file(folder / RECIPE) as path:
        path.write_text(recipe.to_yaml(), encoding="utf-8")
    loop.run(None)
    history = [
        {key: line[key] for key in ("epoch", "clusters", "links", "share", "measure")}
        for line in loop.history
    ]
    result = Adapted(folder, history[-1]["epoch"], kept_epoch(history), history, loop.seconds)
    with whole_file(folder / WEIGHTS) as path:
        shutil.copyfile(folder / BEST, path)
    save_info(folder, info | {"finished": now()} | result.as_dict())
    if result.epochs < recipe.epochs:
        say(f"Stopped after epoch {result.epochs}: the measure had not risen since epoch {result.kept}.")
    say(f"Trained epochs: {result.epochs}, in {clock(loop.seconds)}.")
    return result


def without_classifiers(network: Network) -> Network:
    """Return a copy without identity classifiers, whose settings are complete."""
    own = {key: getattr(network, key) for key in ("input_size", "views", "descriptor")}
    settings = network.settings | {key: value for key, value in own.items() if key in network.settings}
    if "classifier" in settings:
        settings["classifier"] = False
    model = build_model(network.name, network.num_persons, **settings)
    state = network.state_dict()
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    model.trained_cameras = network.trained_cameras
    for name, value in own.items():
        setattr(model, name, value)
    return model


def _phase(recipe: Recipe, model: Network, crops: Unlabelled, labels: Tensor, device: torch.device) -> Phase:
    """Build the recipe's stage with these labels; with fewer clusters, batches have fewer persons."""
    (stage,), clusters = recipe.stages, int(labels.max()) + 1
    settings = stage.sampler.settings
    settings = settings | {"persons": min(clusters, settings["persons"])}
    sampler = stage.sampler.model_copy(update={"settings": settings})
    one = recipe.model_copy(update={"stages": (stage.model_copy(update={"sampler": sampler}),)})
    (phase,) = make_phases(
        one, model, replace(crops.examples, classes=labels.numpy(), number=clusters), device, ALONE
    )
    return phase

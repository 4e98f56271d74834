"""A run: the folder of one training of a recipe."""

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import torch

import resight
from resight.data.benchmark import Benchmark
from resight.data.classification import Classification, Pictures
from resight.data.crop import Crop
from resight.data.opening import reopen
from resight.device import processor, resolve_device
from resight.errors import UserError
from resight.files import read_json, sole_use, write_json
from resight.models.network import Network
from resight.models.weights import WEIGHTS, load_weights
from resight.program import command_line, same_processes
from resight.training.metrics import LOG, read_metrics
from resight.training.reading import load_recipe
from resight.training.recipe import Recipe

RECIPE = "recipe.yaml"
INFO = "run.json"
SCORES = "scores.json"
LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Run:
    """A training and its folder.

    Attributes:
        folder: with ``recipe.yaml`` (complete), ``run.json``, ``metrics.jsonl``, ``checkpoint.pt``, at the
            end ``weights.safetensors``; after an evaluation also ``scores.json`` and ``report.html``.
        recipe: of the training.
        info: content of ``run.json``: time, versions, machine, data.
    """

    folder: Path
    recipe: Recipe
    info: dict[str, Any]

    @classmethod
    def open(cls, folder: Path | str) -> "Run":
        """Read a run's folder.

        Raises:
            UserError: the folder is not a run's.
        """
        folder = Path(folder)
        if not (folder / INFO).is_file():
            there = f"is not a run's folder (it has no {INFO})" if folder.is_dir() else "does not exist"
            raise UserError(f"The folder {folder} {there}. Name the folder that 'resight train' wrote.")
        recipe = load_recipe(folder / RECIPE, fitting=False)  # checked before training
        return cls(folder, recipe, read_info(folder))

    @property
    def complete(self) -> bool:
        """Whether the training is complete."""
        return self.info["finished"] is not None

    def metrics(self) -> list[dict[str, Any]]:
        """Return the log's lines; each has a ``kind`` (steps, epoch, evaluation, stopped) and a ``step``."""
        return read_metrics(self.folder / LOG)

    def load_network(self, device: torch.device | str = "auto") -> Network:
        """Return the trained network in evaluation mode on the device, which may be given by name.

        Raises:
            UserError: the training is not complete.
        """
        if not self.complete:
            raise UserError(f"The run {self.folder} is not complete. {how_to_resume(self.folder)}")
        target = resolve_device(device) if isinstance(device, str) else device
        return load_weights(self.folder / WEIGHTS, target).eval()


def is_adaptation(folder: Path) -> bool:
    """Return whether ``resight adapt`` wrote the ``run.json`` of a folder."""
    return (folder / INFO).is_file() and "network" in read_info(folder).get("data", {})


def how_to_resume(folder: Path) -> str:
    """Return the sentence about how to continue a run."""
    if is_adaptation(folder):
        return f"It is an adaptation. Go on with the same command: {command_line('adapt', '...')}"
    return f"Go on with: {same_processes('train', folder, '--resume')}"


@contextmanager
def held(folder: Path, doing: str) -> Iterator[None]:
    """Keep other processes from training in a folder; it is made, and removed if nothing is written.

    Raises:
        UserError: another process is ``doing`` something there, or the folder cannot be written.
    """
    lock = folder / LOCK
    with sole_use(lock) as free:
        if not free:
            raise UserError(
                f"Another process is {doing} in {folder}. Wait for it, or choose another folder with --out."
            )
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            with suppress(OSError):  # something was written
                folder.rmdir()


def read_info(folder: Path) -> dict[str, Any]:
    """Return the content of ``run.json``.

    Raises:
        UserError: it is damaged.
    """
    return read_json(folder / INFO, f"Restore it, or remove the folder {folder} and train again.")


def save_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    write_json(folder / INFO, info)


def now() -> str:
    """Return the time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries."""
    return {
        "resight": resight.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def machine(device: torch.device) -> dict[str, Any]:
    """Describe the computer, and the GPU if that is the device."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def describe_data(data: Benchmark | Classification) -> dict[str, Any]:
    """Return name, protocol, notes and counts of each part; class names for a classification."""
    described = {
        "name": data.name,
        "path": str(data.root.absolute()),
        "notes": list(data.notes),
        "opened": dict(data.opened),
    }
    if isinstance(data, Classification):
        return described | {
            "protocol": "classification",
            "classes": list(data.classes),
            "counts": {"train": _pictures(data.train), "test": _pictures(data.test)},
        }
    splits = {"train": data.train, "query": data.query, "gallery": data.gallery}
    return described | {
        "files": _digests(data),
        "protocol": data.protocol.name,
        "cross_camera": data.protocol.cross_camera,
        "counts": {name: _counts(crops) for name, crops in splits.items()},
    }


def trained_crops(described: Mapping[str, Any], benchmark: Benchmark) -> set[Path]:
    """Return the crops of a benchmark, of whatever part, that a run was trained on.

    They are known by their paths, as far as the run's data can be read again; a copy of the whole set, or of
    its training part, is known by the names and sizes of its files.

    Args:
        described: what ``describe_data`` returned for the run's data.
        benchmark: to look for them in.
    """
    crops = {crop.path for crop in (*benchmark.train, *benchmark.query, *benchmark.gallery)}
    try:
        own = reopen(described["opened"])
    except UserError:  # its data is gone, or lies elsewhere
        own = None
    if isinstance(own, Benchmark):
        resolved = {path.resolve() for path in (crop.path for crop in own.train)}
        if found := {path for path in crops if path.resolve() in resolved}:
            return found
    return crops if _digest(crops) in described.get("files", ()) else set()


def _digests(data: Benchmark) -> list[str]:
    """Return digests of each set's files, and of those of its training part."""
    parts = [data.train, (*data.train, *data.query, *data.gallery)]
    found = []
    for root in map(Path, data.opened.get("paths", ())):
        for part in parts:
            below = {crop.path for crop in part if crop.path.is_relative_to(root)}
            found += [_digest(below)] if below else []
    return list(dict.fromkeys(found))


def _digest(paths: Iterable[Path]) -> str:
    """Return a digest of files' names and sizes, the same wherever the files lie."""
    lines = sorted(f"{path.name} {path.stat().st_size}" for path in paths if path.is_file())
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _counts(crops: Sequence[Crop]) -> dict[str, int]:
    return {
        "crops": len(crops),
        "persons": len({crop.person for crop in crops if crop.person > 0}),
        "cameras": len({crop.camera for crop in crops if crop.camera is not None}),
    }


def _pictures(pictures: Pictures) -> dict[str, int]:
    return {"pictures": len(pictures), "classes": len(set(pictures.classes.tolist()))}

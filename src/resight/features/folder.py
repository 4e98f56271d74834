"""The contents of a folder of embeddings.

A complete folder has ``features.npy`` [N, D], ``items.npy`` and, if known, ``persons.npy`` and
``cameras.npy`` [N], ``paths.jsonl`` (a JSON string per row), ``names.json`` (person -> label, if labels are
not numbers) and ``info.json``, which is written last. Until then, all files are in the sub-folder
``unfinished``; see ``features.folder_in_progress``.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from resight.errors import UserError
from resight.registry import Settings

FORMAT = 1
INFO, UNFINISHED, PLAN = "info.json", "unfinished", "plan.json"
FEATURES, PATHS, NAMES = "features.npy", "paths.jsonl", "names.json"

Storage = Literal["float32", "float16"]


class Plan(Settings):
    """Everything that determines the features in a folder.

    Attributes:
        model, fingerprint: name and fingerprint of the network.
        views, branches: of a crop, and of the network; part of the fingerprint, repeated here for messages.
        dtype: type of the stored features.
        precision: of the forward passes.
        batch: number of crops in a batch.
        chunk: number of crops in a chunk, a multiple of the batch.
        width: length D of a feature vector.
        crops: number of crops, including unreadable ones.
        data: digest of the crops' paths and labels.
        source, part: origin of the crops.
    """

    model: str
    fingerprint: str
    views: str
    branches: tuple[str, ...] | None
    dtype: Storage
    precision: str
    batch: int
    chunk: int
    width: int
    crops: int
    data: str
    source: str
    part: str

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.crops // self.chunk)

    def rows(self, chunk: int) -> range:
        """Return the crops of a chunk."""
        return range(chunk * self.chunk, min((chunk + 1) * self.chunk, self.crops))

    def differences(self, other: "Plan") -> list[str]:
        """Return the differences from another plan, such as ``dtype (float32, not float16)``."""
        pairs = {
            name: (getattr(self, name), getattr(other, name))
            for name in ("views", "branches", "dtype", "precision", "batch", "chunk")
        }
        found = [
            f"{name} ({_word(own)}, not {_word(theirs)})"
            for name, (own, theirs) in pairs.items()
            if own != theirs
        ]
        use = [(plan.views, plan.branches, plan.precision) for plan in (self, other)]
        if self.model != other.model or (use[0] == use[1] and self.fingerprint != other.fingerprint):
            named = [f"{plan.model} {plan.fingerprint[:8]}" for plan in (self, other)]
            found.insert(0, f"model ({named[0]}, not {named[1]})")
        if self.data != other.data:
            named = [f"{plan.crops:,} crops of {plan.source}, part {plan.part}" for plan in (self, other)]
            found.append(
                f"data ({named[0]}, not {named[1]})" if named[0] != named[1] else f"data ({named[0]})"
            )
        return found


def read_info(folder: Path, *, whole: bool = True) -> dict[str, Any] | None:
    """Return the contents of ``info.json``; None if the folder is not from ``resight embed``.

    Args:
        folder: of embeddings of any origin.
        whole: refuse an unfinished folder.

    Raises:
        UserError: the folder is not finished, or from a newer version.
    """
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        info = None
    except ValueError as error:
        raise UserError(f"{folder / INFO} is damaged: {error}. Embed the crops again.") from error
    if not isinstance(info, dict) or not {"format", "fingerprint"} <= info.keys():
        if whole and (folder / UNFINISHED / PLAN).exists():
            raise UserError(
                f"{folder} is not finished: {_progress(folder)}. Run the same 'resight embed' again."
            )
        return None
    if info["format"] > FORMAT:
        raise UserError(f"{folder} was written by a newer version of Resight, in format {info['format']}.")
    return info


def plan_of(content: Mapping[str, Any], folder: Path) -> Plan:
    """Read the plan from the contents of ``plan.json`` or ``info.json``.

    Raises:
        UserError: it is from another version of Resight, or damaged.
    """
    try:
        return Plan.model_validate({name: content[name] for name in Plan.model_fields if name in content})
    except pydantic.ValidationError as error:
        raise UserError(
            f"{folder} is from another version of Resight, or damaged: {error}\nChoose another --out."
        ) from error


def _progress(folder: Path) -> str:
    plan = plan_of(json.loads((folder / UNFINISHED / PLAN).read_text(encoding="utf-8")), folder)
    done = sum(name[:-5].isdecimal() for name in os.listdir(folder / UNFINISHED) if name.endswith(".json"))
    return f"{done:,} of {plan.chunks:,} chunks are embedded"


def _word(value: object) -> str:
    return "all" if value is None else ", ".join(value) if isinstance(value, tuple) else str(value)

"""The state of a run between two steps, on disk, whole or not at all."""

import io
import zipfile
from pathlib import Path
from typing import Any, TypedDict

import torch

from resight.errors import UserError
from resight.files import whole_file

FORMAT = 1
"""Raised when a checkpoint of before cannot be continued from."""


class State(TypedDict):
    """What a checkpoint holds: tensors and plain data only, so that reading it runs no code.

    Attributes:
        step: steps done, over all stages.
        recipe: the whole recipe, as plain data.
        data: what identifies the training data.
        model, average, objective, optimizer: states by name; average is None where the recipe has no ``ema``.
        sums: of the epoch so far, for its line in the log.
        seconds: time spent in training steps so far.
    """

    format: int
    step: int
    recipe: dict[str, Any]
    data: dict[str, Any]
    model: dict[str, Any]
    average: dict[str, Any] | None
    objective: dict[str, Any]
    optimizer: dict[str, Any]
    sums: dict[str, Any]
    seconds: float


def save_checkpoint(state: State, path: Path) -> None:
    """Write the state atomically.

    Raises:
        UserError: it cannot be written, as on a full disk; the checkpoint of before is left as it was.
    """
    memory = (
        io.BytesIO()
    )  # torch.save to a full disk dies in its own writer; a plain write says what is wrong
    torch.save(state, memory)
    with whole_file(path) as temporary:
        temporary.write_bytes(memory.getbuffer())


def load_checkpoint(path: Path) -> State:
    """Read a checkpoint onto the CPU.

    Raises:
        UserError: it is damaged, or of another version of Resight.
    """
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        found = state["format"]
    except (RuntimeError, EOFError, KeyError, zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f"{path} is not a checkpoint that can be read: {error}") from None
    if found != FORMAT:
        raise UserError(
            f"{path} has the format {found}; this version of Resight continues runs of format {FORMAT}."
        )
    return state

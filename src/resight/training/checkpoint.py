"""Checkpoints: the state of a run between two steps, written whole or not at all."""

import io
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor

from resight.errors import UserError
from resight.files import whole_file

CHECKPOINT = "checkpoint.pt"
"""Name of a run's checkpoint in its folder."""

FORMAT = 1
"""Increased when earlier checkpoints cannot be continued."""


class State(TypedDict):
    """Content of a checkpoint: tensors and plain data only, so that reading it runs no code.

    Attributes:
        step: steps done, over all stages.
        recipe: the whole recipe, as plain data.
        data: identity of the training data.
        model, average, objective, optimizer: states by name; average is None if the recipe has no ``ema``.
        sums: of the epoch so far, for its line in the log.
        seconds: time spent in training steps so far.
        labels: pseudo-labels of the training data in this epoch; None, or left out, if the data have labels.
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
    labels: NotRequired[Tensor | None]


def save_checkpoint(state: State, path: Path) -> None:
    """Write the state atomically.

    Raises:
        UserError: it cannot be written, as on a full disk; the earlier checkpoint is unchanged.
    """
    memory = io.BytesIO()  # torch.save fails obscurely on a full disk; a plain write reports what is wrong
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
    except Exception as error:  # a damaged pickle makes the reader raise nearly anything
        raise UserError(f"{path} is not a readable checkpoint: {error}") from None
    if found != FORMAT:
        raise UserError(
            f"{path} has the format {found}; this version of Resight continues runs of format {FORMAT}."
        )
    return state

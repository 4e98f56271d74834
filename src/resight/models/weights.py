"""Self-contained weights files: the file alone rebuilds the model and embeds a picture correctly.

A safetensors file has the tensors of the network and, in its metadata, the model, its settings and the number
of persons. Input size and normalisation are repeated there for other programs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydantic
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from resight import __version__
from resight.errors import UserError
from resight.files import whole_file
from resight.models.network import Network, build_model

WEIGHTS = "weights.safetensors"
"""Name of the weights file in a run's folder."""

FORMAT = "1"
NAMED = 3
"""Number of tensors of each kind that a message names."""


def save_weights(model: Network, path: Path, dtype: torch.dtype | None = None) -> None:
    """Write the weights of a model from ``build_model``; an older file is replaced only by a complete one.

    Args:
        model, path: what to write, and where.
        dtype: of the floating-point tensors in the file, such as ``torch.float16``; by default their own.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    metadata = {
        "resight_format": FORMAT,
        "resight_version": __version__,
        "model": model.name,
        "persons": str(model.num_persons),
        "settings": json.dumps(model.settings),
        "trained_cameras": json.dumps(model.trained_cameras),
        "input_size": json.dumps(model.input_size),
        "mean": json.dumps(model.mean.flatten().tolist()),
        "std": json.dumps(model.std.flatten().tolist()),
    }
    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in model.state_dict().items()
    }
    content = save(tensors, metadata)
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(content)


def load_weights(path: Path, device: torch.device) -> Network:
    """Rebuild the network of a weights file on the device, in evaluation mode.

    Raises:
        UserError: there is no such file; it is damaged, or not Resight's; or its model, settings or tensors
            are not those of this version.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    if "resight_format" not in metadata:
        raise UserError(
            f"{path} does not name the model of its weights, so it was not written by Resight. "
            "Expected the file weights.safetensors of a run."
        )
    if metadata["resight_format"] != FORMAT:
        raise UserError(
            f"{path} was written by Resight {metadata.get('resight_version', '?')} in format "
            f"{metadata['resight_format']}; this is Resight {__version__}, which reads format {FORMAT}. "
            "Use the version that wrote the file, or train the recipe again."
        )
    try:
        model = build_model(metadata["model"], int(metadata["persons"]), **json.loads(metadata["settings"]))
    except (UserError, pydantic.ValidationError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} was written by Resight {metadata.get('resight_version', '?')} for a model that this "
            f"version ({__version__}) cannot build: {error}\n"
            "Use the version that wrote the file, or train the recipe again."
        ) from None
    expected = model.state_dict()
    if wrong := differences(tensors, expected):
        raise UserError(
            f"The tensors in {path} are not those of the model that it names, so its architecture or version "
            f"of Resight is another one. Of {len(expected)} tensors:{wrong}\n"
            "Use the version that wrote the file, or train the recipe again."
        )
    model.load_state_dict(tensors)
    model.trained_cameras = tuple(json.loads(metadata.get("trained_cameras", "[]")))
    return model.to(device).eval()


def is_own(path: Path) -> bool:
    """Return whether a file is a weights file of Resight, by its metadata or, if damaged, by its suffix."""
    if path.suffix.lower() != ".safetensors":
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return "resight_format" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return True  # so that load_weights reports what is wrong with it


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(
            f"There is no weights file {path}. Expected weights.safetensors in a run's folder."
        ) from None
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is not a complete safetensors file ({error}): it is of another kind, or was cut off. "
            "Copy the original again, or train the run again."
        ) from None


@dataclass(frozen=True, slots=True)
class TensorMatch:
    """How a file's tensors match those of a network.

    Attributes:
        used: tensors for the network, by its names.
        dropped: names in the file of a classifier's tensors, which embedding does not need.
        unused: names in the file of other tensors that belong to no part of the network.
        expected: the network's tensors, without those that old files lack.
        differences: a line for each kind of difference between ``used`` and ``expected``; "" if none.
    """

    used: dict[str, Tensor]
    dropped: list[str]
    unused: list[str]
    expected: dict[str, Tensor]
    differences: str


def match_tensors(
    tensors: Mapping[str, Tensor],
    names: Iterable[str],
    expected: Mapping[str, Tensor],
    classifiers: tuple[str, ...] = (),
) -> TensorMatch:
    """Match a file's tensors with those of a network.

    Args:
        tensors: the file's, by their names there.
        names: the network's name for each of them.
        expected: the network's tensors; only their shapes are used.
        classifiers: prefixes of names in the file of classifiers.
    """
    parts = {name.partition(".")[0] for name in expected}
    used: dict[str, Tensor] = {}
    dropped, unused = [], []
    for name, own_name in zip(tensors, names, strict=True):
        if name.startswith(classifiers):
            dropped.append(name)
        elif own_name.partition(".")[0] in parts:
            used[own_name] = tensors[name]
        else:
            unused.append(name)
    needed = {
        name: tensor
        for name, tensor in expected.items()
        if name in used or not name.endswith(".num_batches_tracked")  # not needed, and not in old files
    }
    return TensorMatch(used, dropped, unused, needed, differences(used, needed))


def differences(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Return a line for each kind of difference between a file's tensors and a model's; "" if none."""
    kinds = {
        "missing": [name for name in expected if name not in found],
        "not of the model": [name for name in found if name not in expected],
        "of another shape": [
            f"{name} is {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in expected
            if name in found and found[name].shape != expected[name].shape
        ],
    }
    return "".join(f"\n  {len(names)} {kind}: {few(names)}" for kind, names in kinds.items() if names)


def few(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")

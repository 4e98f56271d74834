"""Reading other programs' files of tensors without running any code that they name.

PyTorch's files are pickles, and a pickle is a program: the ordinary reader calls any function that it names.
PyTorch's reader of weights calls only those that make tensors. Old files also have other objects: the rank-1
score as a NumPy scalar, the optimiser, the arguments of the command. Such types are replaced by an inert
object, which keeps nothing.
"""

import argparse
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import lr_scheduler

from resight.errors import UserError

WANTED = "Expected a state dict written by torch.save, or a .safetensors file."

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Keys of the tensors in files that also have other objects."""


class _Ignored:
    """Replaces an object that is not needed: accepts any arguments and any state, and keeps none."""

    def __init__(self, *_: object) -> None: ...

    def __new__(cls, *_: object) -> "_Ignored":
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None: ...


def _mapping(*_: object) -> OrderedDict[Any, Any]:
    """Replace a type of dictionary; the file fills it."""
    return OrderedDict()


NUMPY = [
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"numpy.{name}" for name in ("dtype", "ndarray", "float64", "float32", "int64", "int32")),
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Float16", "Int64", "Int32", "Bool")),
]

SETTINGS = [
    f"{argparse.Namespace.__module__}.Namespace",
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(f"builtins.{name}" for name in ("int", "float", "list", "dict", "str", "slice", "object")),
    *(f"datetime.{name}" for name in ("datetime", "date", "timedelta")),
]

DICTIONARIES = [
    "collections.defaultdict",
    "easydict.EasyDict",
    "fvcore.common.config.CfgNode",
    "yacs.config.CfgNode",
]


def _names_in(module: Any) -> Iterable[str]:
    """Return the full names of a module's classes, such as ``torch.optim.adam.Adam``."""
    for item in vars(module).values():
        if isinstance(item, type) and item.__module__.startswith("torch.optim"):
            yield f"{item.__module__}.{item.__qualname__}"


HARMLESS: list[Any] = [
    *((_Ignored, name) for name in {*NUMPY, *SETTINGS, *_names_in(torch.optim), *_names_in(lr_scheduler)}),
    *((_mapping, name) for name in DICTIONARIES[:1]),
    *((OrderedDict, name) for name in DICTIONARIES[1:]),
]
"""Type that a file may name in addition to tensors -> what replaces it."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors by name, ``.safetensors`` or PyTorch's own, on the CPU.

    The tensors may be under ``state_dict`` or another of ``WRAPPERS``, next to harmless objects; a leading
    ``module.`` (of a parallel model) is removed from their names.

    Raises:
        UserError: there is no such file; it is damaged, or has no tensors; or it names a type that is not
            known to be harmless (which is not called).
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except FileNotFoundError:
        raise UserError(f"There is no file {path} to load weights from.") from None
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(path, str(error))) from None
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"{path} is not a whole file of tensors: {_first_line(error)} {WANTED}") from None
    except Exception as error:  # a damaged pickle makes the reader raise nearly anything
        raise UserError(f"{path} is damaged, or no file of tensors: {_first_line(error)} {WANTED}") from None
    tensors = _tensors_in(content)
    if tensors is None:
        raise UserError(f"{path} holds something other than tensors by name. {WANTED}")
    return {re.sub(r"^(module\.)+", "", name): tensor for name, tensor in tensors.items()}


def _unpickled(path: Path) -> Any:
    with torch.serialization.safe_globals(HARMLESS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about unsupported protocols
        # latin1: bytes written by Python 2, such as the value of a NumPy scalar, are not UTF-8
        return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")


def _refusal(path: Path, reason: str) -> str:
    named = re.search(r"(?:GLOBAL|global) ([\w.]+)", reason)
    if named is None or named[1] == "GLOBAL":
        return f"{path} is not a file of tensors. {WANTED}"
    return (
        f"{path} also holds {named[1]}, which is not among the types known to be harmless: "
        f"loading it might run code of the file, so nothing was loaded. {WANTED} Whoever trusts the file can "
        "write its tensors alone: torch.save(model.state_dict(), FILE)."
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return text if text.endswith(".") else f"{text}."


def _tensors_in(content: object) -> dict[str, Tensor] | None:
    """Return the tensors by name in a file's contents, or None."""
    if not isinstance(content, Mapping):
        return None
    for key in WRAPPERS:
        if isinstance(inner := content.get(key), Mapping) and inner:
            return _tensors_in(inner)
    if content and all(isinstance(name, str) and isinstance(item, Tensor) for name, item in content.items()):
        return dict(content)
    return None

"""Folders of Roboflow's ``reid`` package: ``reid_config.json`` and ``weights.safetensors``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.errors import UserError

CONFIG, WEIGHTS = "reid_config.json", "weights.safetensors"

NAMES = {f"osnet_x{width.replace('.', '_')}": f"osnet-x{width}" for width in ("1.0", "0.75", "0.5", "0.25")}
"""Name there -> ours; ResNets of the package timm have torchvision's names of tensors."""

NAMES |= {f"timm:resnet{depth}": f"resnet-{depth}" for depth in (18, 50, 101)}


@dataclass(frozen=True, slots=True)
class RoboflowModel:
    """What ``reid_config.json`` says.

    Attributes:
        weights: file of the weights.
        architecture: name of the architecture, in ``models.architectures``.
        preprocessing: settings of ``Preprocessing``.
    """

    weights: Path
    architecture: str
    preprocessing: dict[str, Any]


def is_roboflow(folder: Path) -> bool:
    """Return whether a folder is one of Roboflow's ``reid``."""
    return (folder / CONFIG).is_file()


def read_roboflow(folder: Path) -> RoboflowModel:
    """Read ``reid_config.json``.

    Raises:
        UserError: it is damaged, or names an architecture or a preprocessing that Resight does not have; or
            there are no weights beside it.
    """
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name, said = str(content["architecture"]), dict(content.get("preprocessing", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{path} cannot be read: a JSON object with 'architecture' and 'preprocessing' is expected, as "
            "written by ReIDModel.save_pretrained."
        ) from None
    if name not in NAMES:
        raise UserError(
            f"{path} names the architecture '{name}', which Resight does not have; it has "
            f"{', '.join(NAMES)}. Export the network to ONNX, and import that."
        )
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"There is no {WEIGHTS} beside {path}. Copy the whole folder.")
    interpolation, fit = said.get("interpolation", "bilinear"), said.get("resize_mode", "stretch")
    if interpolation not in ("bilinear", "bicubic") or fit != "stretch":
        raise UserError(
            f"{path} asks for crops that are resized by '{interpolation}' and fitted by '{fit}'. Resight has "
            "bilinear and bicubic, and 'stretch'; 'letterbox' pads at the right and below only."
        )
    keys = {"input_size": "input_size", "mean": "mean", "std": "deviation"}
    return RoboflowModel(
        folder / WEIGHTS,
        NAMES[name],
        {ours: said[theirs] for theirs, ours in keys.items() if theirs in said}
        | {"interpolation": interpolation},
    )

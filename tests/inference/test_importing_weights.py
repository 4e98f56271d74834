"""Weights of torchreid and folders of Roboflow's made into model folders."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from resight.errors import UserError
from resight.inference.embedder import Embedder
from resight.inference.importing import import_model
from resight.inference.loading import load_model
from resight.models.foreign import expected_tensors

PLAIN: dict[str, Any] = {"value_range": 255, "mean": (0, 0, 0), "deviation": (1, 1, 1)}


def embed(folder: Path, pixels: Any, **options: Any) -> Any:
    return Embedder(load_model(folder), **options)(list(pixels))


def test_weights_of_torchreid_are_imported_by_the_names_of_their_tensors(tmp_path: Path) -> None:
    tensors = {
        f"module.{name}": torch.randn(tensor.shape) * 0.05
        if tensor.is_floating_point()
        else torch.zeros(tensor.shape, dtype=tensor.dtype)
        for name, tensor in expected_tensors("osnet-x0.25").items()
    }
    tensors = {name: one.abs() if "var" in name else one for name, one in tensors.items()}
    tensors["module.classifier.weight"] = torch.zeros(7, 512)
    torch.save({"state_dict": tensors}, tmp_path / "a.pth")
    imported = import_model(tmp_path / "a.pth", tmp_path / "model")
    assert imported.settings.architecture == "osnet-x0.25"
    assert imported.notes[1] == "Embedding does not need these, and they were dropped: classifier.weight."
    model = load_model(tmp_path / "model")
    direct = load_model(tmp_path / "a.pth")
    assert (model.name, direct.name) == ("a", "osnet-x0.25")
    assert Embedder(model).fingerprint == Embedder(direct).fingerprint
    assert Embedder(model).width == 512
    with pytest.raises(UserError, match=r"give --architecture osnet-x0\.25, or none"):
        import_model(tmp_path / "a.pth", tmp_path / "other", architecture="osnet-x0.5")


@pytest.fixture(scope="module")
def roboflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``ReIDModel.save_pretrained`` of Roboflow's ``reid`` 0.1 writes it."""
    folder = tmp_path_factory.mktemp("roboflow") / "people"
    folder.mkdir()
    tensors = {
        name: torch.rand(tensor.shape) * 0.1 if tensor.is_floating_point() else torch.tensor(1)
        for name, tensor in expected_tensors("osnet-x0.25").items()
    }
    save_file(tensors, folder / "weights.safetensors")
    preprocessing = {
        "input_size": [128, 64],
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.2],
        "interpolation": "bicubic",
        "to_rgb": True,
        "resize_mode": "stretch",
        "pad_value": 114,
    }
    config = {"architecture": "osnet_x0_25", "preprocessing": preprocessing}
    (folder / "reid_config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_of_roboflows_is_a_model(roboflow: Path, tmp_path: Path) -> None:
    imported = import_model(roboflow, tmp_path / "model").settings
    assert (imported.name, imported.architecture) == ("people", "osnet-x0.25")
    assert imported.preprocessing.model_dump(include={"input_size", "mean", "deviation"}) == {
        "input_size": (128, 64),
        "mean": (0.5, 0.4, 0.3),
        "deviation": (0.2, 0.2, 0.2),
    }
    direct, folder = (Embedder(load_model(place)) for place in (roboflow, tmp_path / "model"))
    assert direct.fingerprint == folder.fingerprint
    assert (direct.name, direct.picture_size, direct.resizing.interpolation) == (
        "people",
        (128, 64),
        "bicubic",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": "fastreid_sbs_resnest50"},
            "architecture 'fastreid_sbs_resnest50', which",
        ),
        ({"preprocessing": {"resize_mode": "letterbox"}}, "'letterbox' pads at the right and below only"),
        ({"preprocessing": {"interpolation": "nearest"}}, "resized by 'nearest'"),
        ({"preprocessing": 3}, "a JSON object with 'architecture' and 'preprocessing' is expected"),
    ],
)
def test_a_folder_of_roboflows_that_cannot_be_used_is_refused(
    changes: dict[str, Any], message: str, roboflow: Path, tmp_path: Path
) -> None:
    config = json.loads((roboflow / "reid_config.json").read_text())
    (tmp_path / "reid_config.json").write_text(json.dumps(config | changes))
    (tmp_path / "weights.safetensors").write_bytes((roboflow / "weights.safetensors").read_bytes())
    with pytest.raises(UserError, match=message):
        load_model(tmp_path)

"""Weights files rebuild the model alone, and say what is wrong with a file that does not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from resight.errors import UserError
from resight.models.network import Network, build_model
from resight.models.weights import load_weights, save_weights

CPU = torch.device("cpu")


@pytest.fixture
def model() -> Network:
    return build_model("han", 5, widths=(16, 16, 16), input_size=(80, 32), feature_size=64)


@pytest.fixture
def path(model: Network, tmp_path: Path) -> Path:
    save_weights(model, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def rewrite(path: Path, tensors: dict[str, Tensor] | None = None, **changes: str) -> None:
    save_file(load_file(path) if tensors is None else tensors, path, metadata(path) | changes)


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_weights(path, CPU)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("settings", [{}, {"unit": "residual", "spatial": False}, {"regions": False}])
def test_the_file_alone_rebuilds_the_model(settings: dict[str, Any], tmp_path: Path) -> None:
    model = build_model("han", 5, widths=(16, 16, 16), input_size=(80, 32), **settings)
    model.mean.fill_(0.25)
    model.trained_cameras = ("gate", "lobby")
    images = torch.randint(0, 256, (4, 3, 80, 32), dtype=torch.uint8)
    model(model.normalise(images))  # moves the running statistics
    save_weights(model, tmp_path / "w.safetensors")
    again = load_weights(tmp_path / "w.safetensors", CPU)
    assert not again.training
    assert again.input_size == (80, 32)
    model.eval()
    assert torch.equal(model.embed(model.normalise(images)), again.embed(again.normalise(images)))
    assert (again.name, again.num_persons, again.settings) == (model.name, model.num_persons, model.settings)
    assert again.trained_cameras == ("gate", "lobby")


def test_metadata_tell_other_readers_what_they_need(path: Path) -> None:
    found = metadata(path)
    assert found["model"] == "han"
    assert found["persons"] == "5"
    assert found["resight_format"] == "1"
    assert json.loads(found["input_size"]) == [80, 32]
    assert json.loads(found["mean"]) == pytest.approx([0.485, 0.456, 0.406])
    assert json.loads(found["std"]) == pytest.approx([0.229, 0.224, 0.225])
    assert json.loads(found["settings"])["feature_size"] == 64


def test_channels_last_weights_are_stored_too(model: Network, tmp_path: Path) -> None:
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_weights(model, tmp_path / "w.safetensors")
    again = load_weights(tmp_path / "w.safetensors", CPU)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


def test_no_such_file(tmp_path: Path) -> None:
    assert "no weights file" in refusal(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("content", [b"", b"GIF89a and more", b"\xff" * 100])
def test_a_file_of_another_kind(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    assert "not a complete safetensors file" in refusal(tmp_path / "w.safetensors")


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_truncated_file(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "cut off" in refusal(path)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert "not a complete safetensors file" in refusal(tmp_path)


def test_a_safetensors_file_of_somebody_else(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "w.safetensors")
    assert "not written by Resight" in refusal(tmp_path / "w.safetensors")


def test_another_format_version(path: Path) -> None:
    rewrite(path, resight_format="2", resight_version="9.1")
    assert "written by Resight 9.1 in format 2" in refusal(path)


def test_an_unknown_model(path: Path) -> None:
    rewrite(path, model="hans")
    assert "Unknown model 'hans'. Did you mean 'han'?" in refusal(path)


def test_a_setting_that_this_version_does_not_have(path: Path) -> None:
    settings = json.loads(metadata(path)["settings"]) | {"colour": "red"}
    rewrite(path, settings=json.dumps(settings))
    assert "colour" in refusal(path)


def test_tensors_of_another_architecture_are_named(path: Path) -> None:
    tensors = load_file(path)
    name = "stem.0.weight"
    tensors[name] = torch.zeros(8, 3, 3, 3)
    for index in range(5):
        tensors[f"stranger.{index}"] = torch.zeros(1)
    missing = [key for key in tensors if key.startswith("soft.")]
    for key in missing:
        del tensors[key]
    rewrite(path, tensors)
    sentence = refusal(path)
    assert f"{len(missing)} missing: " in sentence
    assert any(key in sentence for key in missing)
    assert "5 not of the model: stranger.0, stranger.1, stranger.2 and 2 more" in sentence
    assert "1 of another shape: stem.0.weight is (8, 3, 3, 3) instead of (32, 3, 3, 3)" in sentence


def test_settings_of_another_size_are_found_out(path: Path) -> None:
    settings = json.loads(metadata(path)["settings"]) | {"feature_size": 128}
    rewrite(path, settings=json.dumps(settings))
    assert "global_head.feature.0.weight is (32, 16) instead of (64, 16)" in refusal(path)


def test_an_older_file_survives_a_failed_write(
    model: Network, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        save_weights(model, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]

"""Weights of other toolkits: parity with the originals, telling architectures apart, refusals."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import pictures, random_weights, reference, reference_shapes
from safetensors.torch import save_file
from torch import Tensor

from resight.errors import UserError
from resight.models.foreign import ARCHITECTURES, expected_tensors, match_architecture, read_foreign
from resight.models.weights import load_weights, save_weights

VECTORS = dict(reference("vectors"))
SHAPES = reference_shapes()
SLOW = ("fast-reid", "transreid", "clip-reid", "torchreid-mobilenet-v2-x1.4")
"""Beginnings of the names of large networks, or of those that are like another one."""

QUICK = ("fast-reid-sbs-resnet-50-ibn",)


def weights(architecture: str) -> dict[str, Tensor]:
    """Return a file's content as torchreid's own network has it."""
    return {name: torch.from_numpy(value) for name, value in random_weights(SHAPES[architecture]).items()}


def saved(content: object, folder: Path, name: str = "w.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name.startswith(SLOW) and name not in QUICK else [])
        for name in SHAPES
    ],
)
def test_vectors_are_those_of_the_toolkit(architecture: str, tmp_path: Path) -> None:
    """Of random weights and pictures; and the two pictures differ by far more."""
    found = read_foreign(saved(weights(architecture), tmp_path))
    assert found.architecture == architecture
    assert found.unused == ()
    assert found.used + len(found.dropped) == len(SHAPES[architecture])
    assert found.dropped
    expected = VECTORS[architecture]
    images = torch.from_numpy(pictures(size=found.network.input_size))
    with torch.inference_mode():
        vectors = found.network.embed(images).numpy()
    assert np.abs(vectors - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * np.abs(expected).max()


def meta(architecture: str) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in SHAPES[architecture].items()}


def test_statistics_of_older_files_of_fast_reid_are_taken(tmp_path: Path) -> None:
    """They are of pixels from 0 to 255; newer files leave them out."""
    name = "fast-reid-bot-resnet-50"
    tensors = {name: torch.zeros(shape) for name, shape in SHAPES[name].items()}
    tensors |= {"pixel_mean": torch.full((1, 3, 1, 1), 51.0), "pixel_std": torch.full((1, 3, 1, 1), 102.0)}
    found = read_foreign(saved({"model": tensors}, tmp_path))
    assert (found.architecture, found.unused) == (name, ())
    assert (found.resizing.interpolation, found.network.input_size) == ("bicubic", (256, 128))
    assert found.network.mean.flatten().tolist() == pytest.approx([0.2] * 3)
    assert found.network.std.flatten().tolist() == pytest.approx([0.4] * 3)


@pytest.mark.parametrize(
    ("architecture", "name", "shape", "target", "factor"),
    [
        ("transreid-vit-b16", "base.sie_embed", (6, 1, 768), "positions", 3.0),
        ("clip-reid-vit-b16", "cv_embed", (6, 768), "class_token", 1.0),
    ],
)
def test_the_vector_of_a_camera_is_added_if_one_is_named(
    architecture: str, name: str, shape: tuple[int, ...], target: str, factor: float, tmp_path: Path
) -> None:
    cameras = torch.arange(6.0).view(6, *[1] * (len(shape) - 1)).expand(shape).clone()
    zeros = {key: torch.zeros(size) for key, size in SHAPES[architecture].items()}
    path = saved(zeros | {name: cameras}, tmp_path)
    off, named = read_foreign(path), read_foreign(path, camera=4)
    assert (off.architecture, off.cameras, off.unused) == (architecture, 6, (name,))
    assert not off.network.get_parameter(target).any()
    assert torch.equal(
        named.network.get_parameter(target), torch.full_like(off.network.get_parameter(target), 4 * factor)
    )
    assert named.unused == ()
    with pytest.raises(UserError, match="has vectors of 6 cameras, 0 to 5; got 6"):
        read_foreign(path, camera=6)
    with pytest.raises(UserError, match="has no vectors of cameras, so there is none of camera 0"):
        read_foreign(saved(zeros, tmp_path), camera=0)


def test_missing_parts_of_fast_reids_are_named(tmp_path: Path) -> None:
    name = "fast-reid-sbs-resnet-50"
    tensors = {key: torch.zeros(shape) for key, shape in SHAPES[name].items()}
    kept = {key: value for key, value in tensors.items() if not key.startswith("backbone.NL_3.2")}
    message = refusal(saved(kept, tmp_path))
    assert f"The nearest is {name}, from which they differ:" in message
    assert "missing: backbone.NL_3.2.g.weight, backbone.NL_3.2.g.bias" in message
    assert "They are those of fast-reid-sbs-resnet-50" in refusal(
        saved(tensors, tmp_path), "fast-reid-agw-resnet-50"
    )


@pytest.fixture(scope="module")
def smallest() -> dict[str, Tensor]:
    return weights("osnet-x0.25")


def refusal(path: Path, architecture: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read_foreign(path, architecture)
    return str(caught.value)


@pytest.mark.parametrize("form", ["parallel", "nested", "safetensors", "without batch counts", "half"])
def test_forms_of_a_file(form: str, smallest: dict[str, Tensor], tmp_path: Path) -> None:
    parallel = {f"module.{name}": tensor for name, tensor in smallest.items()}
    path = tmp_path / "w.safetensors"
    if form == "safetensors":
        save_file(parallel, path)
    else:
        content: Mapping[str, object] = {
            "parallel": parallel,
            "nested": {"state_dict": parallel, "epoch": 60},
            "without batch counts": {name: item for name, item in smallest.items() if "num_b" not in name},
            "half": {
                name: item.half() if item.is_floating_point() else item for name, item in smallest.items()
            },
        }[form]
        path = saved(content, tmp_path)
    found = read_foreign(path)
    assert found.architecture == "osnet-x0.25"
    assert sorted(found.dropped) == ["classifier.bias", "classifier.weight"]
    expected = VECTORS["osnet-x0.25"]
    with torch.inference_mode():
        vectors = found.network.embed(torch.from_numpy(pictures())).numpy()
    np.testing.assert_allclose(vectors, expected, atol=2e-2 if form == "half" else 1e-4)


def test_a_weights_file_of_our_own_keeps_them(smallest: dict[str, Tensor], tmp_path: Path) -> None:
    found = read_foreign(saved(smallest, tmp_path)).network
    save_weights(found, tmp_path / "weights.safetensors")
    again = load_weights(tmp_path / "weights.safetensors", torch.device("cpu"))
    images = torch.from_numpy(pictures())
    with torch.inference_mode():
        assert torch.equal(again.embed(images), found.embed(images))
    assert again.input_size == (256, 128)
    assert again.descriptor == "raw"
    assert again.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert again.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


@pytest.mark.parametrize("architecture", SHAPES)
def test_each_architecture_is_told_from_the_others(architecture: str) -> None:
    assert match_architecture(meta(architecture)) == [architecture]


def test_every_architecture_is_told_by_its_own_tensors() -> None:
    for architecture in ARCHITECTURES:
        alike = {"resnet-50", "resnet-50-stride-1"}
        found = set(match_architecture(expected_tensors(architecture)))
        assert found == (alike if architecture in alike else {architecture})


def test_weights_of_another_width_are_refused_and_the_right_one_is_named(
    smallest: dict[str, Tensor], tmp_path: Path
) -> None:
    message = refusal(saved(smallest, tmp_path), "osnet-x1.0")
    assert "are not those of osnet-x1.0" in message
    assert "of another shape: conv1.conv.weight is (16, 3, 7, 7) instead of (64, 3, 7, 7)" in message
    assert "They are those of osnet-x0.25: give --architecture osnet-x0.25, or none." in message


def test_a_fully_connected_layer_is_not_left_out_in_silence(tmp_path: Path) -> None:
    message = refusal(saved(weights("resnet-50-fc512"), tmp_path), "resnet-50")
    assert "7 not of the model: fc.0.weight, fc.0.bias, fc.1.weight and 4 more" in message
    assert "They are those of resnet-50-fc512" in message


def test_weights_of_no_known_width_name_the_nearest(smallest: dict[str, Tensor], tmp_path: Path) -> None:
    changed = smallest | {"conv5.conv.weight": torch.zeros(96, 128, 1, 1)}
    message = refusal(saved(changed, tmp_path))
    assert "no architecture that Resight knows. The nearest is osnet-x0.25" in message
    assert "1 of another shape: conv5.conv.weight is (96, 128, 1, 1) instead of (128, 128, 1, 1)" in message


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    message = refusal(saved({"backbone.stem.weight": torch.zeros(8, 3, 3, 3)}, tmp_path))
    assert "of no architecture that Resight knows: no name is the same" in message
    assert "osnet-x0.25" in message
    assert "ONNX" in message


def test_what_no_tensor_shows_is_asked(tmp_path: Path) -> None:
    """A ResNet-50 without any classifier may have either stride in its last layer."""
    bare = {name: item for name, item in weights("resnet-50").items() if not name.startswith("classifier")}
    path = saved(bare, tmp_path)
    message = refusal(path)
    assert "may be those of resnet-50 or resnet-50-stride-1" in message
    assert "give --architecture" in message
    finer = read_foreign(path, "resnet-50-stride-1")
    assert finer.network.settings["trunk"]["strides"] == [1, 2, 2, 1]
    assert read_foreign(path, "resnet-50").network.settings["trunk"]["strides"] == [1, 2, 2, 2]


def test_tensors_of_no_use_are_named(smallest: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved(smallest | {"attribute_head.weight": torch.zeros(2, 2)}, tmp_path)
    assert "1 not of the model: attribute_head.weight" in refusal(path)
    found = read_foreign(path, "osnet-x0.25")
    assert found.unused == ("attribute_head.weight",)
    assert found.dropped == ("classifier.weight", "classifier.bias")


def test_an_unknown_architecture(smallest: dict[str, Tensor], tmp_path: Path) -> None:
    message = refusal(saved(smallest, tmp_path), "osnet-x0.2")
    assert "Unknown architecture 'osnet-x0.2'. Did you mean 'osnet-x0.25'?" in message
    assert "mobilenet-v3-small" in message


@pytest.mark.parametrize("name", ["mobilenet-v2", "mobilenet-v3-large", "mobilenet-v3-small"])
def test_torchvisions_mobilenets_are_read_without_their_classifier(name: str, tmp_path: Path) -> None:
    shapes = {key: tuple(tensor.shape) for key, tensor in expected_tensors(name).items()}
    drawn = random_weights(shapes | {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)})
    found = read_foreign(saved({key: torch.from_numpy(value) for key, value in drawn.items()}, tmp_path))
    assert found.architecture == name
    assert found.dropped == ("classifier.1.weight", "classifier.1.bias")
    own = found.network.state_dict()
    assert all(np.array_equal(own[f"trunk.{key}"].numpy(), drawn[key]) for key in shapes)

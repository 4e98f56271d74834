"""Batch normalisation by the statistics of each camera's crops: the definition, and the commands."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from calling import call
from PIL import Image
from torch import nn

from resight.errors import UserError
from resight.inference.by_camera import CameraEmbedder
from resight.inference.embedder import Embedder
from resight.models.network import Network, build_model
from resight.models.statistics import FEWEST, MOST, camera_groups, embed_by_camera, with_statistics
from resight.models.weights import save_weights

CPU = torch.device("cpu")
LIGHT = {
    "trunk": {"name": "resnet", "depth": 18, "width": 0.125},
    "head": "norm",
    "input_size": (32, 32),
    "views": "mirror",
}


def network() -> Network:
    torch.manual_seed(0)
    return build_model("pooled", 5, **LIGHT).eval()


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """Return crops of large patches: noise would leave nothing after pooling."""
    patches = np.random.default_rng(seed).integers(20, 236, (count, 4, 4, 3), dtype=np.uint8)
    return patches.repeat(8, axis=1).repeat(8, axis=2)


def darker(crops: np.ndarray) -> np.ndarray:
    """Return what a camera of half the gain, with another black level, makes of crops."""
    return np.uint8([40, 10, 0]) + crops // 2


def test_statistics_are_the_mean_and_variance_of_what_each_layer_gets() -> None:
    model, crops = network(), drawn(40)
    seen: list[torch.Tensor] = []
    found = with_statistics(model, crops, CPU, "float32")
    found.trunk.conv1.register_forward_hook(lambda _, __, output: seen.append(output))
    found.embed(found.normalise(torch.from_numpy(crops).permute(0, 3, 1, 2)))
    first, mirrored = (part.transpose(0, 1).flatten(1) for part in seen)
    torch.testing.assert_close(found.trunk.bn1.running_mean, (first.mean(1) + mirrored.mean(1)) / 2)
    torch.testing.assert_close(found.trunk.bn1.running_var, (first.var(1) + mirrored.var(1)) / 2)
    assert not any(module.training for module in found.modules())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in network().state_dict().items())


def test_what_a_camera_does_to_colours_makes_no_difference() -> None:
    crops = drawn(80)
    both, cameras = np.concatenate([crops, darker(crops)]), ["light"] * 80 + ["dark"] * 80
    with torch.inference_mode():
        plain = network().embed(network().normalise(torch.from_numpy(both).permute(0, 3, 1, 2)))
    own = embed_by_camera(network(), both, cameras, CPU, "float32", "Embedding")

    def alike(vectors: torch.Tensor) -> float:
        light, dark = nn.functional.normalize(vectors - vectors.mean(0), dim=1).split(80)
        return float(((light @ dark.T).argmax(1) == torch.arange(80)).double().mean())

    assert alike(own) > 0.5  # padding adds zeros, not the camera's black
    assert alike(plain) < 0.1


def test_few_crops_and_unknown_cameras_get_the_statistics_of_all() -> None:
    cameras = ["a"] * FEWEST + ["b"] * (FEWEST - 1) + [None] * 2 * MOST
    group, sources = camera_groups(cameras)
    assert group.tolist() == [0] * FEWEST + [-1] * (len(cameras) - FEWEST)
    assert sources[0].tolist() == list(range(FEWEST))
    assert len(sources) == 2
    assert len(set(sources[1].tolist())) == MOST
    assert sources[1][[0, -1]].tolist() == [0, len(cameras) - 1]
    assert [len(rows) for rows in camera_groups(["a"] * FEWEST)[1]] == [FEWEST]


def test_one_crop_and_networks_without_batch_normalisation_are_refused() -> None:
    with pytest.raises(UserError, match="two crops or more; got 1"):
        with_statistics(network(), drawn(1), CPU)
    vit = build_model("vit", 3, depth=2, input_size=(32, 32))
    with pytest.raises(UserError, match="vectors of vit do not depend on batch normalisation"):
        with_statistics(vit, drawn(4), CPU)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 persons, two crops of each under a light camera, two under a dark one."""
    folder = tmp_path_factory.mktemp("crops")
    random = np.random.default_rng(1)
    for person, clean in enumerate(drawn(20, 2), 1):
        for camera in (1, 2):
            for frame in (1, 2):
                noisy = np.clip(clean + random.normal(0, 12, clean.shape), 0, 255).astype(np.uint8)
                picture = Image.fromarray(darker(noisy) if camera == 2 else noisy)
                picture.save(folder / f"{person:04d}_c{camera}s1_{frame:06d}_00.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_weights(network(), path)
    return str(path)


def test_evaluate_and_embed_find_persons_under_the_other_camera(
    crops: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def score(*arguments: str) -> dict[str, float]:
        call("evaluate", weights, "--data", str(crops), "--json", *arguments)
        return json.loads(capsys.readouterr().out)

    own = score("--adapt-statistics")
    assert own["adapt_statistics"]
    assert own["mAP"] > 0.6 > 0.4 > score()["mAP"]
    call("embed", weights, "--data", str(crops), "--adapt-statistics", "--out", str(tmp_path / "own"))
    call("embed", weights, "--data", str(crops), "--out", str(tmp_path / "plain"))
    paths = sorted(crops.iterdir())
    embedder = Embedder(network(), device="cpu", batch_size=7)
    cameras = {path: path.name[5:7] for path in paths}
    pixels = [np.array(Image.open(path)) for path in paths]
    expected = CameraEmbedder(embedder, cameras).embed(pixels, paths).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "own" / "features.npy"), expected, rtol=1e-3, atol=1e-4)
    infos = [json.loads((tmp_path / name / "info.json").read_text()) for name in ("own", "plain")]
    assert infos[0]["fingerprint"] != infos[1]["fingerprint"]
    capsys.readouterr()
    call("embed", weights, "--data", str(crops), "--adapt-statistics", "--out", str(tmp_path / "own"))
    assert "already complete" in capsys.readouterr().err
    with pytest.raises(UserError, match="other embeddings: model"):
        call("embed", weights, "--data", str(crops), "--out", str(tmp_path / "own"))


def test_unknown_cameras_are_said(crops: Path, weights: str, tmp_path: Path, capsys: object) -> None:
    call("embed", weights, "--data", str(crops), "--unlabelled", "--adapt-statistics", "--out", str(tmp_path))
    assert "80 of 80 crops get the statistics of all" in capsys.readouterr().err  # type: ignore[attr-defined]

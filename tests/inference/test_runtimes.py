"""Our own networks, computed by other runtimes."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from resight.errors import UserError
from resight.inference.embedder import Embedder
from resight.inference.loading import LoadedModel, load_model
from resight.inference.runtimes.choice import Runtime, difference
from resight.models.network import Network, Views, build_model
from resight.models.weights import save_weights

RUNTIMES: list[Runtime] = ["onnxruntime", "openvino"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path / "cache"))


def small(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return build_model("han", 3, input_size=(64, 32), widths=(16, 16, 32), feature_size=16).eval()


def pictures(count: int, size: tuple[int, int] = (64, 32)) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("views", ["one", "mirror", "ten-crop"])
def test_vectors_are_those_of_pytorch(runtime: Runtime, views: Views) -> None:
    network = small()
    expected = Embedder(network, views=views, precision="float32", runtime="torch")
    found = Embedder(network, views=views, precision="float32", runtime=runtime)
    crops = pictures(11, expected.picture_size)
    assert found.runtime == runtime
    assert difference(torch.from_numpy(found(crops)), torch.from_numpy(expected(crops))) is None
    assert found.fingerprint == expected.fingerprint


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_branches_and_descriptor_are_part_of_the_graph(runtime: Runtime) -> None:
    network = small()
    network.descriptor = "raw"
    expected = Embedder(network, branches=["local"], precision="float32", runtime="torch")(pictures(2))
    found = Embedder(network, branches=["local"], precision="float32", runtime=runtime)(pictures(2))
    assert found.shape == (2, 8)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    network.descriptor = "unit"
    found = Embedder(network, branches=["local"], precision="float32", runtime=runtime)(pictures(2))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_the_graph_is_kept_beside_the_weights(tmp_path: Path) -> None:
    save_weights(small(), tmp_path / "model" / "weights.safetensors")
    model = load_model(tmp_path / "model" / "weights.safetensors")
    Embedder(model, precision="float32", runtime="onnxruntime")
    (graph,) = (tmp_path / "model").glob("graph-*.onnx")
    written = graph.stat().st_mtime_ns
    Embedder(model, precision="float32", runtime="openvino")
    assert graph.stat().st_mtime_ns == written
    older = graph.with_name(graph.name.replace(graph.stem[-16:], "0" * 16))
    graph.rename(older)  # as an older version wrote it
    Embedder(model, precision="float32", runtime="onnxruntime")
    assert list((tmp_path / "model").glob("graph-*.onnx")) == [graph]


def test_the_graph_of_a_folder_that_cannot_be_written_is_kept_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = LoadedModel(small(), "small", source=tmp_path / "file" / "weights.safetensors")
    Embedder(model, precision="float32", runtime="onnxruntime")
    assert len(list((tmp_path / "cache" / "graphs").glob("graph-*.onnx"))) == 1


def test_a_damaged_graph_is_written_again(tmp_path: Path) -> None:
    save_weights(small(), tmp_path / "weights.safetensors")
    model = load_model(tmp_path / "weights.safetensors")
    Embedder(model, precision="float32", runtime="onnxruntime")
    (graph,) = tmp_path.glob("graph-*.onnx")
    graph.write_bytes(graph.read_bytes()[:1000])
    found = Embedder(model, precision="float32", runtime="onnxruntime")
    assert found(pictures(1)).shape == (1, 16)


def test_bfloat16_has_a_fingerprint_of_its_own() -> None:
    network = small()
    low = Embedder(network, precision="bfloat16")
    assert low.fingerprint != Embedder(network, precision="float32").fingerprint
    with pytest.raises(UserError, match="ONNX Runtime does not support bfloat16"):
        Embedder(network, precision="bfloat16", runtime="onnxruntime")


def test_a_runtime_that_is_not_installed_is_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RUNTIMES:
        monkeypatch.setitem(sys.modules, name, None)
    embedder = Embedder(small(), precision="float32")
    assert embedder.prepare() == "PyTorch, float32"
    with pytest.raises(UserError, match=r"OpenVINO is not installed.*pip install"):
        Embedder(small(), precision="float32", runtime="openvino")


def test_auto_prepares_once_and_says_what_computes(tmp_path: Path) -> None:
    embedder = Embedder(small(), precision="float32")
    assert embedder.runtime == "torch"
    embedder.prepare()
    assert len(list((tmp_path / "cache" / "runtimes").glob("*.json"))) == 1
    expected = Embedder(small(), precision="float32", runtime="torch")
    assert (
        difference(torch.from_numpy(embedder(pictures(9))), torch.from_numpy(expected(pictures(9)))) is None
    )

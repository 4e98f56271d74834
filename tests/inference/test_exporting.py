"""Our own networks as files for other programs: their vectors are PyTorch's, however they are called."""

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx_files import write_embedder
from PIL import Image

from resight.errors import UserError
from resight.imaging import Resizing
from resight.inference.embedder import Embedder
from resight.inference.exporting import Caller, Format, export_model
from resight.inference.importing import import_model
from resight.inference.loading import LoadedModel, load_model
from resight.models.network import build_model

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "export.md"
SIZE = (64, 32)
ENDS: dict[Format, str] = {"onnx": "a.onnx", "openvino": "a.xml"}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    """A network that describes a crop and its mirror image by vectors of length 1."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"trunk": {"name": "mobilenet", "width": 0.125}, "head": "fc-norm"}
    network = build_model(
        "pooled", 3, feature_size=16, input_size=SIZE, views="mirror", descriptor="unit", **settings
    ).eval()
    return LoadedModel(network, "small", resizing=Resizing("bicubic", 7))


@pytest.fixture(scope="module")
def file(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_model(model, tmp_path_factory.mktemp("exported") / "person.onnx").path


def crops(count: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(0, 256, (count, size[0] // 8, size[1] // 8, 3), np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def by_pytorch(model: LoadedModel, pixels: NDArray[np.uint8]) -> Any:
    return Embedder(model, precision="float32", runtime="torch")(list(pixels))


def test_pixels_go_in_and_vectors_come_out(model: LoadedModel, file: Path) -> None:
    session = onnxruntime.InferenceSession(file)
    (source,), (output,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.type, source.shape) == ("pixels", "tensor(uint8)", ["batch", *SIZE, 3])
    assert (output.name, output.shape[0]) == ("vectors", "batch")
    kinds = {node.op_type for node in onnx.load(file).graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds
    for count in (1, 5):
        pixels = crops(count)
        (found,) = session.run(None, {"pixels": pixels})
        np.testing.assert_allclose(found, by_pytorch(model, pixels), atol=1e-5)


def test_pixels_of_another_range_are_refused(file: Path, tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(file)
    with pytest.raises(Exception, match=r"Unexpected input data type.*float.*expected.*uint8"):
        session.run(None, {"pixels": crops(1) / np.float32(255)})
    with pytest.raises(UserError, match=r"RGB from 0 to 255, mean 0 0 0, .*Got: RGB from 0 to 1, mean 0 0 0"):
        import_model(file, tmp_path / "model", given={"value_range": 1})


def test_the_example_of_the_guide_runs_with_onnx_runtime_alone(
    model: LoadedModel, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = re.findall(r"(?ms)^```python\n(.*?)^```", GUIDE.read_text())
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {"numpy", "onnxruntime", "PIL"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "person.onnx").write_bytes(file.read_bytes())
    pixels = crops(2)
    for name, one in zip(("one.jpg", "two.jpg"), pixels, strict=True):
        Image.fromarray(one).save(tmp_path / name, "PNG")
    found: dict[str, Any] = {}
    exec(compile(text.replace("128, 256", "32, 64"), "guide", "exec"), found)
    first, second = by_pytorch(model, pixels)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert found["similarity"] == pytest.approx(cosine, abs=1e-5)


@pytest.mark.parametrize(
    ("caller", "name", "mean", "deviation"),
    [
        ("boxmot", "images", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ("frigate", "data", [0.5] * 3, [0.5] * 3),
    ],
)
def test_other_programs_call_it_in_their_way(
    model: LoadedModel, caller: Caller, name: str, mean: list[float], deviation: list[float], tmp_path: Path
) -> None:
    path = export_model(model, tmp_path / "a.onnx", caller=caller).path
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == [name]
    pixels = crops(3)
    given = ((pixels / 255 - mean) / deviation).astype(np.float32).transpose(0, 3, 1, 2)
    (found,) = session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: given})
    np.testing.assert_allclose(found, by_pytorch(model, pixels), atol=1e-5)
    again = Embedder(load_model(path))
    np.testing.assert_allclose(again(list(pixels)), by_pytorch(model, pixels), atol=1e-5)


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_an_exported_file_is_a_model_again(
    to: Format, model: LoadedModel, file: Path, tmp_path: Path
) -> None:
    path = file if to == "onnx" else export_model(model, tmp_path / ENDS[to], to).path
    pixels = crops(3)
    import_model(path, tmp_path / "model")
    for source in (path, tmp_path / "model"):
        again = Embedder(load_model(source))
        assert (again.picture_size, again.views, again.resizing) == (SIZE, "one", model.resizing)
        np.testing.assert_allclose(again(list(pixels)), by_pytorch(model, pixels), atol=1e-5)


@pytest.mark.parametrize("opset", [11, 17])
def test_the_opset_is_the_one_that_was_asked_for(opset: int, model: LoadedModel, tmp_path: Path) -> None:
    exported = export_model(model, tmp_path / "a.onnx", opset=opset, pictures=list(crops(2)))
    assert [one.version for one in onnx.load(tmp_path / "a.onnx").opset_import] == [opset] == [exported.opset]
    assert exported.crops == 10
    assert exported.cosine > 0.99999


def test_ten_crops_are_cut_inside(model: LoadedModel, tmp_path: Path) -> None:
    network = build_model("pooled", 3, **model.need_network("").settings | {"views": "ten-crop"}).eval()
    network.load_state_dict(model.need_network("").state_dict())
    ten = LoadedModel(network, "ten")
    path = export_model(ten, tmp_path / "a.onnx").path
    pixels = crops(2, (72, 40))[:, :, :36]
    found = onnxruntime.InferenceSession(path).run(None, {"pixels": pixels})[0]
    np.testing.assert_allclose(found, by_pytorch(ten, pixels), atol=1e-5)


def test_what_cannot_be_exported_is_refused(model: LoadedModel, file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--out of --to onnx is a file that ends in \.onnx; got .*a\.xml"):
        export_model(model, tmp_path / "a.xml")
    with pytest.raises(UserError, match="Resight writes opset 9 to 20 of ONNX; got 21"):
        export_model(model, tmp_path / "a.onnx", opset=21)
    with pytest.raises(UserError, match=r"person\.onnx exists"):
        export_model(model, file)
    with pytest.raises(UserError, match=r"opset 9: .*flip"):
        export_model(model, tmp_path / "a.onnx", opset=9)
    graph = write_embedder(tmp_path / "graph.onnx")
    with pytest.raises(UserError, match=r"it is already a graph, in the file .*model\.onnx"):
        export_model(load_model(graph), tmp_path / "a.onnx")

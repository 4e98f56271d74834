"""Files of others that cannot be made into model folders, and why."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx_files import write_embedder

from resight.errors import UserError
from resight.inference.embedder import Embedder
from resight.inference.importing import import_model
from resight.inference.loading import load_model

PLAIN: dict[str, Any] = {"value_range": 255, "mean": (0, 0, 0), "deviation": (1, 1, 1)}


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (
            {"last": "Softmax"},
            {},
            "is a classifier: its output 'output' has the scores of 6 classes",
        ),
        ({"names": ("data", "logits")}, {}, "is a classifier: its output 'logits'"),
        ({"channels": 9}, {}, r"takes 'images' float32 \[\?, 9, 16, 8\], not crops with three channels"),
        (
            {"more": True, "names": ("a", "b")},
            {},
            "several outputs that may be the embedding: b, second. Choose one",
        ),
        ({"more": True}, {"output": "third"}, r"has no output 'third'\. Its outputs: 'output'"),
        ({"more": True}, {"output": "map"}, r"'map' is not one vector per crop, \[batch, numbers\]"),
        ({"size": ("h", "w")}, {}, "crops of any size: .* Choose one: --input-size 256x128"),
        (
            {},
            {"given": {"input_size": (32, 16)}},
            r"takes crops of 16 x 8 pixels .* got the input size 32x16",
        ),
        ({"dtype": "uint8"}, {"given": {"mean": (1, 2, 3)}}, "takes pixels as uint8"),
        ({}, {"given": {"deviation": (0, 1, 1)}}, "deviation.0: Input should be greater than 0"),
        ({}, {"architecture": "han"}, "--architecture is for weights files"),
        ({"metadata": {"resight.preprocessing": "x"}}, {}, "are not a JSON object"),
    ],
)
def test_what_is_no_embedder_is_refused(
    made: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write_embedder(tmp_path / "a.onnx", **made)
    with pytest.raises(UserError, match=message):
        import_model(path, tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


def test_a_detector_is_no_embedder(tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "a.onnx")
    content = onnx.load(path)
    content.graph.node.append(onnx.helper.make_node("Unsqueeze", ["output", "axis"], ["boxes"]))
    content.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axis"))
    del content.graph.output[:]
    content.graph.output.append(
        onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, [None, 1, 6])
    )
    onnx.save(content, path)
    with pytest.raises(UserError, match=r"is not an embedder: of its outputs, 'boxes' .* none is one vector"):
        import_model(path, tmp_path / "model")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network\n")
    whole = write_embedder(tmp_path / "a.onnx")
    (tmp_path / "cut.onnx").write_bytes(whole.read_bytes()[:-200])
    openvino.save_model(openvino.convert_model(whole), tmp_path / "a.xml")
    (tmp_path / "a.bin").unlink()
    for name, message in (
        ("text.onnx", "text"),
        ("cut.onnx", "cut off"),
        ("a.xml", r"a\.bin"),
        ("none.onnx", "There is no file"),
    ):
        with pytest.raises(UserError, match=message):
            import_model(tmp_path / name, tmp_path / "model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="is not an empty folder"):
        import_model(whole, tmp_path / "full")


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    import_model(write_embedder(tmp_path / "a.onnx"), tmp_path / "model")
    settings = tmp_path / "model" / "model.json"
    text = settings.read_text()
    for wrong in ("{", text.replace('"format": 1', '"format": 9'), text.replace('"rgb"', '"cmyk"')):
        settings.write_text(wrong)
        with pytest.raises(UserError, match=r"model\.json is damaged or of another version of Resight"):
            load_model(tmp_path / "model")
    settings.write_text(text)
    (tmp_path / "model" / "model.onnx").unlink()
    with pytest.raises(UserError, match=r"model\.onnx"):
        Embedder(load_model(tmp_path / "model"))
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(UserError):
        load_model(tmp_path / "model")

"""Files of others made into model folders: their vectors are those of the file, however crops are batched."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx_files import SIZE, crops, expected, write_embedder, write_normalising

from resight.errors import UserError
from resight.inference.embedder import Embedder
from resight.inference.importing import import_model
from resight.inference.loading import load_model
from resight.models.network import build_model
from resight.models.weights import save_weights

PLAIN: dict[str, Any] = {"value_range": 255, "mean": (0, 0, 0), "deviation": (1, 1, 1)}


def embed(folder: Path, pixels: Any, **options: Any) -> Any:
    return Embedder(load_model(folder), **options)(list(pixels))


@pytest.mark.parametrize(
    ("options", "batch", "repairs"),
    [
        ({}, None, ()),
        ({"batch": 1}, None, ("batch size made variable",)),
        ({"batch": 1, "inside": [1, -1]}, None, ("batch size made variable",)),
        ({"batch": 1, "inside": [1, 32]}, None, ("batch size made variable",)),
        (
            {"inside": [1, 32]},
            None,
            ("batch size made variable",),
        ),  # says that it takes any number, and does not
        ({"batch": 16, "inside": [16, -1]}, None, ("batch size made variable",)),
        ({"batch": 16, "constant": True}, 16, ()),
    ],
)
def test_crops_are_embedded_together_where_that_gives_the_same(
    options: dict[str, Any], batch: int | None, repairs: tuple[str, ...], tmp_path: Path
) -> None:
    path = write_embedder(tmp_path / "a.onnx", **options)
    imported = import_model(path, tmp_path / "model", given=PLAIN)
    graph = imported.settings.graph
    assert graph is not None
    assert (graph.batch, graph.repairs) == (batch, repairs)
    single = write_embedder(tmp_path / "one.onnx", batch=1)
    pixels = crops(5)
    found = embed(tmp_path / "model", pixels)
    if batch is None:
        np.testing.assert_allclose(found, expected(pixels, single, 0, 1), rtol=1e-4, atol=1e-3)
    else:  # five crops of sixteen: the rest are filled up, and dropped
        assert found.shape == (5, 6)
        again = embed(tmp_path / "model", [*pixels, *crops(15, seed=2)])
        np.testing.assert_array_equal(found, again[:5])
        assert imported.notes[1:] == [
            "Its batch size is fixed: it takes 16 crops at a time. This could not be changed."
        ]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_each_layout_and_type_of_input_gives_the_same_vectors(
    layout: str, dtype: str, tmp_path: Path
) -> None:
    path = write_embedder(tmp_path / "a.onnx", layout=layout, dtype=dtype, batch=1)
    import_model(path, tmp_path / "model", given={} if dtype == "uint8" else PLAIN)
    plain = write_embedder(tmp_path / "plain.onnx")
    pixels = crops(3)
    by_hand = expected(pixels, plain, 0, 1)
    tolerance = 0.01 if dtype == "float16" else 1e-5
    assert np.abs(embed(tmp_path / "model", pixels) - by_hand).max() < tolerance * np.abs(by_hand).max()


def test_a_known_file_needs_no_folder_and_no_settings(tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "any-name.onnx", batch=1)
    pixels = crops(4)
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1) * 255
    scale = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1) * 255
    by_hand = expected(pixels, path, mean, scale)
    model = load_model(path)
    assert (model.name, model.source) == ("any-name", path)
    embedder = Embedder(model)
    assert (embedder.width, embedder.picture_size, embedder.weights) == (6, SIZE, str(path))
    np.testing.assert_allclose(embedder(list(pixels)), by_hand, rtol=1e-4, atol=1e-4)
    with pytest.raises(
        UserError, match="an ONNX or OpenVINO graph, which runs on the CPU; got the device 'cuda'"
    ):
        Embedder(model, device="cuda")
    import_model(path, tmp_path / "model")
    assert Embedder(load_model(tmp_path / "model")).fingerprint == embedder.fingerprint

    unknown = write_embedder(tmp_path / "b.onnx", names=("crop", "vector"))
    with pytest.raises(UserError, match=r"The preprocessing that .* is unknown: .* resight model import"):
        load_model(unknown)
    assert (
        "b.onnx does not say which preprocessing it needs" in import_model(unknown, tmp_path / "b").notes[0]
    )
    told = {"resight.preprocessing": json.dumps({**PLAIN, "colours": "bgr"})}
    path = write_embedder(tmp_path / "c.onnx", names=("crop", "vector"), metadata=told)
    np.testing.assert_allclose(
        Embedder(load_model(path))(list(pixels)), expected(pixels, path, 0, 1, bgr=True), rtol=1e-4, atol=1e-3
    )


def test_open_model_zoo_gets_bgr_and_tao_one_deviation(tmp_path: Path) -> None:
    names = ("data", "reid_embedding")
    path = write_embedder(tmp_path / "a.onnx", names=names, batch=1)
    openvino.save_model(openvino.convert_model(path), tmp_path / "a.xml", compress_to_fp16=False)
    pixels = crops(3)
    found = Embedder(load_model(tmp_path / "a.xml"))
    np.testing.assert_allclose(
        found(list(pixels)), expected(pixels, path, 0, 1, bgr=True), rtol=1e-4, atol=1e-3
    )
    tao = write_embedder(tmp_path / "tao.onnx", names=("input", "fc_pred"))
    imported = import_model(tao, tmp_path / "tao").settings
    assert (imported.kind, imported.preprocessing.deviation) == ("NVIDIA TAO", (0.226, 0.226, 0.226))


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_silent_channels_are_zero_as_the_standard_says(opset: int, tmp_path: Path) -> None:
    path = write_normalising(tmp_path / "a.onnx", opset=opset)
    imported = import_model(path, tmp_path / "model", given=PLAIN)
    graph = imported.settings.graph
    assert graph is not None
    assert graph.repairs == ("1 MeanVarianceNormalization replaced", "batch size made variable")
    pixels = crops(3)
    assert np.isnan(expected(pixels, path, 0, 1)).all(1).any() or np.isnan(expected(pixels, path, 0, 1)).any()
    found = embed(tmp_path / "model", pixels)
    openvino.save_model(openvino.convert_model(path), tmp_path / "a.xml", compress_to_fp16=False)
    import_model(tmp_path / "a.xml", tmp_path / "ir", given=PLAIN | {"colours": "rgb"})
    np.testing.assert_allclose(found, embed(tmp_path / "ir", pixels), rtol=1e-5)


def test_the_fingerprint_covers_weights_and_all_settings(tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "a.onnx")
    changes: list[dict[str, Any]] = [
        {},
        {"colours": "bgr"},
        {"value_range": 255},
        {"mean": (0.5, 0.5, 0.5)},
        {"deviation": (0.5, 0.5, 0.5)},
        {"interpolation": "bicubic"},
        {"padding": 0},
        {"views": "mirror"},
        {"descriptor": "unit"},
    ]
    found = []
    for number, given in enumerate(changes):
        import_model(path, tmp_path / str(number), given=given)
        found.append(Embedder(load_model(tmp_path / str(number))).fingerprint)
    content = onnx.load(path)
    kernel = onnx.numpy_helper.to_array(content.graph.initializer[0])
    content.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(kernel * 2, "kernel"))
    onnx.save(content, tmp_path / "b.onnx")
    import_model(tmp_path / "b.onnx", tmp_path / "b")
    found.append(Embedder(load_model(tmp_path / "b")).fingerprint)
    assert len(set(found)) == len(found)
    import_model(path, tmp_path / "again", name="another name")
    assert Embedder(load_model(tmp_path / "again")).fingerprint == found[0]
    assert Embedder(load_model(tmp_path / "0"), views="mirror").fingerprint == found[7]


def test_views_padding_and_descriptor_do_what_they_say(tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "a.onnx")
    import_model(path, tmp_path / "model", given={**PLAIN, "views": "mirror", "descriptor": "unit"})
    pixels = crops(2)
    both = [expected(view, path, 0, 1) for view in (pixels, pixels[:, :, ::-1])]
    mean = np.mean([one / np.linalg.norm(one, axis=1, keepdims=True) for one in both], axis=0)
    np.testing.assert_allclose(embed(tmp_path / "model", pixels), mean, rtol=1e-4, atol=1e-5)
    import_model(path, tmp_path / "padded", given={**PLAIN, "padding": 7})
    wide = np.full((8, 8, 3), 200, np.uint8)
    (ready,) = Embedder(load_model(tmp_path / "padded")).preprocess([wide])
    assert ready.shape == (*SIZE, 3)
    assert (ready[4:12] == 200).all()
    assert (ready[:4] == 7).all()
    assert (ready[12:] == 7).all()


def test_weights_become_a_folder_with_the_same_fingerprint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"size": "small", "input_size": [64, 32], "widths": [16, 32, 48]}
    save_weights(build_model("han", 4, feature_size=32, **settings), tmp_path / "weights.safetensors")
    imported = import_model(tmp_path / "weights.safetensors", tmp_path / "model", name="mine")
    assert (imported.settings.architecture, imported.settings.graph) == ("han", None)
    model = load_model(tmp_path / "model")
    embedder, other = Embedder(model), Embedder(load_model(tmp_path / "weights.safetensors"))
    assert (model.name, embedder.fingerprint) == ("mine", other.fingerprint)
    pixels = list(crops(3, (64, 32)))
    np.testing.assert_array_equal(embedder(pixels), other(pixels))
    import_model(
        tmp_path / "weights.safetensors",
        tmp_path / "bgr",
        given={"colours": "bgr", "interpolation": "bicubic", "mean": (0.406, 0.456, 0.485)},
    )
    swapped = Embedder(load_model(tmp_path / "bgr"))
    assert swapped.fingerprint != embedder.fingerprint
    assert swapped.resizing.interpolation == "bicubic"
    flipped = [np.ascontiguousarray(one[:, :, ::-1]) for one in pixels]
    import_model(
        tmp_path / "weights.safetensors",
        tmp_path / "reversed",
        given={"mean": (0.406, 0.456, 0.485), "deviation": (0.225, 0.224, 0.229)},
    )
    by_hand = Embedder(load_model(tmp_path / "reversed"))(flipped)
    import_model(
        tmp_path / "weights.safetensors",
        tmp_path / "exact",
        given={"colours": "bgr", "mean": (0.406, 0.456, 0.485), "deviation": (0.225, 0.224, 0.229)},
    )
    exact = Embedder(load_model(tmp_path / "exact"), precision="float32")(pixels)
    np.testing.assert_allclose(exact, by_hand, atol=0.02)


def test_external_data_are_taken_into_the_folder(tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "a.onnx")
    content = onnx.load(path)
    onnx.save(content, tmp_path / "b.onnx", save_as_external_data=True, location="b.data", size_threshold=100)
    import_model(tmp_path / "b.onnx", tmp_path / "model", given=PLAIN)
    assert load_model(tmp_path / "b.onnx").name == "b"
    doubled = np.frombuffer((tmp_path / "b.data").read_bytes(), np.float32) * 2
    before = Embedder(load_model(tmp_path / "b.onnx")).fingerprint
    (tmp_path / "b.data").write_bytes(doubled.tobytes())
    assert Embedder(load_model(tmp_path / "b.onnx")).fingerprint != before  # not what the cache has of it
    (tmp_path / "b.data").unlink()
    pixels = crops(2)
    np.testing.assert_allclose(
        embed(tmp_path / "model", pixels), expected(pixels, path, 0, 1), rtol=1e-4, atol=1e-3
    )
    with pytest.raises(UserError, match=r"b\.data"):
        import_model(tmp_path / "b.onnx", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_output_is_named_where_there_are_several(tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "a.onnx", more=True, names=("a", "class_vector"))
    import_model(path, tmp_path / "one", output="second", given=PLAIN)
    import_model(path, tmp_path / "two", output="class_vector", given=PLAIN)
    pixels = crops(2)
    np.testing.assert_allclose(embed(tmp_path / "one", pixels), -embed(tmp_path / "two", pixels))

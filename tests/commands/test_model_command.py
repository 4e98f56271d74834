"""``resight model import`` and ``info``, and every command with a model of others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calling import call, call_json
from onnx_files import expected, write_embedder
from PIL import Image

from resight.errors import UserError
from resight.gallery.gallery import Gallery
from resight.models.network import build_model
from resight.models.weights import save_weights

PLAIN = ("--value-range", "255", "--mean", "0", "--deviation", "1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six crops of three persons, each seen by two cameras: noise, much the same for each person."""
    generator = np.random.default_rng(0)
    persons = generator.integers(0, 236, (4, 16, 8, 3), np.uint8)
    for part, camera in (("query", 1), ("bounding_box_test", 2)):
        for person in (1, 2, 3):
            picture = persons[person] + generator.integers(0, 20, (16, 8, 3), np.uint8)
            path = tmp_path / "data" / part / f"{person:04}_c{camera}s1_000001_00.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_embedder(tmp_path / "network.onnx", batch=1)
    call("model", "import", tmp_path / "network.onnx", "--out", tmp_path / "model", *PLAIN, "--name", "mine")
    return tmp_path / "model"


def test_info_says_how_crops_are_prepared(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = call_json(capsys, "model", "info", model)
    assert (facts["name"], facts["width"], facts["network"]) == ("mine", 6, "onnx")
    assert facts["preprocessing"]["deviation"] == [1, 1, 1]
    assert facts["graph"]["repairs"] == ["batch size made variable"]
    call("model", "info", model)
    shown = capsys.readouterr().out
    assert "mine, from" in shown
    assert "16x8, stretched, bilinear; RGB from 0 to 255, mean 0 0 0, deviation 1 1 1; views one" in shown
    assert f"fingerprint {facts['fingerprint']}" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--input-size", "256"), "--input-size is height x width, such as 256x128; got '256'"),
        (("--mean", "1,2"), "--mean is a number for each channel, such as .*; got '1,2'"),
        (("--deviation", "a"), "--deviation is a number for each channel"),
        (("--padding", "300"), "padding: Input should be less than or equal to 255"),
    ],
)
def test_options_that_cannot_be_are_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "network.onnx")
    with pytest.raises(UserError, match=message):
        call("model", "import", path, "--out", tmp_path / "model", *options)


def test_evaluate_and_embed_take_a_graph(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = call_json(capsys, "evaluate", model, "--data", data)
    assert (found["rank1"], found["model"], found["descriptor"]) == (1.0, str(model), "raw")
    info = call_json(
        capsys, "embed", model, "--data", data, "--part", "query", "--out", tmp_path / "features"
    )
    assert (info["model"], info["rows"], info["width"]) == ("mine", 3, 6)
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted((data / "query").iterdir())])
    by_hand = expected(pixels, tmp_path / "network.onnx", 0, 1)
    np.testing.assert_allclose(np.load(tmp_path / "features" / "features.npy"), by_hand, rtol=1e-4, atol=1e-3)
    with pytest.raises(UserError, match="it has no branches to choose from"):
        call("evaluate", model, "--data", data, "--branches", "global")
    with pytest.raises(UserError, match="A report needs a run"):
        call("evaluate", model, "--data", data, "--report", tmp_path / "report.html")
    with pytest.raises(UserError, match="--data"):
        call("evaluate", model)


def test_a_gallery_is_filled_searched_and_reembedded_with_graphs(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "people.gallery"
    call("gallery", "add", data / "bounding_box_test", "--gallery", place, "--model", model, "--unlabelled")
    (query,) = (data / "query").glob("0002_*")
    found = call_json(capsys, "gallery", "search", query, "--gallery", place)
    assert found["matches"][0]["name"].startswith("0002_")
    wide = write_embedder(tmp_path / "wide.onnx", width=9)
    with pytest.raises(UserError, match=r"mine \(6 numbers a crop\) .*; got wide \(9 numbers a crop\)"):
        call("gallery", "search", query, "--gallery", place, "--model", wide)
    call("gallery", "reembed", "--gallery", place, "--model", wide)
    with Gallery.open(place) as gallery:  # the file is opened again by its path
        assert (gallery.metadata.model.width, gallery.metadata.model.weights) == (9, str(wide))
        assert gallery.search([query]).matches[0].crop.name.startswith("0002_")
    wide.unlink()
    with pytest.raises(UserError, match=r"which no longer exists\. Give it with --model MODEL"):
        call("gallery", "search", query, "--gallery", place)


@pytest.mark.parametrize(
    ("broken", "kind"), [({"last": "Log"}, "NaN or infinity"), ({"zero": True}, "zeros")]
)
def test_vectors_that_cannot_be_compared_are_refused_by_the_crops_name(
    broken: dict[str, Any], kind: str, model: Path, data: Path, tmp_path: Path
) -> None:
    """The logarithms of numbers below zero are NaN."""
    write_embedder(model / "model.onnx", **broken)
    name = r"data/\S+/0001_c1s1_000001_00\.png"
    for command in (
        ("evaluate", model, "--data", data),
        ("embed", model, "--data", data, "--part", "query", "--out", tmp_path / "features"),
    ):
        with pytest.raises(UserError, match=f"The model embeds .*{name} as {kind}, so it cannot be used"):
            call(*command)
    with pytest.raises(UserError, match=rf"The model embeds \w+/000\d_c\ds1_000001_00\.png as {kind}"):
        call("gallery", "add", data, "--gallery", tmp_path / "gallery", "--model", model, "--unlabelled")


def test_a_model_that_tells_nobody_apart_is_refused(model: Path, data: Path) -> None:
    write_embedder(model / "model.onnx", zero=True, bias=5)
    with pytest.raises(
        UserError, match=r"The model embeds .*\.png and .*\.png as the same vector, like all 6"
    ):
        call("evaluate", model, "--data", data)


def test_a_model_is_exported_and_compared_on_crops(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"trunk": {"name": "mobilenet", "width": 0.125}, "input_size": [32, 32]}
    save_weights(build_model("pooled", 2, **settings), tmp_path / "weights.safetensors")
    target = tmp_path / "files" / "person.onnx"
    found = call_json(
        capsys, "model", "export", tmp_path / "weights.safetensors", "--out", target, "--data", data
    )
    assert (found["path"], found["opset"], found["crops"]) == (str(target), 18, 8 + 6)
    assert found["input"] == "'pixels' uint8 [?, 32, 32, 3]"
    assert found["cosine"] > 0.99999
    assert call_json(capsys, "model", "info", target)["width"] == 128


def test_a_graph_is_explained_by_its_ranked_lists(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "explained"
    found = call_json(capsys, "explain", model, "--data", data, "--out", out, "--each", 1)
    assert {path.name for path in out.iterdir()} == {"index.html", "lists.png", "lists.svg"}
    assert len(found["crops"]) == 3
    assert found["not_applicable"] == [
        "Attention: an ONNX or OpenVINO graph returns only vectors.",
        "t-SNE needs 2 persons and 10 crops or more; the test part has 3 persons and 6 crops.",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--data", "{data}"], "folder nowhere does not exist"),
        (["{data}/synthesis.txt", "--data", "{data}"], "synthesis.txt"),
        (["{model}", "--data", "{data}"], "is not a run. Name the folder to write: --out FOLDER"),
        (["{model}", "--out", "{data}/out"], "Name the data to test the weights on"),
        (["{model}", "--data", "{empty}", "--out", "{data}/out"], "{empty}"),
        (["{model}", "--data", "{data}", "--point", "middle"], "'middle' is not a reference point"),
        (["{model}", "--data", "{data}", "--each", "0"], "--each must be 1 or more; got 0"),
    ],
)
def test_explain_refuses(arguments: list[str], message: str, model: Path, data: Path, tmp_path: Path) -> None:
    (data / "synthesis.txt").write_text("no weights")
    (tmp_path / "empty").mkdir()
    known = {"model": str(model), "data": str(data), "empty": str(tmp_path / "empty")}
    with pytest.raises(UserError) as error:
        call("explain", *(argument.format(**known) for argument in arguments))
    assert message.format(**known) in str(error.value)


@pytest.mark.parametrize("command", ["export", "quantize"])
def test_options_that_read_data_need_data(command: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--pattern can only be given with --data"):
        call("model", command, "drawn-people", "--out", tmp_path / "x.onnx", "--pattern", "(?P<person>x)")

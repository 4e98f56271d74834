"""``resight adapt``: folders, galleries, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from calling import call, call_json
from onnx_files import write_embedder
from PIL import Image
from safetensors.torch import load_file

from resight.errors import UserError
from resight.gallery.crops import NewCrop
from resight.gallery.gallery import Gallery
from resight.inference.loading import load_model
from resight.models.network import build_model
from resight.models.weights import save_weights

SIZES = {"size": "small", "input_size": (64, 32), "widths": (16, 32, 48), "feature_size": 32}
LABELLING = "labelling={neighbours: 4, averaged: 2, within: 0.7, crops: 2}"
QUICK = (
    "--set",
    LABELLING,
    "--set",
    "stages.0.sampler.epoch=2",
    "--set",
    "stages.0.augment=[]",
    "--epochs",
    1,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make ``weights.safetensors``, and crops of six persons in ``crops`` and, by person, in ``labelled``."""
    folder = tmp_path_factory.mktemp("adapt")
    torch.manual_seed(0)
    save_weights(build_model("han", 3, **SIZES).eval(), folder / "weights.safetensors")
    generator = np.random.default_rng(0)
    (folder / "crops").mkdir()
    for person in range(6):
        colour = generator.integers(0, 256, 3)
        for crop in range(4):
            pixels = np.clip(colour + generator.normal(0, 20, (32, 16, 3)), 0, 255).astype(np.uint8)
            labelled = folder / "labelled" / str(person) / f"{crop}.png"
            labelled.parent.mkdir(parents=True, exist_ok=True)
            for path in (folder / "crops" / f"x{4 * person + crop}_cam{crop % 2 + 1}.png", labelled):
                Image.fromarray(pixels).save(path)
    return folder


def test_it_writes_a_model_folder(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = call_json(
        capsys,
        *(
            "adapt",
            place / "weights.safetensors",
            "--data",
            place / "crops",
            "--pattern",
            r"cam(?P<camera>\d)",
        ),
        *("--out", tmp_path / "adapted", *QUICK),
    )
    assert [line["epoch"] for line in found["history"]] == [0, 1]
    assert found["kept"] in (0, 1)
    adapted, before = load_model(tmp_path / "adapted"), load_model(place / "weights.safetensors")
    assert adapted.network.picture_size == before.network.picture_size == (64, 32)
    assert adapted.network.views == before.network.views
    weights = load_file(tmp_path / "adapted" / "weights.safetensors")
    assert not [name for name in weights if "classifier" in name]
    own = before.network.state_dict()
    assert all(own[name].equal(weights[name]) for name in weights) == (found["kept"] == 0)


def test_a_gallerys_tracks_and_cameras_are_used(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path / "cache"))
    paths = sorted((place / "crops").iterdir(), key=lambda path: int(path.stem[1:].partition("_")[0]))
    model = load_model(place / "weights.safetensors", device="cpu", runtime="torch")
    with Gallery.open(tmp_path / "gallery", model, create=True) as gallery:
        gallery.add(
            NewCrop(path, camera=f"gate {place % 2}", source="video", tags=(f"track-{place // 4}",))
            for place, path in enumerate(paths)
        )
    out = tmp_path / "adapted"
    found = call_json(
        capsys,
        *("adapt", place / "weights.safetensors", "--data", tmp_path / "gallery", "--out", out, *QUICK),
    )
    assert found["history"][0]["share"] == 1  # a track of two crops under one camera is a cluster
    assert not [*(tmp_path / "cache").rglob("*.pixels")]  # they would outlive the gallery's crops
    with pytest.raises(UserError, match=r"--pattern and --part can only be given with files; "):
        call(
            *("adapt", place / "weights.safetensors", "--data", tmp_path / "gallery", "--out", out),
            *("--pattern", r"cam(?P<camera>\d)", "--part", "train"),
        )


def test_unreadable_pictures_are_refused_or_skipped(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [*map(str, sorted((place / "crops").iterdir())), "gone.png", "broken.png"]
    (tmp_path / "broken.png").write_text("not a picture")
    (tmp_path / "list").write_text("\n".join(names))
    command = "adapt", place / "weights.safetensors", "--data", tmp_path / "list", *QUICK
    with pytest.raises(UserError, match=r"broken\.png is not a picture.* 1 more of 26 cannot be read either"):
        call(*command, "--out", tmp_path / "refused")
    found = call_json(capsys, *command, "--out", tmp_path / "adapted", "--skip-unreadable")
    assert sorted(row["count"] for row in found["left_out"]) == [1, 1]


def test_labelled_crops_are_offered_training(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"6 persons in 24 crops. Training with labels is better") as caught:
        call("adapt", place / "weights.safetensors", "--data", place / "labelled", "--out", tmp_path / "a")
    assert "train RECIPE --data" in str(caught.value)
    assert "--ignore-persons" in str(caught.value)
    with pytest.raises(UserError, match="needs 40 crops or more"):
        call(
            *("adapt", place / "weights.safetensors", "--data", place / "labelled", "--out", tmp_path / "a"),
            *("--ignore-persons", "--set", "labelling.neighbours=20"),
        )


def test_the_labels_of_a_gallery_are_weighed_by_how_many_have_one(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_model(place / "weights.safetensors", device="cpu", runtime="torch")
    paths = sorted((place / "labelled").glob("*/*.png"))
    command = "adapt", place / "weights.safetensors", "--data", tmp_path / "gallery", "--out", tmp_path / "a"
    too_few = "--set", "labelling.neighbours=20"
    with Gallery.open(tmp_path / "gallery", model, create=True) as gallery:
        gallery.add(NewCrop(path, person=path.parent.name) for path in paths)
        one = next(gallery.crops()).id
    with pytest.raises(UserError, match=r"gallery has labels: 6 persons in 24 crops\.") as caught:
        call(*command)
    assert "--ignore-persons" in str(caught.value)
    with pytest.raises(UserError, match="needs 40 crops or more"):
        call(*command, *too_few, "--ignore-persons")
    with Gallery.open(tmp_path / "gallery") as gallery:
        gallery.label([one], None)
    capsys.readouterr()
    with pytest.raises(UserError, match="needs 40 crops or more"):
        call(*command, *too_few)
    assert "Note: 23 of the 24 crops are labelled with 6 persons." in capsys.readouterr().err


def test_a_graph_is_refused_with_what_to_do(place: Path, tmp_path: Path) -> None:
    call("model", "import", write_embedder(tmp_path / "net.onnx"), "--out", tmp_path / "net")
    with pytest.raises(UserError, match="is an ONNX or OpenVINO graph, which cannot be trained") as caught:
        call("adapt", tmp_path / "net", "--data", place / "crops", "--out", tmp_path / "a")
    assert "model import WEIGHTS.pth --out FOLDER" in str(caught.value)


def test_several_processes_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="runs in one process, and torchrun started several"):
        call("adapt", place / "weights.safetensors", "--data", place / "crops")

"""The model that comes with Resight: found by its name everywhere, and the default of those who name none."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from calling import call, call_json
from PIL import Image
from safetensors import safe_open

from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.gallery.gallery import Gallery
from resight.inference.embedder import Embedder
from resight.inference.loading import load_model
from resight.inference.model_folder import WEIGHTS
from resight.models.packaged import FOLDER, NAME
from resight.people.generate import synthesize
from resight.training.testing import embed_benchmark, score_benchmark


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    folder.mkdir()
    for at, picture in enumerate(np.random.default_rng(0).integers(0, 256, (3, 64, 32, 3), dtype=np.uint8)):
        Image.fromarray(picture).save(folder / f"{at}.png")
    return folder


def test_it_is_small_and_knows_no_person() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6e6
    with safe_open(FOLDER / WEIGHTS, framework="pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert {str(kind) for kind in kinds} <= {"torch.float16", "torch.int64"}


def test_it_finds_drawn_people_of_another_seed_far_more_often_than_chance(tmp_path: Path) -> None:
    synthesize(tmp_path / "people", persons=15, test_persons=15, cameras=3, crops=2, height=128, seed=3)
    benchmark = open_benchmark(tmp_path / "people")
    embedded = embed_benchmark(Embedder(load_model(NAME, device="cpu", runtime="torch")), benchmark)
    scores = score_benchmark(embedded, benchmark)
    assert scores.rank(1) > 0.6  # by chance 0.07


def test_what_has_its_name_in_the_current_folder_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_model(NAME).source == FOLDER
    assert load_model(f"./{NAME}/").source == FOLDER
    with pytest.raises(UserError, match=f"Did you mean '{NAME}'"):
        load_model("drawn-peopel")
    (tmp_path / NAME).mkdir()
    with pytest.raises(UserError, match="not a run"):
        load_model(NAME)
    shutil.copytree(FOLDER, tmp_path / NAME, dirs_exist_ok=True)
    assert load_model(NAME).source == tmp_path / NAME


def test_embed_says_that_it_takes_it(crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("embed", "--data", crops, "--out", tmp_path / "default", "--runtime", "torch")
    assert NAME in capsys.readouterr().err
    call("embed", NAME, "--data", crops, "--out", tmp_path / "named", "--runtime", "torch")
    assert "No model is named" not in capsys.readouterr().err
    default, named = (np.load(tmp_path / out / "features.npy") for out in ("default", "named"))
    np.testing.assert_array_equal(default, named)
    assert f'"weights": "{NAME}"' in (tmp_path / "default" / "info.json").read_text()


def test_a_new_gallery_takes_it_and_one_that_exists_keeps_its_own(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--gallery", tmp_path / "g"]
    (tmp_path / "list.txt").write_text("crops/0.png\n")
    call("gallery", "add", tmp_path / "list.txt", *place, "--camera", "a")
    assert "No model is named" in capsys.readouterr().err
    with Gallery.open(tmp_path / "g") as gallery:
        assert gallery.metadata.model.weights == NAME  # not a path, which another installation would not have
    call("gallery", "add", crops, *place, "--camera", "a")
    said = capsys.readouterr()
    assert "3" in said.out
    assert "No model is named" not in said.err
    assert call_json(capsys, "gallery", "search", crops / "1.png", *place)["matches"]

"""load_model and Embedder: what is loaded, and that every way to embed a crop gives the same vector."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resight
from resight.data.benchmark import Benchmark
from resight.errors import UserError
from resight.features.crop_list import crops_to_embed
from resight.features.embedding import embed_crops
from resight.gallery.crops import NewCrop
from resight.gallery.gallery import Gallery
from resight.inference.embedder import Embedder, unit
from resight.inference.loading import load_model
from resight.models.embedding import PixelEmbedder
from resight.models.fingerprint import fingerprint
from resight.models.network import build_model
from resight.models.weights import WEIGHTS, save_weights
from resight.training.reading import load_recipe
from resight.training.run import INFO, RECIPE, Run
from resight.training.testing import embed_benchmark

SMALL = {"size": "small", "input_size": [64, 32], "widths": [16, 32, 48], "feature_size": 32}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Twelve crops of four persons as queries, as many in the gallery."""
    folder = tmp_path_factory.mktemp("crops")
    generator = np.random.default_rng(0)
    for part in ("query", "bounding_box_test"):
        for person in range(1, 5):
            for camera in (1, 2, 3):
                path = folder / part / f"{person:04}_c{camera}s1_{len(part):06}_00.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(generator.integers(0, 256, (70, 30, 3), dtype=np.uint8)).save(path)
    return resight.open_benchmark(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, as training leaves it; its recipe asks for bfloat16."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    save_weights(build_model("han", 4, **SMALL), folder / WEIGHTS)
    recipe = load_recipe("han-small", ["precision=bfloat16", "name=mine"], fitting=False)
    (folder / RECIPE).write_text(recipe.to_yaml())
    (folder / INFO).write_text(json.dumps({"finished": "2026-01-01T00:00:00+00:00"}))
    return folder


def test_a_run_is_loaded_with_its_name_and_precision(run: Path) -> None:
    model = load_model(run, device="cpu")
    assert (model.name, model.source, model.precision) == ("mine", run, "bfloat16")
    assert model.run is not None
    assert not model.network.training
    exact = load_model(Run.open(run), precision="float32")
    assert exact.precision == "float32"
    assert Embedder(exact).fingerprint == fingerprint(model.network)
    assert Embedder(model).fingerprint != fingerprint(model.network)  # bfloat16 gives other numbers
    embedder = Embedder(model)
    assert (embedder.precision, embedder.device.type, embedder.weights) == ("bfloat16", "cpu", str(run))
    assert (embedder.picture_size, embedder.width) == ((64, 32), 32)


def test_a_weights_file_is_loaded_under_the_networks_name(run: Path) -> None:
    model = load_model(str(run / WEIGHTS))
    assert (model.name, model.source, model.precision, model.run) == ("han", run / WEIGHTS, "auto", None)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("missing", {}, "folder .*missing does not exist"),
        ("damaged.safetensors", {}, "is not a complete safetensors file"),
        (".", {}, r"is not a run's folder \(it has no run.json\)"),
        (".", {"device": "toaster"}, "There is no device 'toaster'"),
    ],
)
def test_what_cannot_be_loaded_is_refused(
    source: str, options: dict[str, str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "damaged.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match=message):
        load_model(tmp_path / source, **options)


def test_a_training_that_is_not_complete_cannot_be_loaded(run: Path, tmp_path: Path) -> None:
    for name in (RECIPE, WEIGHTS):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / INFO).write_text(json.dumps({"finished": None}))
    with pytest.raises(UserError, match=r"is not complete\. Go on with: .*resight train .* --resume"):
        load_model(tmp_path)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_way_to_embed_gives_the_same_vectors(
    precision: str, run: Path, benchmark: Benchmark, tmp_path: Path
) -> None:
    model = load_model(run, device="cpu", precision=precision)
    embedder = Embedder(model, batch_size=24)
    training = PixelEmbedder(
        model.network, device=torch.device("cpu"), precision=model.precision, batch_size=24
    )
    scored = embed_benchmark(training, benchmark)
    evaluated = embed_benchmark(embedder, benchmark)
    for one, other in ((scored.query, evaluated.query), (scored.gallery, evaluated.gallery)):
        assert torch.equal(one.features, other.features)
    expected = torch.cat([evaluated.query.features, evaluated.gallery.features]).numpy()
    paths = [crop.path for crop in (*benchmark.query, *benchmark.gallery)]

    folder = tmp_path / "features"
    embed_crops(embedder, crops_to_embed(benchmark.root), folder)
    assert np.array_equal(np.load(folder / "features.npy"), expected)

    with Gallery.open(tmp_path / "gallery", embedder, create=True) as gallery:
        assert np.array_equal(gallery.embed(paths), unit(expected))
        one_by_one = np.concatenate([gallery.embed([path]) for path in paths])
        assert (one_by_one * unit(expected)).sum(1).min() > (1 - 1e-6 if precision == "float32" else 0.999)


def test_branches_and_views_are_part_of_the_fingerprint(run: Path, benchmark: Benchmark) -> None:
    model = load_model(run, device="cpu", precision="float32")
    pictures = [np.full((64, 32, 3), 40, np.uint8), np.full((64, 32, 3), 200, np.uint8)]
    whole, local = Embedder(model), Embedder(model, branches=["local"])
    assert np.allclose(local(pictures), whole(pictures)[:, 16:], atol=1e-6)
    mirrored, ten = Embedder(model, views="mirror"), Embedder(model, views="ten-crop")
    assert ten.picture_size == (72, 36)
    assert len({one.fingerprint for one in (whole, local, mirrored, ten)}) == 4
    assert Embedder(model, views="one").fingerprint == whole.fingerprint
    assert model.network.views == "one"
    with pytest.raises(UserError, match="no branch 'head'"):
        Embedder(model, branches=["head"])(pictures)
    with pytest.raises(UserError, match="must be at least 1; got 0"):
        Embedder(model, batch_size=0)


def test_a_gallery_loads_its_own_model_when_a_picture_is_to_be_read(
    run: Path, benchmark: Benchmark, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes((run / WEIGHTS).read_bytes())
    crops = benchmark.gallery[:3]
    with Gallery.open(tmp_path / "gallery", load_model(weights, device="cpu"), create=True) as gallery:
        gallery.add([NewCrop(crop.path) for crop in crops])
    with Gallery.open(tmp_path / "gallery", device="cpu") as gallery:
        assert gallery.search([crops[1].path]).matches[0].score == pytest.approx(1, abs=1e-3)
        weights.unlink()
        assert gallery.embed([crops[0].path]).shape == (1, 32)  # it is loaded already
    with (
        Gallery.open(tmp_path / "gallery", device="cpu") as gallery,
        pytest.raises(UserError, match=r"needs its model: .*, which no longer exists\. Give it with --model"),
    ):
        gallery.embed([crops[0].path])


def test_a_gallery_remembers_the_precision_of_its_vectors(
    run: Path, benchmark: Benchmark, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes((run / WEIGHTS).read_bytes())
    low = Embedder(load_model(weights, device="cpu"), precision="bfloat16")
    path = benchmark.gallery[0].path
    with Gallery.open(tmp_path / "gallery", low, create=True) as gallery:
        gallery.add([NewCrop(path)])
    with Gallery.open(tmp_path / "gallery", device="cpu") as gallery:
        assert gallery.load_own_model().precision == "bfloat16"
        assert gallery.search([path]).matches[0].score == pytest.approx(1, abs=1e-3)
    with Gallery.open(tmp_path / "gallery", load_model(weights, device="cpu")) as gallery:  # of no precision
        assert gallery.search([path]).matches[0].score == pytest.approx(1, abs=1e-3)
    exact = load_model(weights, device="cpu", precision="float32")
    with pytest.raises(UserError, match=r"needs han in bfloat16 \(32 numbers a crop\).*; got han \(32"):
        Gallery.open(tmp_path / "gallery", exact)

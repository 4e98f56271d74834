"""Classifications go through the same trainer; the test asks the network's own classifiers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_recipe

from resight.data.classification import Classification, Pictures
from resight.data.examples import examples_of, resized
from resight.errors import UserError
from resight.imaging import resize
from resight.models.embedding import PixelEmbedder
from resight.models.network import build_model
from resight.training.classifying import classify
from resight.training.run import Run
from resight.training.trainer import train

CLASSES = ("red", "green", "blue", "grey")


def coloured(number: int, seed: int) -> Pictures:
    """Return pictures of 16 x 8 pixels: each class has a colour, on noise."""
    random = np.random.default_rng(seed)
    classes = np.arange(number) % len(CLASSES)
    colours = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [120, 120, 120]])[classes]
    pixels = colours[:, None, None] + random.normal(0, 25, (number, 16, 8, 3))
    return Pictures(Path("pictures"), np.clip(pixels, 0, 255).astype(np.uint8), classes)


@pytest.fixture
def data(tmp_path: Path) -> Classification:
    return Classification("colours", tmp_path, CLASSES, coloured(40, 0), coloured(12, 1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs")
    colours = Classification("colours", folder, CLASSES, coloured(40, 0), coloured(12, 1))
    return train(tiny_recipe(evaluate_every=2), colours, folder / "run", device="cpu")


def test_it_learns_and_is_tested_on_the_way(run: Run, data: Classification) -> None:
    assert run.complete
    epochs = [line["loss"] for line in run.metrics() if line["kind"] == "epoch"]
    assert epochs[-1] < epochs[0]
    tested = [line for line in run.metrics() if line["kind"] == "evaluation"]
    assert [line["epoch"] for line in tested] == [2, 4]
    assert {"top1", "top5", "top1_error", "top5_error"} <= tested[0].keys()
    assert run.info["data"]["classes"] == list(CLASSES)
    assert run.info["data"]["counts"] == {
        "train": {"pictures": 40, "classes": 4},
        "test": {"pictures": 12, "classes": 4},
    }
    scores = classify(run.load_network("cpu"), data, device="cpu", batch_size=5)
    assert scores.accuracy(1) == 1


def test_a_resumed_run_ends_in_the_same_weights(run: Run, data: Classification, tmp_path: Path) -> None:
    recipe = tiny_recipe(evaluate_every=2)
    begun = tmp_path / "run"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resight.training.trainer.classify", stop)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data, begun, device="cpu")
    with pytest.raises(UserError, match=r"data\.images: .* in the run"):
        train(recipe, replace(data, train=coloured(40, 2)), begun, device="cpu", resume=True)
    resumed = train(recipe, data, begun, device="cpu", resume=True)
    weights = resumed.load_network("cpu").state_dict()
    for name, tensor in run.load_network("cpu").state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_the_test_is_of_the_models_own_classes(data: Classification) -> None:
    with pytest.raises(UserError, match=r"has 7 classes or persons; .* has 4 classes"):
        classify(build_model("tiny", 7), data)


def test_a_class_without_pictures_is_refused(data: Classification, tmp_path: Path) -> None:
    few = replace(data, train=replace(data.train, classes=data.train.classes % 3))
    with pytest.raises(UserError, match="1 of 4 classes have no picture to train on"):
        train(tiny_recipe(), few, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_pictures_are_named_and_identified(data: Classification) -> None:
    examples = examples_of(data, (16, 8))
    assert examples.pixels is data.train.pixels
    assert examples.names[3] == "pictures, picture 3"
    assert (examples.number, examples.identity["crops"], examples.identity["persons"]) == (4, 40, 4)
    other = examples_of(replace(data, train=coloured(40, 2)), (16, 8))
    assert other.identity["images"] != examples.identity["images"]
    assert other.identity["labels"] == examples.identity["labels"]


def test_pictures_of_another_size_are_resized_one_by_one(data: Classification) -> None:
    found = resized(data.test.pixels, (8, 8))
    assert found.shape == (12, 8, 8, 3)
    assert np.array_equal(found[5], resize(data.test.pixels[5], (8, 8)))


@pytest.mark.parametrize("views", ["one", "mirror"])
def test_likelihoods_are_means_over_branches_and_views(views: str) -> None:
    settings = {"input_size": (64, 32), "widths": (16, 16, 16), "feature_size": 16, "views": views}
    torch.manual_seed(0)
    model = build_model("han", 5, **settings).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 32, 3), dtype=np.uint8)
    embedder = PixelEmbedder(model, device=torch.device("cpu"), precision="float32", batch_size=2)
    found = embedder.classify(pixels)
    assert found.dtype == torch.float64
    with torch.no_grad():
        images = model.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        seen = [images, images.flip(3)] if views == "mirror" else [images]
        said = [branch.logits for view in seen for branch in model(view).branches.values()]
    assert len(said) == 2 * len(seen)
    expected = torch.stack([logits.softmax(1) for logits in said if logits is not None]).mean(0)
    assert torch.allclose(found.float(), expected, atol=1e-5)
    assert torch.allclose(found.sum(1), torch.ones(3, dtype=torch.float64))


def test_a_model_without_classifier_cannot_name_classes(data: Classification) -> None:
    trunk = {"name": "mobilenet", "width": 0.125}
    model = build_model("pooled", 4, trunk=trunk, classifier=False, input_size=(32, 32))
    with pytest.raises(UserError, match="The model has no classifier"):
        classify(model, data, device="cpu")

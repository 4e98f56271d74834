"""What the trainer does with a recipe, and what it leaves in the run's folder."""

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from resight.data.augment import AUGMENTATIONS
from resight.data.benchmark import Benchmark
from resight.data.cache import PixelCache
from resight.data.loader import Loader
from resight.data.opening import open_benchmark
from resight.data.samplers import SAMPLERS
from resight.errors import UserError
from resight.losses.term import TERMS, Term
from resight.models.network import build_model
from resight.models.representation import Representation
from resight.seeds import derive_seed
from resight.training import trainer
from resight.training.averaging import Average
from resight.training.reading import parse_recipe
from resight.training.recipe import Recipe
from resight.training.run import Run
from resight.training.trainer import train


def plain_recipe(**changes: Any) -> Recipe:
    stage: dict[str, Any] = {
        "epochs": 2,
        "sampler": {"name": "random", "batch_size": 8},
        "augment": [{"name": "mirror"}],
        "objective": [{"term": "cross-entropy"}],
        "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "cosine"},
    }
    content: dict[str, Any] = {"name": "plain", "model": {"name": "tiny"}, "precision": "float32"}
    stage |= {key: changes.pop(key) for key in list(changes) if key in stage or key == "clip_gradient"}
    return parse_recipe(content | {"stages": [stage]} | changes, "recipe")


def run(data: Path | Benchmark, folder: Path, recipe: Recipe, **options: Any) -> Run:
    benchmark = data if isinstance(data, Benchmark) else open_benchmark(data)
    return train(recipe, benchmark, folder, device="cpu", **options)


def weights(done: Run) -> dict[str, Tensor]:
    return load_file(done.folder / "weights.safetensors")


def test_it_does_what_a_loop_written_by_hand_does(tiny_data: Path, tmp_path: Path) -> None:
    done = run(tiny_data, tmp_path / "run", plain_recipe(seed=5, clip_gradient=0.5))

    cache = PixelCache.open(open_benchmark(tiny_data).train, (16, 8))
    classes = np.unique([crop.person for crop in cache.crops], return_inverse=True)[1].astype(np.int64)
    torch.manual_seed(derive_seed(5, "model"))
    model = build_model("tiny", 7)
    sampler = SAMPLERS.build("random", classes, 5, batch_size=8)
    loader = Loader(cache.pixels, classes, sampler, [AUGMENTATIONS.build("mirror")], torch.device("cpu"), 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = 0
    for epoch in range(2):
        for batch in loader.epoch(epoch):
            torch.manual_seed(derive_seed(5, "step", step))
            optimizer.param_groups[0]["lr"] = 0.1 * (1 + np.cos(np.pi * step / (2 * len(sampler)))) / 2
            logits = model(model.normalise(batch.images)).branches["global"].logits
            optimizer.zero_grad()
            functional.cross_entropy(logits, batch.persons).backward()
            norm = (
                torch.stack([p.grad.square().sum() for p in model.parameters() if p.grad is not None])
                .sum()
                .sqrt()
            )
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.grad *= torch.clamp(0.5 / norm, max=1)
            optimizer.step()
            step += 1
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights(done)[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(tiny_data: Path, tmp_path: Path) -> None:
    first = weights(run(tiny_data, tmp_path / "a", plain_recipe()))
    same = weights(run(tiny_data, tmp_path / "b", plain_recipe(), log_steps=3))
    other = run(tiny_data, tmp_path / "c", plain_recipe(), seed=1)
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert not torch.equal(first["classifier.weight"], weights(other)["classifier.weight"])
    assert other.recipe.seed == other.info["seed"] == 1


def test_the_folder_tells_what_was_run(tiny_data: Path, tmp_path: Path) -> None:
    recipe = plain_recipe()
    done = Run.open(run(tiny_data, tmp_path / "run", recipe).folder)
    assert done.recipe == recipe
    assert done.complete
    info = done.info
    assert info["data"]["counts"] == {
        "train": {"crops": 42, "persons": 7, "cameras": 2},
        "query": {"crops": 6, "persons": 3, "cameras": 2},
        "gallery": {"crops": 12, "persons": 3, "cameras": 2},
    }
    assert info["data"]["path"] == str(tiny_data)
    assert (info["device"], info["precision"], info["epochs"], info["steps"]) == ("cpu", "float32", 2, 12)
    assert info["versions"]["torch"] == torch.__version__
    assert info["machine"]["threads"] == torch.get_num_threads()
    assert info["model"]["embedding"] == 8
    assert info["seconds"] > 0

    lines = done.metrics()
    assert [(line["kind"], line["step"], line["epoch"]) for line in lines] == [
        ("steps", 6, 1),
        ("epoch", 6, 1),
        ("steps", 10, 2),
        ("steps", 12, 2),
        ("epoch", 12, 2),
    ]
    for line in lines:
        assert line["stage"] == "main"
        assert line["loss"] == pytest.approx(line["terms"]["cross-entropy"])
        assert line["lr"] == pytest.approx(0.1 * (1 + np.cos(np.pi * (line["step"] - 1) / 12)) / 2)
        assert line["crops_per_second"] > 0
    assert lines[4]["loss"] == pytest.approx((4 * lines[2]["loss"] + 2 * lines[3]["loss"]) / 6)
    assert list((done.folder / "tensorboard").iterdir())


def test_it_learns(tiny_data: Path, tmp_path: Path) -> None:
    done = run(tiny_data, tmp_path / "run", plain_recipe(epochs=12))
    losses = [line["loss"] for line in done.metrics() if line["kind"] == "epoch"]
    assert losses[0] > 1.5
    assert losses[-1] < 0.75 * losses[0]


def test_weights_rebuild_the_model(tiny_data: Path, tmp_path: Path) -> None:
    done = run(tiny_data, tmp_path / "run", plain_recipe())
    model = done.load_network()
    assert not model.training
    assert all(torch.equal(value, weights(done)[name]) for name, value in model.state_dict().items())


def test_average_is_what_is_saved(tiny_data: Path, tmp_path: Path) -> None:
    plain, averaged = (run(tiny_data, tmp_path / str(ema), plain_recipe(ema=ema)) for ema in (None, 0.9))
    checkpoint = torch.load(averaged.folder / "checkpoint.pt", weights_only=True)
    assert all(torch.equal(value, weights(plain)[name]) for name, value in checkpoint["model"].items())
    assert all(torch.equal(value, weights(averaged)[name]) for name, value in checkpoint["average"].items())
    assert not torch.equal(weights(plain)["classifier.weight"], weights(averaged)["classifier.weight"])


def test_average_against_its_formula() -> None:
    model = tiny.Tiny(3)
    average = Average(model, decay=0.3)
    expected = model.classifier.weight.detach().clone()
    for step in range(6):
        nn.init.normal_(model.classifier.weight)
        average.update(step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.classifier.weight.detach()
    torch.testing.assert_close(average.model.classifier.weight, expected)
    assert not average.model.training
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


def test_the_average_has_the_models_temperature() -> None:
    """Sharp attention's, and no mean over epochs; statistics of normalisations are averaged."""
    trunk = {"name": "mobilenet", "width": 0.125}
    model = build_model("pooled", 3, trunk=trunk, attention={"layer1": "sharp"}, input_size=(32, 32))
    average = Average(model, decay=0.9)
    mean = next(name for name in model.state_dict() if name.endswith("running_mean"))
    for step, epoch in enumerate((10, 40)):
        model.begin_epoch(epoch)
        model.get_buffer(mean).fill_(float(epoch))
        average.update(step)
    found = average.model.state_dict()
    assert found["attentions.layer1.0.temperature"] == model.state_dict()["attentions.layer1.0.temperature"]
    decays = 1 / 10, 2 / 11
    assert found[mean][0].item() == pytest.approx((10 * (1 - decays[0])) * decays[1] + 40 * (1 - decays[1]))


class Explosive(Term):
    """Not finite as soon as it sees the second class."""

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        embedding = representation.branches["global"].embedding
        return embedding.sum() / (persons != 1).all()


class Centre(Term):
    """Has a parameter of its own."""

    def prepare(self, example: Representation, persons: int) -> None:
        self.centre = nn.Parameter(torch.zeros(example.branches["global"].embedding.shape[1]))

    def forward(self, representation: Representation, persons: Tensor) -> Tensor:
        return (representation.branches["global"].embedding - self.centre).square().mean()


@pytest.fixture
def _terms() -> Any:
    TERMS.names()
    TERMS.register("explosive")(Explosive)
    TERMS.register("one-centre")(Centre)
    yield
    del TERMS._components["explosive"], TERMS._components["one-centre"]


@pytest.mark.usefixtures("_terms")
def test_a_loss_that_is_not_finite_names_the_crops_of_its_batch(tiny_data: Path, tmp_path: Path) -> None:
    recipe = plain_recipe(
        objective=[{"term": "cross-entropy"}, {"term": "explosive", "weight": 0.5}],
        sampler={"name": "pk", "persons": 2, "crops": 5},
    )
    with pytest.raises(UserError, match="The loss is not finite at step") as caught:
        run(tiny_data, tmp_path / "run", recipe)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["kind"] == "stopped"
    assert set(lines[-1]["losses"]) == {"loss", "cross-entropy", "explosive"}
    message = str(caught.value)
    assert f"at step {lines[-1]['bad_step']}: loss inf, cross-entropy" in message
    assert "explosive inf" in message
    crops = lines[-1]["crops"]
    assert len(crops) == 10
    assert any(Path(crop).name.startswith("0002_") for crop in crops)
    assert all(crop in message for crop in crops[:8])
    assert "and 2 more, all named in" in message
    with pytest.raises(UserError, match="is not complete"):
        Run.open(tmp_path / "run").load_network()


@pytest.mark.usefixtures("_terms")
def test_parameters_of_a_term_are_trained_and_resumed(tiny_data: Path, tmp_path: Path) -> None:
    done = run(
        tiny_data,
        tmp_path / "run",
        plain_recipe(objective=[{"term": "cross-entropy"}, {"term": "one-centre"}]),
    )
    state = torch.load(done.folder / "checkpoint.pt", weights_only=True)
    assert state["objective"]["terms.1.centre"].abs().sum() > 0


def test_terms_are_built_once_and_what_they_learn_stays_in_its_run(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built when the recipe is read, for all that is checked before the data are open, and for training."""
    built, build = [], TERMS.get("centre").__init__  # type: ignore[misc]

    @functools.wraps(build)
    def counting(self: Term, **settings: Any) -> None:
        built.append(settings)
        build(self, **settings)

    monkeypatch.setattr(TERMS.get("centre"), "__init__", counting)
    recipe = plain_recipe(objective=[{"term": "cross-entropy"}, {"term": "centre", "alpha": 0.25}])
    first = run(tiny_data, tmp_path / "first", recipe)
    again = run(tiny_data, tmp_path / "again", recipe.with_epochs(2), seed=recipe.seed)
    assert [settings["alpha"] for settings in built] == [0.25]
    states = [torch.load(done.folder / "checkpoint.pt", weights_only=True) for done in (first, again)]
    centres = [state["objective"]["terms.1.centres_global"] for state in states]
    assert centres[0].shape == (7, 8)
    assert torch.equal(*centres)
    assert centres[0].abs().sum() > 0


def test_what_does_not_fit_is_found_before_anything_is_written(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Term 'cross-entropy' does not fit the model: .* no branch 'local'"):
        plain_recipe(objective=[{"term": "cross-entropy", "branches": ["local"]}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "examples_of", None)  # no picture is read for this
        with pytest.raises(UserError, match="8 persons is larger than the training set allows"):
            run(tiny_data, tmp_path / "run", plain_recipe(sampler={"name": "pk", "persons": 8}))
        terms = [{"term": "cross-entropy"}, {"term": "triplet", "name": "ranking"}]
        pairs = {"name": "random", "batch_size": 2}
        # of 42 crops, six a person: a second one is of the first one's person 5 times in 41
        with pytest.raises(
            UserError, match=r"stages\.0\.sampler: 'ranking' can only .* (86|87|88|89|90)% have"
        ):
            run(tiny_data, tmp_path / "run", plain_recipe(sampler=pairs, objective=terms))
    with pytest.raises(UserError, match="seed: Input should be greater than or equal to 0; got -1"):
        run(tiny_data, tmp_path / "run", plain_recipe(), seed=-1)
    alone = open_benchmark(tiny_data).train[:6]
    with pytest.raises(UserError, match=r"needs at least two persons; .* has 1\."):
        run(Benchmark("alone", tiny_data, alone), tmp_path / "run", plain_recipe())
    with pytest.raises(UserError, match=r"two persons; .* has 0\."):
        run(Benchmark("empty", tiny_data), tmp_path / "run", plain_recipe())
    with pytest.raises(UserError, match="There is no device 'warp'"):
        train(plain_recipe(), open_benchmark(tiny_data), tmp_path / "run", device="warp")
    assert not (tmp_path / "run").exists()


def test_unreadable_crops_are_left_out_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tiny.make_crops(tmp_path / "data", test_persons=2)
    broken = data / "bounding_box_train" / "0003_c1s1_000001_00.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match="0003_c1s1_000001_00"):
        run(data, tmp_path / "run", plain_recipe())
    done = run(data, tmp_path / "run", plain_recipe(), skip_unreadable=True)
    assert done.info["data"]["left_out"] == 1
    assert f"Left out: {broken}" in capsys.readouterr().err


def test_bfloat16_is_used_where_the_recipe_says_so(tiny_data: Path, tmp_path: Path) -> None:
    done = run(tiny_data, tmp_path / "bfloat16", plain_recipe(precision="bfloat16"))
    exact = run(tiny_data, tmp_path / "float32", plain_recipe())
    assert done.info["precision"] == "bfloat16"
    assert not torch.equal(weights(done)["classifier.weight"], weights(exact)["classifier.weight"])
    assert all(value.dtype != torch.bfloat16 for value in weights(done).values())


def test_it_trains_without_tensorboard(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        find = importlib.util.find_spec
        patch.setattr("importlib.util.find_spec", lambda name: None if name == "tensorboard" else find(name))
        done = run(tiny_data, tmp_path / "run", plain_recipe())
    assert done.complete
    assert not (done.folder / "tensorboard").exists()

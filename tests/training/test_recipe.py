"""Recipes: what comes with Resight, overrides, bases, and every mistake at once."""

from pathlib import Path

import pytest
import yaml

from resight.errors import UserError
from resight.training.reading import load_recipe, parse_recipe, recipe_files

SMALL = """
model: {name: han, size: small}
stages:
  - epochs: 2
    sampler: {name: random, batch_size: 4}
    objective: [{term: cross-entropy}]
    optimizer: {name: sgd, lr: 1e-2}
"""


def write(folder: Path, text: str, name: str = "own.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def mistakes(path: str | Path, *overrides: str) -> dict[str, str]:
    """Load what must be refused; return sentence by path."""
    with pytest.raises(UserError) as caught:
        load_recipe(path, overrides)
    lines = str(caught.value).splitlines()[1:]
    return dict(line.strip().split(": ", 1) for line in lines)


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_han_is_trained_as_its_section_4_says(size: str) -> None:
    recipe = load_recipe(f"han-{size}")
    (stage,) = recipe.stages
    assert recipe.model.name == "han"
    assert recipe.model.settings["size"] == size
    assert recipe.model.settings["input_size"] == [160, 64]
    assert stage.epochs == 300
    assert (stage.sampler.name, stage.sampler.settings["batch_size"]) == ("random", 32)
    assert stage.augment == ()
    assert [(term.term, term.weight, term.settings["label_smoothing"]) for term in stage.objective] == [
        ("cross-entropy", 1, 0)
    ]
    assert stage.optimizer.name == "sgd"
    assert stage.optimizer.settings["lr"] == 0.03
    assert stage.optimizer.settings["momentum"] == 0.9
    assert stage.optimizer.settings["weight_decay"] == 5e-4
    assert not stage.optimizer.settings["nesterov"]
    assert stage.optimizer.settings["decay_biases_and_norms"]
    assert [(schedule.name, schedule.settings) for schedule in stage.schedule] == [
        ("multi-step", {"epochs": [100, 200, 250], "factor": 0.1})
    ]
    assert stage.clip_gradient is None
    assert recipe.ema is None


@pytest.mark.parametrize("name", recipe_files())
def test_every_recipe_survives_being_written_and_read(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.source
    assert load_recipe(write(tmp_path, recipe.to_yaml())) == recipe
    assert parse_recipe(recipe.as_dict(), "copy") == recipe


def test_every_mistake_is_named_with_its_path() -> None:
    found = mistakes(
        "han-small",
        "modle=3",
        "model.size=tiny",
        "precision=fp16",
        "seed=-1",
        "stages.0.epochs=-3",
        "stages.0.clip_gradent=1",
        "stages.0.sampler.batch_size=lots",
        "stages.0.augment=[{name: miror}, {name: mirror, p: 3}]",
        "stages.0.objective.0.weight=-1",
        "stages.0.objective.0.label_smoting=0.1",
        "stages.0.objective.0.label_smoothing=2",
        "stages.0.optimizer={name: sgd, momentum: x}",
        "stages.0.schedule.facter=0.1",
    )
    assert found["modle"] == "unknown key. Did you mean 'model'?"
    assert found["model.size"] == "Input should be 'small', 'medium' or 'large'; got 'tiny'."
    assert found["precision"].endswith("got 'fp16'.")
    assert found["seed"] == "Input should be greater than or equal to 0; got -1."
    assert found["stages.0.epochs"] == "Input should be greater than or equal to 1; got -3."
    assert found["stages.0.clip_gradent"] == "unknown key. Did you mean 'clip_gradient'?"
    assert "valid integer" in found["stages.0.sampler.batch_size"]
    assert found["stages.0.augment.0"] == "Unknown augmentation 'miror'. Did you mean 'mirror'?"
    assert found["stages.0.augment.1.p"] == "Input should be less than or equal to 1; got 3."
    assert found["stages.0.objective.0.weight"] == "Input should be greater than or equal to 0; got -1."
    assert found["stages.0.objective.0.label_smoting"] == "unknown key. Did you mean 'label_smoothing'?"
    assert found["stages.0.objective.0.label_smoothing"] == "Input should be less than 1; got 2."
    assert "valid number" in found["stages.0.optimizer.momentum"]
    assert found["stages.0.optimizer.lr"] == "is missing."
    assert found["stages.0.schedule.facter"] == "unknown key. Did you mean 'factor'?"
    assert len(found) == 15


def test_settings_that_exclude_each_other() -> None:
    found = mistakes(
        "han-small",
        "stages.0.optimizer={name: sgd, lr: 0.1, momentum: 0, nesterov: true}",
        "stages.0.schedule=[{name: warm-up, epochs: 1}, {name: exponential, after: 3, until: 1}]",
    )
    assert "Nesterov momentum requires a momentum" in found["stages.0.optimizer"]
    assert "'until' must be later than 'after'" in found["stages.0.schedule.1"]


def test_names_within_a_recipe_differ(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    twice = "stages.0.objective=[{term: cross-entropy}, {term: cross-entropy}]"
    assert "two terms are named 'cross-entropy'" in mistakes(path, twice)["stages.0.objective"]
    assert "at least one term" in mistakes(path, "stages.0.objective=[]")["stages.0.objective"]
    assert "at least one stage" in mistakes(path, "stages=[]")["stages"]
    apart = (
        "stages.0.objective=[{term: cross-entropy}, {term: cross-entropy, name: again, branches: [local]}]"
    )
    assert [term.name for term in load_recipe(path, [apart]).stages[0].objective] == [
        "cross-entropy",
        "again",
    ]


def test_overrides_take_yaml_values(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    overrides = [
        "stages.0.optimizer.nesterov=true",
        "stages.0.schedule.name=cosine",
        "stages.0.optimizer.lr=5e-4",
    ]
    recipe = load_recipe(path, [*overrides, "description=a = b", "ema=0.999"])
    assert recipe.stages[0].optimizer.settings["nesterov"] is True
    assert recipe.stages[0].optimizer.settings["lr"] == 5e-4
    assert [schedule.name for schedule in recipe.stages[0].schedule] == ["cosine"]
    assert recipe.description == "a = b"
    assert recipe.ema == 0.999


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("nonsense", "Write key.path=value"),
        ("stages..epochs=1", "Write key.path=value"),
        ("stages.1.epochs=1", "stages is a list: its entries are 0 to 0; got 1"),
        ("stages.first.epochs=1", "its entries are 0 to 0; got first"),
        ("model.size.wide=1", "model.size is the value 'small', which has no keys"),
        ("stages.0.epochs=[1", "is no YAML"),
    ],
)
def test_overrides_that_lead_nowhere(override: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence.replace(".", r"\.")):
        load_recipe(write(tmp_path, SMALL), [override])


def test_a_recipe_builds_on_another(tmp_path: Path) -> None:
    write(tmp_path, SMALL + "seed: 7\n", "ground.yaml")
    middle = write(tmp_path, "base: ground.yaml\nmodel: {size: large}\ndescription: wide\n", "middle.yaml")
    top = write(tmp_path, "base: middle.yaml\nseed: 8\n", "top.yaml")
    recipe = load_recipe(top)
    assert (recipe.name, recipe.description, recipe.seed) == ("top", "wide", 8)
    assert recipe.model.settings["size"] == "large"
    assert recipe.stages == load_recipe(middle).stages
    assert load_recipe("han-medium").stages == load_recipe("han-small").stages


def test_unknown_recipe_and_unknown_base(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown recipe 'han-smal'\. Did you mean 'han-small'\?"):
        load_recipe("han-smal")
    with pytest.raises(UserError, match="Unknown recipe 'han-smal'"):
        load_recipe(write(tmp_path, "base: han-smal\n"))
    with pytest.raises(UserError, match="builds on itself"):
        load_recipe(write(tmp_path, "base: round.yaml\n", "round.yaml"))
    with pytest.raises(UserError, match="no recipe file"):
        load_recipe(tmp_path / "none.yaml")


def test_a_merged_mapping_may_be_overridden(tmp_path: Path) -> None:
    repeated = SMALL + "model: {name: han}\n"
    with pytest.raises(UserError, match="duplicate key"):
        load_recipe(write(tmp_path, repeated))
    merged = SMALL.replace("model: {name: han,", "model: {<<: &base {name: han, size: large},")
    assert load_recipe(write(tmp_path, merged)).model.settings["size"] == "small"


def test_an_override_changes_one_of_the_places_that_share_an_anchor(tmp_path: Path) -> None:
    twice = (
        SMALL.replace("  - epochs: 2", "  - &first\n    epochs: 2")
        + "  - {<<: *first, name: second, epochs: 3}\n"
    )
    recipe = load_recipe(write(tmp_path, twice), ["stages.1.optimizer.lr=0.5"])
    assert [stage.optimizer.settings["lr"] for stage in recipe.stages] == [0.01, 0.5]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "cannot be read"),
        ("- 1\n", "should be a mapping"),
        ("seed: 1\nseed: 2\n", "duplicate key"),
        ("name: 2020-13-45\n", "month must be in"),
    ],
)
def test_files_that_are_no_recipes(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        load_recipe(write(tmp_path, text))


def test_printed_recipe_is_plain_yaml() -> None:
    printed = yaml.safe_load(load_recipe("han-small").to_yaml())
    assert printed["stages"][0]["schedule"] == {
        "name": "multi-step",
        "epochs": [100, 200, 250],
        "factor": 0.1,
    }
    assert printed["precision"] == "float32"

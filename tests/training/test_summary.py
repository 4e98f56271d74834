"""Several runs put together: hand-computed spreads, and what may not be mixed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import make_crops, tiny_recipe

from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.training.run import Run
from resight.training.summary import summarise
from resight.training.trainer import train

Make = Callable[..., Path]

SCORES = {
    "mAP": 0.5,
    "rank1": 0.6,
    "queries": 6,
    "ap": "mean",
    "metric": "cosine",
    "protocol": "market-1501",
    "reranking": None,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("summary")
    benchmark = open_benchmark(make_crops(folder / "crops", test_persons=3))
    return train(tiny_recipe(), benchmark, folder / "run", device="cpu")


@pytest.fixture
def make(trained: Run, tmp_path: Path) -> Make:
    """Return a function that copies the run under another name, with other figures and settings."""

    def copy(name: str, mean: float = 0.5, seed: int = 0, recipe: Any = None, **opened: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        content = yaml.safe_load((trained.folder / "recipe.yaml").read_text()) | {"seed": seed}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(content | (recipe or {})))
        info = json.loads((trained.folder / "run.json").read_text())
        info["data"]["opened"] |= opened
        info["data"]["identity"]["images"] = json.dumps(opened)
        (folder / "run.json").write_text(json.dumps(info))
        (folder / "scores.json").write_text(json.dumps(SCORES | {"mAP": mean}))
        return folder

    return copy


def test_spread_over_seeds_by_hand(make: Make) -> None:
    folders = [make(f"s{seed}", mean, seed) for seed, mean in enumerate((0.4, 0.5, 0.9))]
    found = summarise(folders)
    figure = found.spreads["mAP"]
    assert figure.mean == pytest.approx(0.6)
    assert figure.std == pytest.approx(((0.2**2 + 0.1**2 + 0.3**2) / 2) ** 0.5)
    reach = 4.302652730 * 0.264575131 / 3**0.5  # Student's t with 2 degrees of freedom, both sides of 95 %
    assert figure.low == pytest.approx(0.6 - reach)
    assert figure.high == pytest.approx(0.6 + reach)
    assert found.spreads["rank1"].std == pytest.approx(0)
    assert list(found.spreads) == ["mAP", "rank1"]
    assert found.differ == ["seed"]
    content = found.as_dict()
    assert (content["recipe"], content["protocol"], content["number"]) == ("tiny", "market-1501", 3)
    assert [one["seed"] for one in content["runs"]] == [0, 1, 2]
    assert content["runs"][2]["mAP"] == 0.9


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ({"split": 3}, {"split": 4}, ["3", "4"]),
        ({"readers": ["viper,split=1"]}, {"readers": ["viper,split=2"]}, ["1", "2"]),
        ({"readers": ["viper,split=1,swap=true"]}, {"readers": ["viper,swap=true"]}, ["1", None]),
        ({"listing": "/a/one.json"}, {"listing": "/b/two.json"}, ["one.json", "two.json"]),
    ],
)
def test_splits_however_they_were_asked_for(
    first: dict[str, Any], second: dict[str, Any], shown: list[str | None], make: Make
) -> None:
    found = summarise([make("a", **first), make("b", **second)])
    assert found.differ == ["split"]
    assert [one.split for one in found.runs] == shown


def test_seeds_and_splits_may_differ_together(make: Make) -> None:
    found = summarise([make("a", split=0), make("b", seed=1, split=1)])
    assert found.differ == ["seed", "split"]


def test_a_set_may_lie_elsewhere(make: Make) -> None:
    found = summarise([make("a", paths=["/here/VIPeR"]), make("b", seed=1, paths=["/there/VIPeR"])])
    assert found.differ == ["seed"]
    with pytest.raises(UserError, match=r"data\.paths\.0: 'VIPeR' and 'CUHK01'"):
        summarise([make("c", paths=["/here/VIPeR"]), make("d", paths=["/here/CUHK01"])])


def test_what_differs_besides_is_refused_by_name(make: Make) -> None:
    with pytest.raises(
        UserError, match=r"a and .*b differ in more than seed and split:\n  ema: 0.9 and 0.5\n"
    ):
        summarise([make("a"), make("b", seed=1, recipe={"ema": 0.5})])
    with pytest.raises(UserError, match=r"data\.readers\.0: 'viper,swap=true' and 'viper'"):
        summarise([make("c", readers=["viper,swap=true"]), make("d", readers=["viper,split=1"])])
    other = make("e", seed=1)
    (other / "scores.json").write_text(json.dumps(SCORES | {"ap": "trapezoid", "rank50": 1.0}))
    with pytest.raises(UserError, match=r"scores\.ap: 'mean' and 'trapezoid'\n  scores\.figures"):
        summarise([make("f"), other])


def test_a_repetition_is_refused(make: Make) -> None:
    folder = make("a")
    for twin in (folder, make("b")):
        with pytest.raises(UserError, match="have the same recipe, seed and training data"):
            summarise([folder, make(f"{twin.name}2", seed=1), twin])


def test_names_and_descriptions_do_not_matter(make: Make) -> None:
    other = make("b", seed=1, recipe={"name": "mine", "description": "of mine", "evaluate_every": 2})
    assert summarise([make("a"), other]).differ == ["seed"]


def test_runs_that_cannot_be_summarised(make: Make, tmp_path: Path) -> None:
    whole, other = make("a"), make("b", seed=1)
    with pytest.raises(UserError, match=r"at least two runs, .*; got 1"):
        summarise([whole])
    with pytest.raises(UserError, match="nowhere does not exist"):
        summarise([whole, tmp_path / "nowhere"])
    (other / "scores.json").unlink()
    with pytest.raises(UserError, match=r"b has no scores\.json: it was ended before the test"):
        summarise([whole, other])
    info = json.loads((other / "run.json").read_text()) | {"finished": None}
    (other / "run.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match=r"b is not complete\. Go on with: \S*resight train .*b --resume"):
        summarise([whole, other])

"""The papers' tables as settings of the recipes that are published, and where each of their lines is from."""

import re

import pytest
import yaml

from resight.models.network import Network
from resight.training.fitting import bare_model
from resight.training.reading import load_recipe, recipe_files
from resight.training.recipe import Recipe

PUBLISHED = [
    *("sal", "sal-cifar", "sona-plain", "sona-2", "sona-3", "sona-23", "sharp", "sn"),
    *("softmax", "triplet", "softmax-triplet", "quadruplet", "sal-softmax", "sal-quadruplet"),
    *("han-small", "han-medium", "han-large"),
]
TITLE = re.compile(r"(base|name|description|source): ")
BLOCK = re.compile(r"\s*[a-z0-9_]+:$")  # what it is made of follows

PLAIN = "stages.1.objective.1={term: quadruplet}"
NO_SAC = ("stages.0.objective.1.weight=0", "stages.1.objective.1.weight=0")
TABLE_1: dict[str, tuple[str, tuple[str, ...], set[str]]] = {
    "1": ("softmax", (), {"cross-entropy"}),
    "2": ("quadruplet", (), {"quadruplet"}),
    "3": ("softmax-triplet", (PLAIN,), {"cross-entropy", "quadruplet"}),
    "3(T)": ("softmax-triplet", (), {"cross-entropy", "triplet"}),
    "4": ("sal-softmax", NO_SAC[:1], {"cross-entropy"}),
    "5": ("sal", NO_SAC, {"cross-entropy", "quadruplet"}),
    "6": ("sal-softmax", (), {"cross-entropy", "self-attention"}),
    "7": ("sal-quadruplet", (), {"quadruplet", "self-attention"}),
    "8": ("sal", (), {"cross-entropy", "quadruplet", "self-attention"}),
}
"""Rows of SAL's Table 1: recipe, overrides, terms that count."""

OWN = ("drawn-people", "fine-tune", "from-scratch")
"""Recipes that no paper has."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_line_says_where_it_is_from(name: str) -> None:
    lines = recipe_files()[name].read_text(encoding="utf-8").splitlines()
    values = [line for line in lines if line.strip() and not TITLE.match(line) and not BLOCK.match(line)]
    assert values
    assert [line for line in values if "#" not in line] == []


@pytest.mark.parametrize("name", recipe_files())
def test_recipes_as_published_train_in_float32(name: str) -> None:
    """No paper says bfloat16; the -fast siblings and our own take it where the processor computes in it."""
    ours = name.endswith("-fast") or name in OWN
    assert load_recipe(name, fitting=False).precision == ("auto" if ours else "float32")


@pytest.mark.parametrize("name", recipe_files())
def test_descriptors_are_as_they_were_trained(name: str) -> None:
    """Of unit length where the paper says so (HAN, SN) or trained as HAN; else raw, as the losses take it."""
    alike = name.partition("-")[0] in ("han", "sn", "mobilenet") or name in OWN
    wanted = "unit" if alike else "raw"
    assert load_recipe(name, fitting=False).model.settings["descriptor"] == wanted


def counting(recipe: Recipe) -> set[str]:
    return {item.term for stage in recipe.stages for item in stage.objective if item.weight}


@pytest.mark.parametrize("row", TABLE_1)
def test_rows_of_sals_table_1(row: str) -> None:
    name, overrides, terms = TABLE_1[row]
    recipe = load_recipe(name, overrides)
    assert counting(recipe) == terms
    settings = recipe.model.settings
    dilated = int(row[0]) >= 4
    assert (settings.get("dilated", False), settings.get("multi", False)) == (dilated, dilated)
    assert settings["classifier"] == ("cross-entropy" in terms)
    ranks = bool(terms & {"quadruplet", "triplet"})
    names = [name for name, there in (("classify", settings["classifier"]), ("rank", ranks)) if there]
    assert [stage.name for stage in recipe.stages] == names


@pytest.mark.parametrize(
    "name", ["sal", "sal-quadruplet", "quadruplet", "softmax-triplet", "sharp", "triplet"]
)
def test_an_epoch_of_sal_and_of_sharp_is_all_images(name: str) -> None:
    sampler = load_recipe(name, fitting=False).stages[-1].sampler
    assert (sampler.name, sampler.settings["epoch"]) == ("pk", "crops")


def sharp(block: str, *more: str) -> Recipe:
    """Return the recipe with the same settings in all four blocks, and without total variation."""
    blocks = [f"model.attention.layer{number}={{name: sharp, {block}}}" for number in range(1, 5)]
    return load_recipe("sharp", [*blocks, "stages.0.objective.1.weight=0", *more])


def context_weights(model: Network) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if ".context." in name and p.dim() == 4)


TABLE_I = {
    "SAMG": "interaction: none, context: false",
    "SAMG+CIL": "interaction: add, context: false",
    "Thresholding": "interaction: none, context: false, mask: threshold, threshold: 0.3",
    "Power (x^2)": "interaction: none, context: false, mask: power, power: 2",
    "Power (x^3)": "interaction: none, context: false, mask: power, power: 3",
}


@pytest.mark.parametrize("row", TABLE_I)
def test_rows_of_sharps_tables_without_context_units(row: str) -> None:
    recipe = sharp(TABLE_I[row])
    assert counting(recipe) == {"triplet"}
    blocks = [block for (block,) in recipe.model.settings["attention"].values()]
    assert len(blocks) == 4
    wanted = {"mask": "sharp"} | yaml.safe_load(f"{{{TABLE_I[row]}}}")
    for block in blocks:
        assert {key: block[key] for key in wanted} == wanted
    assert context_weights(bare_model(recipe.model)) == 0


def test_rows_of_sharps_tables_with_context_units() -> None:
    """SAMG + CIL + CU is the recipe without total variation; its units are Table II's 10.67 M."""
    without = load_recipe("sharp", ["stages.0.objective.1.weight=0"])
    assert counting(without) == {"triplet"}
    assert counting(load_recipe("sharp")) == {"triplet", "total-variation"}
    assert context_weights(bare_model(without.model)) == 10_665_984
    layers = [f"model.attention.layer{number}.interaction=none" for number in range(1, 5)]
    no_interaction = load_recipe("sharp", [*layers, "stages.0.objective.1.weight=0"])
    blocks = [block for (block,) in no_interaction.model.settings["attention"].values()]
    assert [block["interaction"] for block in blocks] == ["none"] * 4
    assert [block["context"] for block in blocks] == [True, True, True, False]


@pytest.mark.parametrize("chosen", ["1", "2", "3", "4", "12", "123", "1234"])
def test_bars_of_sharps_fig_5(chosen: str) -> None:
    left_out = [f"model.attention.layer{number}=[]" for number in "1234" if number not in chosen]
    blocks = [f"model.attention.layer{number}.context=false" for number in chosen]
    recipe = load_recipe("sharp", [*left_out, *blocks, "stages.0.objective.1.weight=0"])
    attention = recipe.model.settings["attention"]
    assert [name for name, modules in attention.items() if modules] == [f"layer{n}" for n in chosen]
    assert context_weights(bare_model(recipe.model)) == 0


@pytest.mark.parametrize("name", ["sona-sac-quadruplet-sn", "sona-sac-quadruplet-sn-fast"])
def test_sona_with_the_terms_of_two_other_papers(name: str) -> None:
    recipe, depth = load_recipe(name), 18 if name.endswith("-fast") else 50
    assert recipe.model.settings["trunk"]["depth"] == depth
    assert recipe.model.settings == load_recipe("sona-2-fast" if depth == 18 else "sona-2").model.settings
    assert counting(recipe) == {"cross-entropy", "quadruplet", "support-neighbour", "self-attention"}


@pytest.mark.parametrize("name", ["han-sn-sac", "han-sn-sac-fast"])
def test_han_with_the_terms_of_two_other_papers_over_its_three_levels(name: str) -> None:
    recipe, alone = load_recipe(name), load_recipe("han-small-fast")
    assert recipe.model.settings == alone.model.settings
    first, last = recipe.stages
    assert [item.term for item in first.objective] == ["cross-entropy"]
    assert counting(recipe) == {"cross-entropy", "triplet", "support-neighbour", "self-attention"}
    assert last.objective[-1].settings["maps"] == ["level1", "level2", "level3"]

"""The recipes that come with Resight have the papers' numbers."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from resight.training.components import Component
from resight.training.optimizers import OPTIMIZERS
from resight.training.reading import load_recipe
from resight.training.recipe import Recipe, Stage
from resight.training.schedules import SCHEDULES, Point, factor_at
from resight.training.stages import Phase

RESNET_50 = {
    "name": "resnet",
    "depth": 50,
    "width": 1.0,
    "strides": [1, 2, 2, 2],
    "dilations": [1] * 4,
    "stem": "imagenet",
    "norm": "batch",
    "non_local": False,
}
CROSS_ENTROPY = {"label_smoothing": 0, "branches": None}
MIRROR = ("mirror", {"p": 0.5})
SGD = {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": False, "decay_biases_and_norms": True}
ADAM = {
    "betas": [0.9, 0.999],
    "late_betas": None,
    "late_from": 0.0,
    "weight_decay": 5e-4,
    "decay_biases_and_norms": True,
}


def named(component: Component) -> tuple[str, dict[str, Any]]:
    return component.name, component.settings


def terms(stage: Stage) -> list[tuple[str, float]]:
    return [(item.term, item.weight) for item in stage.objective]


def settings_of(stage: Stage, term: str) -> dict[str, Any]:
    return next(item.settings for item in stage.objective if item.term == term)


def rates(stage: Stage, *epochs: float) -> list[float]:
    """Return the learning rates at those epochs, at 10 steps an epoch."""
    schedules = tuple(SCHEDULES.build(item.name, **item.settings) for item in stage.schedule)
    points = [Point(round(10 * epoch), 10, stage.epochs) for epoch in epochs]
    return [stage.optimizer.settings["lr"] * factor_at(schedules, point) for point in points]


def betas(stage: Stage, *epochs: float) -> list[tuple[float, float]]:
    """Return Adam's betas at those epochs, as the trainer sets them, at 10 steps an epoch."""
    phase = Phase(stage, range(10), nn.Identity(), (), 0, 0)  # type: ignore[arg-type]
    chosen = stage.optimizer
    optimizer = OPTIMIZERS.build(chosen.name, [nn.Parameter(torch.zeros(1))], **chosen.settings)
    found = []
    for epoch in epochs:
        phase.adjust(optimizer, round(10 * epoch))
        found.append(optimizer.param_groups[0]["betas"])
    return found


def test_sal_is_trained_as_its_section_4_1_says() -> None:
    recipe = load_recipe("sal")
    assert recipe.model.name == "sal"
    assert recipe.model.settings == {
        "trunk": RESNET_50,  # to which "dilated" brings its strides and dilations
        "dilated": True,
        "stage6": True,
        "last_dilations": [2, 1, 1],
        "multi": True,
        "head": "fc",
        "feature_size": 1024,
        "classifier": True,
        "attention": None,
        "input_size": [256, 128],
        "views": "one",
        "descriptor": "raw",
    }
    check_two_stages(recipe, ["cross-entropy", "self-attention"], "quadruplet")
    for stage in recipe.stages:
        assert settings_of(stage, "self-attention") == {"maps": ["layer3", "layer4", "layer5"]}
    assert settings_of(recipe.stages[1], "quadruplet") == {
        "margin": 0.5,
        "second_margin": 0.2,
        "normalise": False,
        "branches": None,
    }


PLAIN = ("model.dilated=false", "model.stage6=false", "stages.0.objective=[{term: cross-entropy}]")
TABLE_4 = {
    "ResNet50(Soft)": PLAIN,
    "ResNet50(Soft+DIL+SAC)": (),
    "ResNet101(Soft)": (*PLAIN, "model.trunk.depth=101"),
}
"""Rows of SAL's Table 4 as overrides of its recipe, which docs/methods/sal.md gives."""


@pytest.mark.parametrize("row", TABLE_4)
def test_sal_on_cifar_100_has_the_rows_of_its_table_4(row: str) -> None:
    recipe = load_recipe("sal-cifar", TABLE_4[row])
    settings = recipe.model.settings
    dilated = row == "ResNet50(Soft+DIL+SAC)"
    assert recipe.model.name == "sal"
    assert (settings["trunk"]["depth"], settings["trunk"]["stem"]) == (101 if "101" in row else 50, "cifar")
    assert (settings["dilated"], settings["stage6"], settings["multi"]) == (dilated, dilated, False)
    assert (settings["head"], settings["feature_size"]) == ("fc", 1024)
    assert settings["input_size"] == [32, 32]
    assert recipe.pretrained is None
    (stage,) = recipe.stages
    assert terms(stage) == [("cross-entropy", 1), *([("self-attention", 1)] if dilated else [])]
    assert settings_of(stage, "cross-entropy") == CROSS_ENTROPY
    if dilated:
        assert settings_of(stage, "self-attention") == {"maps": ["layer3", "layer4", "layer5"]}
    assert named(stage.sampler) == ("random", {"batch_size": 128, "drop_last": False})
    assert named(stage.optimizer) == ("sgd", {"lr": 0.1, **SGD})
    at = {0: 0.1, 99.9: 0.1, 100: 0.01, 149.9: 0.01, 150: 1e-3, 199.9: 1e-3}
    assert rates(stage, *at) == pytest.approx(list(at.values()))
    assert stage.epochs == 200
    assert [named(item) for item in stage.augment] == [MIRROR, ("pad-and-crop", {"padding": 4})]


@pytest.mark.parametrize("name", ["softmax", "softmax-triplet"])
def test_the_baselines_of_sal_are_rows_of_its_table_1(name: str) -> None:
    recipe = load_recipe(name)
    settings = recipe.model.settings
    assert recipe.model.name == "pooled"
    assert settings["trunk"] == RESNET_50
    assert (settings["head"], settings["feature_size"], settings["classifier"]) == ("fc", 1024, True)
    assert (settings["attention"], settings["input_size"]) == (None, [256, 128])
    if name == "softmax":
        assert len(recipe.stages) == 1
        check_classifying(recipe.stages[0], ["cross-entropy"])
        assert recipe.pretrained == "imagenet"
        return
    check_two_stages(recipe, ["cross-entropy"], "triplet")
    triplet = settings_of(recipe.stages[1], "triplet")
    assert (triplet["margin"], triplet["mining"], triplet["normalise"]) == (0.5, "hard", False)


def check_two_stages(recipe: Recipe, first: list[str], metric: str) -> None:
    """SAL, Section 4.1: in the second stage only "the beginning learning rate" is another."""
    assert recipe.pretrained == "imagenet"
    assert [stage.name for stage in recipe.stages] == ["classify", "rank"]
    classify, rank = recipe.stages
    check_classifying(classify, first)
    assert named(rank.sampler) == (
        "pk",
        {"persons": 18, "crops": 4, "epoch": "crops", "balance_cameras": False},
    )
    assert terms(rank) == [(term, 1) for term in (*first, metric)]  # Eq. 6: "The weight of each part is 1"
    assert settings_of(rank, "cross-entropy") == CROSS_ENTROPY
    assert named(rank.optimizer) == ("sgd", {"lr": 1e-4, **SGD})
    assert rates(rank, 0, 49.9, 50, 99.9, 100, 149.9) == pytest.approx([1e-4] * 2 + [1e-5] * 2 + [1e-6] * 2)
    assert rank.epochs == 150
    assert [named(item) for item in rank.augment] == [MIRROR]


def check_classifying(stage: Stage, expected: list[str]) -> None:
    assert named(stage.sampler) == ("random", {"batch_size": 128, "drop_last": False})
    assert terms(stage) == [(term, 1) for term in expected]
    assert settings_of(stage, "cross-entropy") == CROSS_ENTROPY
    assert named(stage.optimizer) == ("sgd", {"lr": 0.1, **SGD})
    assert rates(stage, 0, 49.9, 50, 99.9, 100, 149.9) == pytest.approx([0.1] * 2 + [0.01] * 2 + [1e-3] * 2)
    assert stage.epochs == 150
    assert stage.clip_gradient is None
    assert [named(item) for item in stage.augment] == [MIRROR]


@pytest.mark.parametrize(
    ("name", "attended"),
    [("sona-plain", []), ("sona-2", ["layer2"]), ("sona-3", ["layer3"]), ("sona-23", ["layer2", "layer3"])],
)
def test_sona_is_trained_as_its_section_3_2_says(name: str, attended: list[str]) -> None:
    recipe = load_recipe(name)
    (stage,) = recipe.stages
    second_order = {"name": "second-order", "reduction": 2, "scale": None}
    assert recipe.model.name == "sona"
    assert recipe.model.settings == {
        "trunk": RESNET_50 | {"strides": [1, 2, 1, 1], "dilations": [1, 1, 2, 4]},
        "attention": {layer: [second_order] for layer in attended} or None,
        "branch_attention": None,
        "drop": {
            "name": "dropblock+",
            "height": 5,
            "width": 8,
            "share": 0.1,
            "shared": True,
            "rescale": False,
        },
        "local": True,
        "global_size": 512,
        "local_size": 1024,
        "input_size": [384, 128],
        "views": "mirror",
        "classifier": True,
        "descriptor": "raw",
    }
    assert recipe.pretrained == "imagenet"
    assert stage.epochs == 400
    assert named(stage.sampler) == (
        "pk",
        {"persons": 32, "crops": 4, "epoch": "persons", "balance_cameras": False},
    )
    assert [item.name for item in stage.augment] == ["mirror", "cutout"]
    assert stage.augment[1].settings["size"] == 32
    assert terms(stage) == [("triplet", 1), ("cross-entropy", 1)]
    triplet = settings_of(stage, "triplet")
    assert (triplet["margin"], triplet["mining"], triplet["branches"]) == ("soft", "hard", None)
    assert settings_of(stage, "cross-entropy") == {"label_smoothing": 0.1, "branches": None}
    assert named(stage.optimizer) == ("adam", {"lr": 1e-3, **ADAM})
    at = {0: 1e-4, 4.9: 1e-4, 5: 2e-4, 25: 6e-4, 44.9: 9e-4, 45: 1e-3, 199.9: 1e-3, 200: 1e-4, 299.9: 1e-4}
    at |= {300: 1e-5, 399.9: 1e-5}
    assert rates(stage, *at) == pytest.approx(list(at.values()))


def check_trinet_training(stage: Stage) -> None:
    """Sharp attention, Section IV-B."""
    assert stage.epochs == 150
    assert named(stage.sampler) == (
        "pk",
        {"persons": 64, "crops": 4, "epoch": "crops", "balance_cameras": False},
    )
    cut, mirror = stage.augment
    assert cut.name == "random-resized-crop"
    assert (cut.settings["area"], cut.settings["aspect"]) == ([0.64, 1.0], [2, 3])
    assert cut.settings["size"] == [256, 128]
    assert named(mirror) == MIRROR
    triplet = settings_of(stage, "triplet")
    assert (triplet["margin"], triplet["mining"], triplet["normalise"]) == (0.5, "hard", False)
    late = {"late_betas": [0.5, 0.999], "late_from": 90}
    assert named(stage.optimizer) == ("adam", {"lr": 2e-4, **ADAM, **late})
    assert betas(stage, 0, 89.9, 90, 150) == [(0.9, 0.999), (0.9, 0.999), (0.5, 0.999), (0.5, 0.999)]
    middle = 2e-4 * math.sqrt(1e-3)
    assert rates(stage, 0, 90, 120, 150) == pytest.approx([2e-4, 2e-4, middle, 2e-7])


def test_sharp_is_trained_as_its_section_4_b_says() -> None:
    recipe = load_recipe("sharp")
    (stage,) = recipe.stages
    settings = recipe.model.settings
    assert recipe.model.name == "pooled"
    assert settings["trunk"] == RESNET_50
    assert list(settings["attention"]) == ["layer1", "layer2", "layer3", "layer4"]
    for layer, (block,) in settings["attention"].items():
        assert (block["name"], block["mask"], block["interaction"]) == ("sharp", "sharp", "add")
        assert (block["rate"], block["floor"]) == (0.008, 0.5)
        assert block["context"] == (layer != "layer4")
    assert (settings["head"], settings["feature_size"], settings["classifier"]) == ("trinet", 128, False)
    assert (settings["input_size"], settings["views"]) == ([256, 128], "ten-crop")
    assert recipe.pretrained == "imagenet"
    assert terms(stage) == [("triplet", 1), ("total-variation", 0.1)]
    check_trinet_training(stage)


def test_the_triplet_baseline_is_sharp_without_attention() -> None:
    recipe, sharp = load_recipe("triplet"), load_recipe("sharp")
    (stage,) = recipe.stages
    assert recipe.model.settings == sharp.model.settings | {"attention": None}
    assert recipe.pretrained == "imagenet"
    assert terms(stage) == [("triplet", 1)]
    check_trinet_training(stage)


def test_sn_is_trained_as_its_section_3_3_says() -> None:
    recipe = load_recipe("sn")
    (stage,) = recipe.stages
    settings = recipe.model.settings
    assert recipe.model.name == "pooled"
    assert settings["trunk"] == RESNET_50
    assert (settings["head"], settings["classifier"], settings["attention"]) == ("pooled", False, None)
    assert settings["input_size"] == [256, 128]
    assert recipe.pretrained == "imagenet"
    assert stage.epochs == 800
    assert named(stage.sampler) == (
        "pk",
        {"persons": 32, "crops": 4, "epoch": "persons", "balance_cameras": False},
    )
    assert [named(item) for item in stage.augment] == [MIRROR]
    assert terms(stage) == [("support-neighbour", 1)]
    assert settings_of(stage, "support-neighbour") == {
        "neighbours": 10,
        "sigma": 40,
        "squeeze_weight": 0.1,
        "distance": "squared",
        "normalise": True,
        "branches": None,
    }
    assert named(stage.optimizer) == ("adam", {"lr": 2e-4, **ADAM, "weight_decay": 0})
    epochs = (0, 75, 200, 437.5, 799.9)
    expected = [2e-4 * 0.001 ** (max(0.0, epoch - 75) / (800 - 75)) for epoch in epochs]
    assert rates(stage, *epochs) == pytest.approx(expected)
    assert expected[-1] == pytest.approx(2e-7, rel=1e-3)

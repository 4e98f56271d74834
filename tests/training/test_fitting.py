"""Parts of a recipe that do not fit each other are refused when it is read, each at its place."""

from typing import Any

import numpy as np
import pytest
import torch
import yaml
from test_recipe import SMALL

from resight.data.samplers import SAMPLERS
from resight.errors import UserError
from resight.losses.term import TERMS
from resight.models.network import MODELS, build_model
from resight.models.representation import Branch, Representation
from resight.training.reading import parse_recipe

OURS = [name for name in MODELS.names() if MODELS.get(name).__module__.startswith("resight.")]


def content(*changes: tuple[str, object]) -> dict[str, Any]:
    """Return a sound recipe with changes."""
    recipe: Any = yaml.safe_load(SMALL) | {"name": "own"}
    for path, value in changes:
        place, *keys = [int(key) if key.isdecimal() else key for key in path.split(".")]
        owner = recipe
        for key in keys:
            owner, place = owner[place], key
        owner[place] = value
    return recipe  # type: ignore[no-any-return]


def mistakes(*changes: tuple[str, object]) -> dict[str, str]:
    """Change a sound recipe; return sentence by place."""
    with pytest.raises(UserError) as caught:
        parse_recipe(content(*changes), "recipe")
    return dict(line.strip().split(": ", 1) for line in str(caught.value).splitlines()[1:])


def test_a_term_that_the_model_cannot_feed_is_named() -> None:
    found = mistakes(("stages.0.objective", [{"term": "triplet", "branches": ["lcoal"]}]))
    assert found == {
        "stages.0.objective": "Term 'triplet' does not fit the model: "
        "The model has no branch 'lcoal'. Did you mean 'local'?"
    }


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            {"name": "vit", "patch": 64, "input_size": [32, 128]},
            "patch: 64 is more than the crop has, 32 x 128",
        ),
        ({"name": "pooled", "attention": {"layer4": "instance-norm"}}, "It cannot be computed with these"),
        (
            {"name": "sal", "trunk": {"name": "resnet", "strides": [1, 2, 2, 1]}},
            "dilated: it sets the trunk's",
        ),
    ],
)
def test_settings_of_a_model_that_do_not_fit_are_told(model: dict[str, Any], sentence: str) -> None:
    model = {"trunk": {"name": "resnet", "depth": 18}, "input_size": [32, 32]} | model
    model = {key: value for key, value in model.items() if model["name"] != "vit" or key != "trunk"}
    assert sentence in mistakes(("model", model))["model"]


def test_attention_and_heads_follow_channels_of_any_number() -> None:
    width = {"name": "mobilenet-v2", "form": "torchreid", "width": 1.4}
    for name in ("pooled", "sal", "sona"):
        sharp = {"layer1": {"name": "sharp"}} if name == "pooled" else {}
        extra = {"dilated": False} if name == "sal" else {}
        model = build_model(name, 3, trunk=width, attention=sharp, input_size=(64, 32), **extra).eval()
        assert model.embed(torch.randn(2, 3, 64, 32)).isfinite().all()


def test_self_attention_needs_two_maps() -> None:
    found = mistakes(("stages.0.objective", [{"term": "self-attention", "maps": ["level1"]}]))
    assert "Term 'self-attention' does not fit the model" in found["stages.0.objective"]


def test_ten_crops_need_an_augmentation_that_cuts() -> None:
    found = mistakes(("model.views", "ten-crop"))
    assert "The model takes 160 x 64 pixels" in found["stages.0.augment"]
    assert "180 x 72" in found["stages.0.augment"]


def test_a_stage_may_train_on_smaller_pictures_that_the_model_can_process() -> None:
    recipe = parse_recipe(content(("stages.0.augment", [{"name": "downscale", "size": [96, 40]}])), "recipe")
    assert recipe.stages[0].augment[0].settings == {"size": [96, 40]}
    found = mistakes(("stages.0.augment", [{"name": "downscale", "size": [1, 1]}]))
    assert "The model cannot process pictures of 1 x 1 pixels: " in found["stages.0.augment"]


def test_a_layer_that_is_not_there_is_named() -> None:
    found = mistakes(("model.attention", {"level4": "second-order"}))
    assert found == {"model": "attention: the network has no layer 'level4'. Did you mean 'level3'?"}


def test_an_unknown_module_and_an_unknown_setting_are_named() -> None:
    assert "Unknown attention 'second-odrer'. Did you mean 'second-order'?" in next(
        iter(mistakes(("model.attention", {"level1": "second-odrer"})).values())
    )
    found = mistakes(("model.attention", {"level1": {"name": "second-order", "reductoin": 2}}))
    assert "Did you mean 'reduction'?" in next(iter(found.values()))


def test_attention_on_a_branch_that_is_not_there_is_named_by_its_own_setting() -> None:
    sona = {"name": "sona", "trunk": {"name": "resnet", "depth": 18}, "input_size": [64, 32]}
    found = mistakes(("model", sona | {"branch_attention": {"gobal": "second-order"}}))
    assert found == {"model": "branch_attention: the network has no branch 'gobal'. Did you mean 'global'?"}
    found = mistakes(("model", sona | {"branch_attention": {"layer2": "second-order"}}))
    assert found == {"model": "branch_attention: the network has no branch 'layer2'. Known: global, local."}


@pytest.mark.parametrize("model", OURS)
def test_no_network_takes_crops_of_less_than_32_pixels(model: str) -> None:
    found = mistakes(("model", {"name": model, "input_size": [31, 16]}))
    assert found == {
        "model.input_size.0": "Input should be greater than or equal to 32; got 31.",
        "model.input_size.1": "Input should be greater than or equal to 32; got 16.",
    }


@pytest.mark.parametrize("model", [{"name": "pooled"}, {"name": "sal", "dilated": False}, {"name": "sona"}])
def test_crops_smaller_than_the_stride_are_refused_with_the_least_size(model: dict[str, object]) -> None:
    trunk = {"name": "resnet", "depth": 18, "strides": [2, 2, 2, 2]}
    found = mistakes(("model", model | {"trunk": trunk, "attention": None, "input_size": [128, 63]}))
    assert list(found) == ["model"]
    assert "input_size: height and width must be at least 64 pixels" in found["model"]
    assert "got 128 x 63" in found["model"]


@pytest.mark.parametrize("model", OURS)
def test_the_least_crops_fit_every_network(model: str) -> None:
    crops = [("model", {"name": model, "input_size": [32, 32]})]
    assert parse_recipe(content(*crops), "recipe").model.name == model


@pytest.mark.parametrize("trunk", ["mobilenet", "osnet"])
def test_widths_that_leave_uneven_channels_are_refused(trunk: str) -> None:
    part = {"name": trunk, "width": 0.3}
    found = mistakes(("model", {"name": "sona", "trunk": part, "attention": None, "input_size": [64, 32]}))
    assert found == {"model.trunk.width": "Input should be a multiple of 0.125; got 0.3."}


ONE_CROP = {"name": "pk", "persons": 4, "crops": 1}
NEEDY = ["triplet", "quadruplet", "support-neighbour", "circle"]


@pytest.mark.parametrize("term", NEEDY)
def test_a_batch_without_any_positive_is_refused(term: str) -> None:
    terms = [{"term": "cross-entropy"}, {"term": term, "name": "ranking"}]
    found = mistakes(("stages.0.sampler", ONE_CROP), ("stages.0.objective", terms))
    assert list(found) == ["stages.0.sampler"]
    assert "'ranking' would learn nothing. Set crops to 2 or more." in found["stages.0.sampler"]


def test_all_terms_that_such_a_batch_leaves_idle_are_named() -> None:
    terms = [{"term": name} for name in NEEDY]
    found = mistakes(("stages.0.sampler", ONE_CROP), ("stages.0.objective", terms))
    assert " and ".join(repr(name) for name in NEEDY) in found["stages.0.sampler"]


def test_terms_that_look_at_each_crop_alone_may_have_such_a_batch() -> None:
    terms = [{"term": "cross-entropy"}, {"term": "centre"}, {"term": "self-attention"}]
    parse_recipe(content(("stages.0.sampler", ONE_CROP), ("stages.0.objective", terms)), "recipe")


SONA = {"name": "sona", "trunk": {"name": "resnet", "depth": 18}, "input_size": [64, 32]}
IDLE = [
    ({"name": "han"}, [{"term": "triplet"}]),
    ({"name": "han", "classifier": False}, [{"term": "triplet", "branches": ["global"]}]),
    (SONA, [{"term": "triplet"}, {"term": "cross-entropy", "weight": 0}]),
    (SONA | {"classifier": False}, [{"term": "self-attention"}]),
]


@pytest.mark.parametrize(("model", "terms"), IDLE)
def test_parameters_that_can_never_get_a_gradient_are_named(
    model: dict[str, Any], terms: list[dict[str, Any]]
) -> None:
    """As a step on real crops leaves them."""
    sampler = {"name": "pk", "persons": 2, "crops": 2}
    found = mistakes(("stages.0.sampler", sampler), ("model", model), ("stages.0.objective", terms))
    assert list(found) == ["model"]
    settings = {key: value for key, value in model.items() if key != "name"}
    network = build_model(model["name"], 2, **settings).train()
    seen = network(torch.randn(4, 3, *network.input_size))
    built = [TERMS.build(term["term"], **_settings(term)) for term in terms if term.get("weight", 1)]
    sum(term(seen, torch.tensor([0, 0, 1, 1])) for term in built).backward()
    idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    total = len(list(network.parameters()))
    assert f"{len(idle)} of its {total} parameter tensors can never get a gradient" in found["model"]
    assert f": {', '.join(idle[:4])}" in found["model"]


def _settings(term: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in term.items() if key not in ("term", "weight")}


def test_parameters_that_one_of_several_stages_trains_are_not_named() -> None:
    first = content()["stages"][0]
    second = first | {"name": "rank", "sampler": {"name": "pk"}, "objective": [{"term": "triplet"}]}
    assert len(parse_recipe(content(("stages", [first, second])), "recipe").stages) == 2


@pytest.mark.parametrize("term", NEEDY)
def test_which_terms_need_positives_is_what_they_do(term: str) -> None:
    embedding, persons = torch.randn(4, 8, requires_grad=True), torch.tensor([0, 1, 2, 3])
    found = TERMS.build(term)(Representation({"global": Branch(embedding)}), persons)
    assert found.item() == 0
    assert TERMS.build(term).needs_positives
    assert sorted(name for name in TERMS.names() if TERMS.get(name).needs_positives) == sorted(NEEDY)


def test_quadruplets_of_two_persons_are_triplets() -> None:
    """The documented fallback where a batch has no third person: what such a sampler really draws."""
    sampler = {"name": "pk", "persons": 2, "crops": 3}
    terms = [{"term": "quadruplet"}]
    model = {"name": "han", "classifier": False}
    changes = [("model", model), ("stages.0.sampler", sampler), ("stages.0.objective", terms)]
    recipe = parse_recipe(content(*changes), "recipe")
    (stage,) = recipe.stages
    persons = np.repeat(np.arange(5), 4)
    draws = SAMPLERS.build(stage.sampler.name, persons, recipe.seed, **stage.sampler.settings)
    for batch in draws.batches(0):
        labels = torch.from_numpy(persons[batch])
        found = Representation({"global": Branch(torch.randn(len(labels), 8))})
        loss = TERMS.build("quadruplet", margin=0.5)(found, labels)
        assert loss > 0
        torch.testing.assert_close(loss, TERMS.build("triplet", margin=0.5)(found, labels))

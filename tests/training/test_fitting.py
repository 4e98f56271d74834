"""Parts of a recipe that do not fit each other are refused when it is read, each at its place."""

import pytest
import yaml
from test_recipe import SMALL

from resight.errors import UserError
from resight.training.recipe import parse_recipe


def mistakes(*changes: tuple[str, object]) -> dict[str, str]:
    """Change a sound recipe; return sentence by place."""
    content = yaml.safe_load(SMALL) | {"name": "own"}
    for path, value in changes:
        place, *keys = [int(key) if key.isdecimal() else key for key in path.split(".")]
        owner = content
        for key in keys:
            owner, place = owner[place], key
        owner[place] = value
    with pytest.raises(UserError) as caught:
        parse_recipe(content, "recipe")
    return dict(line.strip().split(": ", 1) for line in str(caught.value).splitlines()[1:])


def test_a_term_that_the_model_cannot_feed_is_named() -> None:
    found = mistakes(("stages.0.objective", [{"term": "triplet", "branches": ["lcoal"]}]))
    assert found == {
        "stages.0.objective": "Term 'triplet' does not fit the model: "
        "The model has no branch 'lcoal'. Did you mean 'local'?"
    }


def test_self_attention_needs_two_maps() -> None:
    found = mistakes(("stages.0.objective", [{"term": "self-attention", "maps": ["level1"]}]))
    assert "Term 'self-attention' does not fit the model" in found["stages.0.objective"]


def test_ten_crops_need_an_augmentation_that_cuts() -> None:
    found = mistakes(("model.views", "ten-crop"))
    assert "The model takes 160 x 64 pixels" in found["stages.0.augment"]
    assert "180 x 72" in found["stages.0.augment"]


def test_a_layer_that_is_not_there_is_named() -> None:
    found = mistakes(("model.attention", {"level4": "second-order"}))
    assert "no layer 'level4'. Did you mean 'level3'" in found["model"]
    assert "Its layers: level1, level2, level3." in found["model"]


def test_an_unknown_module_and_an_unknown_setting_are_named() -> None:
    assert "Unknown attention 'second-odrer'. Did you mean 'second-order'?" in next(
        iter(mistakes(("model.attention", {"level1": "second-odrer"})).values())
    )
    found = mistakes(("model.attention", {"level1": {"name": "second-order", "reductoin": 2}}))
    assert "Did you mean 'reduction'?" in next(iter(found.values()))

"""Which differences between two recipes are named, and where."""

from typing import Any

import pytest

from resight.training.comparing import differences

ENTROPY, ATTENTION, TRIPLET = {"term": "cross-entropy"}, {"term": "self-attention"}, {"term": "triplet"}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"lr": 1, "ema": None}, {"lr": 2, "ema": None}, {"lr": (1, 2)}),
        ({"size": [96, 48]}, {"size": [64, 48]}, {"size.0": (96, 64)}),
        ({"maps": ["layer3", "layer4"]}, {"maps": ["layer4"]}, {"maps": (["layer3", "layer4"], ["layer4"])}),
        ([ENTROPY, ATTENTION, TRIPLET], [ENTROPY, TRIPLET], {"1": (ATTENTION, None)}),
        ([ENTROPY], [ENTROPY, ENTROPY], {"1": (None, ENTROPY)}),
        (
            [ENTROPY, TRIPLET],
            [ATTENTION],
            {"0.term": ("cross-entropy", "self-attention"), "1": (TRIPLET, None)},
        ),
    ],
)
def test_differences(old: Any, new: Any, found: dict[str, tuple[Any, Any]]) -> None:
    assert differences(old, new) == found
    assert differences(old, old) == {}

"""Top-1 and top-5 error against ranks counted by hand."""

import pytest
import torch

from resight.errors import UserError
from resight.evaluation.classification import score_classes


def test_ranks_and_errors_by_hand() -> None:
    scores = torch.tensor(
        [
            [0.9, 0.1, 0.2, 0.3, 0.4, 0.5],  # right: 0, first
            [0.9, 0.1, 0.2, 0.3, 0.4, 0.5],  # right: 1, last of six
            [0.9, 0.1, 0.2, 0.3, 0.4, 0.5],  # right: 5, second
            [0.9, 0.1, 0.2, 0.3, 0.4, 0.5],  # right: 2, fifth
        ]
    )
    found = score_classes(scores, torch.tensor([0, 1, 5, 2]))
    assert found.ranks.tolist() == [1, 6, 2, 5]
    assert found.as_dict() == {
        "top1": 0.25,
        "top5": 0.75,
        "top1_error": 0.75,
        "top5_error": 0.25,
        "pictures": 4,
        "classes": 6,
        "protocol": "classification",
    }
    assert found.accuracy(2) == 0.5


def test_a_tie_is_never_right() -> None:
    found = score_classes(torch.ones(3, 4), torch.tensor([0, 1, 3]))
    assert found.ranks.tolist() == [4, 4, 4]
    assert found.accuracy(1) == 0


def test_what_cannot_be_scored() -> None:
    with pytest.raises(UserError, match="There are no pictures to score"):
        score_classes(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))
    spoilt = torch.tensor([[1.0, 0.0], [float("nan"), 0.0], [float("inf"), 0.0]])
    with pytest.raises(UserError, match="scores of 2 of 3 pictures are not finite, first those of picture 1"):
        score_classes(spoilt, torch.tensor([0, 0, 0]))

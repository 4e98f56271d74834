"""Draws, pooled queries and their statistics, against hand-computed figures and plain loops."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from resight.data.benchmark import Protocol
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.pooling import pool_queries
from resight.evaluation.repeated import RepeatedScores
from resight.evaluation.scores import evaluate
from resight.evaluation.statistics import spread


def embedded(rows: list[list[float]], persons: list[int], cameras: list[int] | None) -> Embedded:
    return Embedded(
        torch.tensor(rows), torch.tensor(persons), None if cameras is None else torch.tensor(cameras)
    )


def line(places: list[float], persons: list[int], cameras: list[int]) -> Embedded:
    """Return crops on a line, to be compared by Euclidean distance."""
    return embedded([[place, 0.0] for place in places], persons, cameras)


def test_single_shot_draws_by_hand() -> None:
    query = line([0.0, 10.0], [1, 2], [1, 1])
    gallery = line([1.0, 6.0, 9.0, 3.0], [1, 1, 2, 2], [2, 2, 2, 2])
    everyone = torch.tensor([0, 1])
    draws = [
        (everyone, torch.tensor([0, 2])),  # 0 -> 1 right, 10 -> 9 right: rank-1 1, mAP 1
        (everyone, torch.tensor([1, 2])),  # 0 -> 6 right, 10 -> 9 right
        (everyone, torch.tensor([1, 3])),  # 0 -> 3 is wrong, 10 -> 6 is wrong: rank-1 0, mAP 1/2
    ]
    found = RepeatedScores(
        tuple(
            evaluate(
                query.take(rows),
                gallery.take(columns),
                Protocol("single-shot"),
                metric="euclidean",
                ranks=(1, 2),
            )
            for rows, columns in draws
        )
    )
    assert [scores.rank(1) for scores in found.draws] == [1.0, 1.0, 0.0]
    spreads = found.spreads()
    assert spreads["mAP"].mean == pytest.approx(5 / 6)
    assert spreads["mAP"].std == pytest.approx(math.sqrt(1 / 12))
    # Student's t of 2 degrees of freedom is 4.3027
    assert spreads["mAP"].high == pytest.approx(5 / 6 + 4.302653 * math.sqrt(1 / 12) / math.sqrt(3))
    assert spreads["rank2"].std == 0
    content = found.as_dict()
    assert (content["rank1"], content["draws"], content["queries"]) == (pytest.approx(2 / 3), 3, 2)
    assert content["spread"]["rank1"]["low"] == spreads["rank1"].low
    assert [draw["mAP"] for draw in content["of_draws"]] == [1.0, 1.0, 0.5]
    with pytest.raises(UserError, match="no draw to score"):
        RepeatedScores(())


@pytest.mark.parametrize("number", [2, 3, 4, 10, 200])
def test_the_interval_is_students(number: int) -> None:
    values = np.random.default_rng(number).normal(size=number).tolist()
    found = spread(values)
    expected = stats.t.interval(0.95, number - 1, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)


def test_spread_of_one_value_and_of_two() -> None:
    alone = spread([0.25])
    assert (alone.mean, alone.std, alone.low, alone.high, alone.number) == (0.25, None, None, None, 1)
    two = spread([1.0, 3.0])
    assert (two.mean, two.std) == (2.0, pytest.approx(math.sqrt(2)))
    assert two.high == pytest.approx(2 + stats.t.ppf(0.975, 1))


def test_pooled_queries_by_hand() -> None:
    query = embedded([[9.0, 9.0]] * 4, [1, 1, 2, 3], [1, 2, 1, 1])
    images = embedded(
        [[1.0, -4.0], [3.0, -2.0], [5.0, 5.0], [-1.0, -7.0], [8.0, 8.0]], [1, 1, 1, 2, 4], [1, 1, 2, 1, 1]
    )
    average = pool_queries(query, images, "average")
    assert average.features.tolist() == [[2.0, -3.0], [5.0, 5.0], [-1.0, -7.0], [9.0, 9.0]]
    assert pool_queries(query, images, "max").features.tolist()[0] == [3.0, -2.0]
    assert pool_queries(query, images, "max").features.tolist()[2] == [-1.0, -7.0]  # not cut off at 0
    assert average.persons is query.persons
    assert query.features.tolist() == [[9.0, 9.0]] * 4


def test_pooling_can_only_matter_for_the_query_side() -> None:
    query = line([0.0], [1], [1])
    gallery = line([4.0, 1.0], [1, 2], [2, 2])
    images = line([3.0, 7.0], [1, 1], [1, 1])  # their mean is 5: nearest is the right one
    assert evaluate(query, gallery, metric="euclidean").rank(1) == 0
    assert evaluate(pool_queries(query, images, "average"), gallery, metric="euclidean").rank(1) == 1


def test_what_cannot_be_pooled() -> None:
    query = embedded([[1.0, 2.0]], [1], [1])
    with pytest.raises(UserError, match="cameras are not known"):
        pool_queries(replace(query, cameras=None), query, "max")
    with pytest.raises(UserError, match="2 numbers per crop, the images to pool 1"):
        pool_queries(query, embedded([[1.0]], [1], [1]), "max")

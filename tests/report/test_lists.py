"""Ranked lists: the right queries, in evaluation's order, in the right colours."""

from pathlib import Path

import numpy as np
import pytest
import torch

from resight.data.benchmark import Protocol
from resight.data.crop import Crop
from resight.evaluation.embedded import Embedded
from resight.evaluation.ranking import nearest
from resight.evaluation.scores import evaluate
from resight.report.lists import (
    choose_queries,
    ranked_lists,
)
from resight.training.testing import EmbeddedBenchmark


def embedded_people(seed: int = 0, size: int = 40) -> EmbeddedBenchmark:
    """Return random features and labels, with junk and distractors."""
    random = torch.Generator().manual_seed(seed)
    parts = []
    for count, lowest in ((size, 1), (4 * size, -1)):
        persons = torch.randint(lowest, 9, (count,), generator=random)
        cameras = torch.randint(0, 3, (count,), generator=random)
        features = torch.randn(count, 8, generator=random) + torch.eye(8)[(persons - 1).clamp(0)]
        crops = tuple(
            Crop(Path(f"{row}.png"), person, camera)
            for row, (person, camera) in enumerate(zip(persons.tolist(), cameras.tolist(), strict=True))
        )
        parts.append((Embedded(features, persons, cameras), crops))
    (query, query_crops), (gallery, gallery_crops) = parts
    return EmbeddedBenchmark(query, gallery, query_crops, gallery_crops)


def test_best_median_and_worst_queries() -> None:
    precision = np.array([0.5, 0.9, np.nan, 0.1, 0.7, 0.3, 0.8])
    valid = ~np.isnan(precision)
    persons = np.array([1, 2, 3, 4, 5, 6, 7])
    chosen = choose_queries(precision, valid, persons, 2)
    assert chosen["best"] == [1, 6]
    assert chosen["worst"] == [5, 3]
    assert chosen["median"] == [4, 0]


def test_a_person_is_shown_once_in_a_group_and_a_query_once_at_all() -> None:
    precision = np.array([0.9, 0.9, 0.8, 0.2])
    chosen = choose_queries(precision, np.ones(4, bool), np.array([1, 1, 2, 1]), 3)
    assert chosen["best"] == [0, 2]
    assert chosen["worst"] == [3]
    assert chosen["median"] == [1]


def test_few_queries_are_enough() -> None:
    chosen = choose_queries(np.array([0.4]), np.array([True]), np.array([1]), 3)
    assert chosen == {"best": [0], "worst": [], "median": []}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_lists_have_the_order_of_evaluation_and_leave_out_what_is_ignored(metric: str) -> None:
    people = embedded_people()
    scores = evaluate(people.query, people.gallery, Protocol(), metric=metric)  # type: ignore[arg-type]
    lists = ranked_lists(people, scores, Protocol(), count=4, hits=12)
    assert [entry.kind for entry in lists] == ["best"] * 4 + ["median"] * 4 + ["worst"] * 4
    for entry in lists:
        row = people.query_crops.index(entry.query)
        indices, values = nearest(people.query, people.gallery, Protocol(), 12, metric=metric, rows=[row])  # type: ignore[arg-type]
        assert [people.gallery_crops.index(hit.crop) for hit in entry.hits] == indices[0].tolist()
        assert [hit.score for hit in entry.hits] == pytest.approx(values[0].tolist())
        assert [hit.right for hit in entry.hits] == [
            hit.crop.person == entry.query.person for hit in entry.hits
        ]
        assert all(hit.crop.person != -1 for hit in entry.hits)
        same = [hit for hit in entry.hits if hit.right and hit.crop.camera == entry.query.camera]
        assert not same
        if entry.first_match <= 12:
            assert entry.hits[entry.first_match - 1].right
            assert not any(hit.right for hit in entry.hits[: entry.first_match - 1])
    precision = [entry.average_precision for entry in lists]
    assert precision[0] == scores.per_query.average_precision[scores.per_query.valid].max()
    assert precision[-1] == scores.per_query.average_precision[scores.per_query.valid].min()
    assert min(precision[:4]) >= max(precision[8:])

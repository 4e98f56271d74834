"""Ranked lists, and what cannot be ranked."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_scores import distance, rank_plainly
from test_scores import METRICS, market, problems

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.ranking import nearest
from resight.evaluation.scores import evaluate


@settings(max_examples=150, deadline=None)
@given(problems(), st.sampled_from(METRICS), st.integers(1, 45))
def test_nearest_crops_are_the_plain_ones(problem, metric, k) -> None:
    query, gallery, protocol = problem
    plain, _ = rank_plainly(query, gallery, protocol, metric)
    kept = int((gallery.persons != -1).sum())
    if not kept:
        with pytest.raises(UserError, match="are junk"):
            nearest(query, gallery, protocol, k, metric=metric)
        return
    indices, scores = nearest(query, gallery, protocol, k, metric=metric)
    assert indices.shape == scores.shape == (len(query), min(k, kept))
    for row, one in enumerate(plain):
        expected = (one.indices + [-1] * k)[: min(k, kept)]
        assert indices[row].tolist() == expected
        for place, value in zip(expected, scores[row].tolist(), strict=True):
            if place < 0:
                assert value != value
                continue
            far = distance(
                query.features[row].double().numpy(), gallery.features[place].double().numpy(), metric
            )
            assert value == pytest.approx(-far if metric == "cosine" else far, abs=1e-6)


def test_rows_choose_the_queries_and_their_order() -> None:
    query, gallery = market()
    everyone, _ = nearest(query, gallery, Protocol(), 5)
    some, _ = nearest(query, gallery, Protocol(), 5, rows=[7, 3, 299])
    assert torch.equal(some, everyone[[7, 3, 299]])
    assert nearest(query, gallery, Protocol(), 5, rows=[])[0].shape == (0, 5)


def test_features_may_need_gradients() -> None:
    query, gallery = market(10, 50)
    learnt = replace(gallery, features=gallery.features.clone().requires_grad_())
    assert not nearest(query, learnt, Protocol(), 5)[1].requires_grad
    assert evaluate(query, learnt).mAP == evaluate(query, gallery).mAP


def test_a_distractor_as_a_query_ignores_no_other_distractor() -> None:
    features, cameras = torch.eye(2), torch.tensor([1, 1])
    crops = Embedded(features, torch.tensor([0, 0]), cameras)
    indices, _ = nearest(crops, crops, Protocol(), 2)
    assert indices.tolist() == [[0, 1], [1, 0]]


def test_small_distances_between_long_features_are_not_lost() -> None:
    query = Embedded(torch.tensor([[1000.0, 1000.0]]), torch.tensor([1]))
    gallery = Embedded(torch.tensor([[1000.0, 1000.0625]]), torch.tensor([1]))
    _, scores = nearest(query, gallery, EVERY_OTHER_IMAGE, 1, metric="euclidean")
    assert scores.tolist() == [[0.0625]]


def with_features(embedded: Embedded, rows: list[int], value: float) -> Embedded:
    features = embedded.features.clone()
    features[rows] = value
    return replace(embedded, features=features)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e12])
def test_features_that_are_not_finite_are_named(metric, value) -> None:
    query, gallery = market()
    with pytest.raises(UserError, match=r"In the query, 1 of 300 rows \(7\) is NaN"):
        evaluate(with_features(query, [7], value), gallery, metric=metric)
    persons = gallery.persons.clamp(0)
    persons[:100] = -1  # rows are counted with the junk, whose features do not matter
    gallery = with_features(replace(gallery, persons=persons), [5, *range(200, 207)], value)
    message = r"In the gallery, 7 of 1,500 rows \(200, 201, 202, 203, 204, \.\.\.\) are NaN"
    with pytest.raises(UserError, match=message):
        evaluate(query, gallery, metric=metric)


@pytest.mark.parametrize("value", [0.0, 1e-15])
def test_zero_features_have_no_cosine_but_a_distance(value) -> None:
    query, gallery = market()
    query = with_features(query, [3, 8], value)
    with pytest.raises(UserError, match=r"In the query, 2 of 300 rows \(3, 8\) are zero"):
        evaluate(query, gallery)
    assert evaluate(query, gallery, metric="euclidean").queries == 300


def test_what_cannot_be_compared_is_said() -> None:
    query, gallery = market(10, 20)
    nobody = replace(query, **{name: getattr(query, name)[:0] for name in ("features", "persons", "cameras")})
    cases = [
        (query, replace(gallery, features=gallery.features[:, :9]), {}, "got 16 and 9"),
        (nobody, gallery, {}, "The query is empty"),
        (query, nobody, {}, "The gallery is empty"),
        (query, replace(gallery, persons=torch.full((20,), -1)), {}, "All 20 gallery crops are junk"),
        (replace(query, cameras=None), gallery, {}, "the query has no cameras.*--no-cross-camera"),
        (query, replace(gallery, cameras=None), {}, "the gallery has no cameras"),
        (query, gallery, {"metric": "manhattan"}, "Unknown metric 'manhattan'. Known: cosine, euclidean"),
        (query, gallery, {"ap": "median"}, "Unknown average precision 'median'. Known: mean, trapezoid"),
        (query, gallery, {"device": "gpu"}, "There is no device 'gpu'. Use --device cpu"),
        (query, gallery, {"ranks": (1, 0)}, "Ranks count from 1; got 1, 0"),
    ]
    for wrong_query, wrong_gallery, options, message in cases:
        with pytest.raises(UserError, match=message):
            evaluate(wrong_query, wrong_gallery, **options)
    with pytest.raises(UserError, match="got k = 0"):
        nearest(query, gallery, Protocol(), 0)


def test_embedded_refuses_labels_that_do_not_fit() -> None:
    features, persons = torch.ones(3, 2), torch.tensor([1, 2, 3])
    cases = [
        ((torch.ones(3), persons), r"\[N, D\]; got the shape \(3,\)"),
        ((features, persons[:2]), r"one entry in 'persons' for each of the 3 features; got the shape \(2,\)"),
        ((features, persons, persons[:, None]), r"in 'cameras' .* got the shape \(3, 1\)"),
        ((features, persons.float()), "'persons' must be int64 numbers; got torch.float32"),
    ]
    for arguments, message in cases:
        with pytest.raises(UserError, match=message):
            Embedded(*arguments)


def test_queries_without_a_match_are_explained_with_counts() -> None:
    def crops(persons: list[int], cameras: list[int], items: list[int]) -> Embedded:
        labels = (torch.tensor(part) for part in (persons, cameras, items))
        return Embedded(torch.ones(len(persons), 2), *labels)

    query = crops([1, 2, 7, 3, 4, 0], [1, 1, 2, 1, 2, 1], [10, 11, 12, 13, 14, 15])
    gallery = crops([2, 2, 3, -1, 4, 4, 5], [1, 1, 1, 1, 2, 2, 1], [20, 21, 13, 23, 14, 25, 26])
    with pytest.raises(UserError) as caught:
        evaluate(query, gallery)
    message = str(caught.value)
    assert "None of the 6 queries has a match in the gallery of 7 crops, 1 of them junk" in message
    assert "their person is not in the gallery (2)" in message  # persons 1 and 7
    assert (
        "their person is only seen by their own camera, which the protocol 'market-1501' ignores (2)"
        in message
    )  # 2 and 4
    assert "the only crop of their person is the query itself (1)" in message  # person 3
    assert "they are junk or distractors (person -1 or 0) (1)" in message
    assert "--no-cross-camera" in message

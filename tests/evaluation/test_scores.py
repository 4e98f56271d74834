"""Scores: against a plain implementation, and against figures worked out by hand."""

import itertools
import json
from collections import Counter
from dataclasses import asdict
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plain_scores import mean_precision, rank_plainly, trapezoids
from torch.utils._python_dispatch import TorchDispatchMode

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.errors import UserError
from resight.evaluation import counting, ranking
from resight.evaluation.embedded import Embedded
from resight.evaluation.grouping import repeated_rows
from resight.evaluation.scores import evaluate

METRICS = ("cosine", "euclidean")
SIZES = [(512, 4096, 2**21), (1, 1, 1), (3, 5, 16), (7, 1000, 30)]  # of blocks, of tiles


def exact_features(generator: np.random.Generator, count: int) -> torch.Tensor:
    """Return features whose cosines and distances have no rounding, and hence many ties."""
    signs = generator.choice([-1.0, 1.0], (count, 4))
    return torch.tensor(signs * generator.choice([0.5, 1.0, 2.0], (count, 1)), dtype=torch.float32)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Embedded, Embedded, Protocol]:
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cameras, items, ties = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    people, lowest = draw(st.integers(1, 6)), draw(st.sampled_from([-1, 0, 1]))

    def side(count: int) -> Embedded:
        features = torch.tensor(generator.normal(size=(count, 4)))
        return Embedded(
            exact_features(generator, count) if ties else features,
            torch.tensor(generator.integers(lowest, people + 1, count)),
            torch.tensor(generator.integers(0, 3, count)) if cameras else None,
            torch.tensor(generator.permutation(40)[:count]) if items else None,
        )

    protocol = Protocol() if cameras and draw(st.booleans()) else EVERY_OTHER_IMAGE
    return side(draw(st.integers(1, 12))), side(draw(st.integers(1, 40))), protocol


@settings(max_examples=250, deadline=None)
@given(problems(), st.sampled_from(METRICS), st.sampled_from(["mean", "trapezoid"]), st.sampled_from(SIZES))
def test_scores_equal_the_plain_ones(problem, metric, ap, sizes) -> None:
    query, gallery, protocol = problem
    plain, removed = rank_plainly(query, gallery, protocol, metric)
    valid = [bool(one.ranks) for one in plain]
    with (
        patch.object(ranking, "BLOCK_ROWS", sizes[0]),
        patch.object(counting, "TILE_COLUMNS", sizes[1]),
        patch.object(counting, "TILE_ENTRIES", sizes[2]),
    ):
        if not any(valid):
            with pytest.raises(UserError, match=r"None of the .* has a match|are junk"):
                evaluate(query, gallery, protocol, metric=metric, ap=ap)
            return
        scores = evaluate(query, gallery, protocol, metric=metric, ap=ap)
    precision = mean_precision if ap == "mean" else trapezoids
    average = [precision(one.right) for one in plain if one.ranks]
    penalty = [len(one.ranks) / one.ranks[-1] for one in plain if one.ranks]
    first = np.array([one.ranks[0] for one in plain if one.ranks])
    per_query = scores.per_query
    assert per_query.valid.tolist() == valid
    assert per_query.matches.tolist() == [len(one.ranks) for one in plain]
    assert per_query.first_match_rank.tolist() == [(one.ranks or [0])[0] for one in plain]
    assert per_query.average_precision[per_query.valid].tolist() == pytest.approx(average, rel=1e-12)
    assert per_query.inp[per_query.valid].tolist() == pytest.approx(penalty, rel=1e-12)
    assert per_query.average_precision[~per_query.valid].isnan().all()
    assert per_query.inp[~per_query.valid].isnan().all()
    assert scores.mAP == pytest.approx(np.mean(average), rel=1e-12)
    assert scores.mINP == pytest.approx(np.mean(penalty), rel=1e-12)
    assert scores.cmc.tolist() == pytest.approx([np.mean(first <= k) for k in range(1, 51)])
    assert [scores.rank(k) for k in (1, 3, 60)] == pytest.approx([np.mean(first <= k) for k in (1, 3, 60)])
    assert (scores.queries, scores.total_queries) == (sum(valid), len(query))
    assert +Counter(asdict(scores.removed)) == +removed


@settings(max_examples=100, deadline=None)
@given(problems(), st.integers(0, 2**32 - 1))
def test_no_score_depends_on_the_order_of_the_gallery(problem, seed) -> None:
    query, gallery, protocol = problem
    order = torch.tensor(np.random.default_rng(seed).permutation(len(gallery)))
    labels = (None if part is None else part[order] for part in (gallery.cameras, gallery.items))
    shuffled = Embedded(gallery.features[order], gallery.persons[order], *labels)
    plain, _ = rank_plainly(query, gallery, protocol, "cosine")
    assume(any(one.ranks for one in plain))
    assert evaluate(query, shuffled, protocol).as_dict() == evaluate(query, gallery, protocol).as_dict()


def on_a_line(places: list[float], persons: list[int], cameras: list[int] | None = None) -> Embedded:
    """Return crops whose features are places on a line: the query at 0 ranks them by distance."""
    features = torch.tensor(places, dtype=torch.float32)[:, None]
    return Embedded(features, torch.tensor(persons), None if cameras is None else torch.tensor(cameras))


@pytest.mark.parametrize(
    ("persons", "mean", "trapezoid", "penalty"),
    [
        ([1, 2, 1, 2], (1 + 2 / 3) / 2, (1 + (2 / 3 + 1 / 2) / 2) / 2, 2 / 3),
        ([2, 1, 3, 2], 1 / 2, (0 + 1 / 2) / 2, 1 / 2),
        ([1, 1, 1, 1], 1, 1, 1),
        ([2, 0, 1, 1], (1 / 3 + 2 / 4) / 2, ((0 + 1 / 3) / 2 + (1 / 3 + 2 / 4) / 2) / 2, 2 / 4),
        ([2, -1, 1, 1], (1 / 2 + 2 / 3) / 2, ((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2) / 2, 2 / 3),
    ],
    ids=["first and third", "second of four", "all right", "a distractor is wrong", "junk takes no place"],
)
def test_average_precision_and_penalty_by_hand(persons, mean, trapezoid, penalty) -> None:
    query, gallery = on_a_line([0], [1]), on_a_line([1, 2, 3, 4], persons)
    for ap, expected in (("mean", mean), ("trapezoid", trapezoid)):
        scores = evaluate(query, gallery, EVERY_OTHER_IMAGE, metric="euclidean", ap=ap)
        assert scores.mAP == pytest.approx(expected)
        assert scores.mINP == pytest.approx(penalty)


def test_crops_under_the_querys_own_camera_are_ignored_for_its_person_alone() -> None:
    query = on_a_line([0], [1], [5])
    gallery = on_a_line([1, 2, 3, 4], [1, 2, 1, 1], [5, 5, 6, 7])  # ignored, wrong, right, right
    scores = evaluate(query, gallery, metric="euclidean")
    assert scores.mAP == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores.removed.same_camera_pairs == 1
    assert evaluate(query, gallery, EVERY_OTHER_IMAGE, metric="euclidean").rank(1) == 1


def test_a_tie_is_never_a_hit() -> None:
    alike = torch.ones(6, 3)
    query = Embedded(alike[:1], torch.tensor([1]))
    gallery = Embedded(alike, torch.tensor([1, 2, 1, 3, 0, -1]))
    for metric in METRICS:
        scores = evaluate(query, gallery, EVERY_OTHER_IMAGE, metric=metric)
        assert scores.per_query.first_match_rank.tolist() == [4]
        assert scores.mAP == pytest.approx((1 / 4 + 2 / 5) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("queries", [1, 2, 3, 17])
def test_features_all_alike_score_worst_however_products_round(queries, threads, dtype) -> None:
    """Products of few rows, and the last columns of any, are computed by other kernels: see MKL on AVX2."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for width, wrong in itertools.product((3, 16, 129, 512), (1, 4, 16, 32, 99, 998)):
            one = torch.randn(1, width, dtype=dtype, generator=torch.Generator().manual_seed(width + wrong))
            query = Embedded(one.expand(queries, -1), torch.ones(queries, dtype=torch.int64))
            persons = torch.zeros(wrong + 1, dtype=torch.int64)
            persons[wrong // 2] = 1
            gallery = Embedded(one.expand(wrong + 1, -1), persons)
            for metric in METRICS:
                scores = evaluate(query, gallery, EVERY_OTHER_IMAGE, metric=metric)
                assert scores.per_query.first_match_rank.tolist() == [wrong + 1] * queries
    finally:
        torch.set_num_threads(before)


def test_only_equal_rows_are_repeated() -> None:
    features = torch.randn(3000, 40, generator=torch.Generator().manual_seed(0))
    features[:, :20] = 0  # where most numbers are zero, few tell rows apart
    features[[7, 2999]] = features[5].clone()
    features[1500] = features[0] * -1.0
    features[1500, :20] = 0.0
    features[[0, 1500], 20:] = 0.0  # a row of 0 and one of -0 are equal
    features[2000] = features[100].clone()
    features[2000, 39] += 1e-6
    repeated, first = repeated_rows(features)
    assert (repeated.tolist(), first.tolist()) == ([7, 1500, 2999], [5, 0, 5])
    assert repeated_rows(features.double())[0].tolist() == [7, 1500, 2999]
    assert [part.tolist() for part in repeated_rows(features[:1])] == [[], []]


def test_the_dictionary_is_plain_data_with_the_promised_keys() -> None:
    query, gallery = on_a_line([0, 9], [1, 7]), on_a_line([1, 2], [2, 1])
    result = evaluate(query, gallery, EVERY_OTHER_IMAGE, metric="euclidean", ap="trapezoid").as_dict()
    removed = result.pop("removed")
    assert json.loads(json.dumps(result)) == {
        "mAP": 0.25,
        "rank1": 0.0,
        "rank5": 1.0,
        "rank10": 1.0,
        "rank20": 1.0,
        "mINP": 0.5,
        "queries": 1,
        "total_queries": 2,
        "ap": "trapezoid",
        "metric": "euclidean",
        "protocol": "every-other-image",
        "gallery_side": "all",
        "cmc": "all",
        "reranking": None,
    }
    assert {rule: count for rule, count in removed.items() if count} == {"missing_person_queries": 1}


def market(queries: int = 300, gallery: int = 1500) -> tuple[Embedded, Embedded]:
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(40, 16, generator=generator)

    def side(count: int, lowest: int) -> Embedded:
        persons = torch.randint(lowest, 41, (count,), generator=generator)
        noise = torch.randn(count, 16, generator=generator)
        cameras = torch.randint(0, 4, (count,), generator=generator)
        return Embedded(centres[persons.clamp(1) - 1] + noise, persons, cameras)

    return side(queries, 1), side(gallery, -1)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions_agree(metric, dtype) -> None:
    query, gallery = market()
    rounded = [Embedded(side.features.to(dtype), side.persons, side.cameras) for side in (query, gallery)]
    scores = evaluate(query, gallery, metric=metric)
    others = evaluate(*rounded, metric=metric)
    assert others.mAP == pytest.approx(scores.mAP, abs=0 if dtype == torch.float64 else 5e-3, rel=1e-6)
    if dtype != torch.float64:  # they are computed with in float32, not in their own precision
        widened = [Embedded(side.features.float(), side.persons, side.cameras) for side in rounded]
        assert others.as_dict() == evaluate(*widened, metric=metric).as_dict()


def test_float64_features_are_compared_in_float64() -> None:
    query = Embedded(torch.zeros(1, 1, dtype=torch.float64), torch.tensor([1]))
    near = torch.tensor([[1.0], [1.0 + 1e-12]], dtype=torch.float64)
    gallery = Embedded(near, torch.tensor([1, 2]))
    assert evaluate(query, gallery, EVERY_OTHER_IMAGE, metric="euclidean").rank(1) == 1
    mixed = Embedded(query.features.float(), query.persons)
    assert evaluate(mixed, gallery, EVERY_OTHER_IMAGE, metric="euclidean").rank(1) == 1


def test_inputs_are_left_as_they_are() -> None:
    query, gallery = market()
    before = query.features.clone(), gallery.features.clone()
    evaluate(query, gallery)
    assert torch.equal(query.features, before[0])
    assert torch.equal(gallery.features, before[1])


class Watch(TorchDispatchMode):
    """Keeps the size of the largest tensor made, and the longest rows sorted."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.sorted = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, tuple) else (result,):
            if isinstance(made, torch.Tensor):
                self.largest = max(self.largest, made.numel())
        if "sort" in str(func) and args[0].ndim == 2:
            self.sorted = max(self.sorted, args[0].shape[1])
        return result


def test_neither_a_full_matrix_nor_a_full_sort() -> None:
    query, gallery = market(1100, 1500)
    with patch.object(counting, "TILE_ENTRIES", 2**16), Watch() as watch:
        scores = evaluate(query, gallery)
    assert 0 < watch.largest <= ranking.BLOCK_ROWS * 1500
    assert 0 < watch.sorted <= int(scores.per_query.matches.max())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("metric", METRICS)
def test_a_gpu_finds_the_same_scores(metric) -> None:
    generator = np.random.default_rng(0)
    sides = [
        Embedded(
            exact_features(generator, count),
            torch.tensor(generator.integers(-1, 9, count)),
            torch.tensor(generator.integers(0, 3, count)),
        )
        for count in (700, 900)
    ]
    assert (
        evaluate(*sides, metric=metric, device="cuda").as_dict() == evaluate(*sides, metric=metric).as_dict()
    )

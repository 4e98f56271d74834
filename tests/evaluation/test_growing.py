"""Galleries that grow, and galleries read a chunk at a time."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from test_scores import METRICS, Watch, exact_features, market

from resight.data.benchmark import EVERY_OTHER_IMAGE
from resight.errors import UserError
from resight.evaluation import counting, matches, ranking
from resight.evaluation.embedded import Embedded
from resight.evaluation.growing import evaluate_growing
from resight.evaluation.scores import evaluate


def with_distractors(gallery: Embedded, distractors: torch.Tensor) -> Embedded:
    none = torch.zeros(len(distractors), dtype=torch.int64)
    return Embedded(
        torch.cat([gallery.features, distractors]),
        torch.cat([gallery.persons, none]),
        torch.cat([gallery.cameras, none]),
    )


def drawn(count: int, seed: int = 5) -> torch.Tensor:
    return exact_features(np.random.default_rng(seed), count)


def exact_market() -> tuple[Embedded, Embedded]:
    query, gallery = market(60, 200)
    return replace(query, features=drawn(60, 1)), replace(gallery, features=drawn(200, 2))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("entries", [2**24, 40, 1])
def test_each_size_scores_as_a_gallery_of_its_own(metric, entries) -> None:
    query, gallery = exact_market()
    distractors, sizes = drawn(90), (0, 20, 21, 90)
    with patch.object(matches, "STREAM_ENTRIES", entries):
        grown = evaluate_growing(query, gallery, distractors, sizes, metric=metric, ap="trapezoid")
    assert grown[0].as_dict() == evaluate(query, gallery, metric=metric, ap="trapezoid").as_dict()
    everything = with_distractors(gallery, distractors)
    assert grown[3].as_dict() == evaluate(query, everything, metric=metric, ap="trapezoid").as_dict()
    curve = [scores.mAP for scores in grown]
    assert sorted(curve, reverse=True) == curve
    assert curve[3] < curve[1] < curve[0]


def test_distractors_come_in_an_order_of_their_seed_and_none_twice() -> None:
    # one match, farther than every distractor: its rank counts those that were added
    query = Embedded(torch.zeros(1, 1), torch.tensor([1]))
    gallery = Embedded(torch.tensor([[1000.0]]), torch.tensor([1]))
    distractors = torch.arange(1.0, 101.0)[:, None]
    options = {"metric": "euclidean", "protocol": EVERY_OTHER_IMAGE}
    grown = evaluate_growing(query, gallery, distractors, (0, 10, 40, 100), **options)
    assert [int(scores.per_query.first_match_rank) for scores in grown] == [1, 11, 41, 101]

    def among_the_nearest(seed: int, sizes: tuple[int, ...]) -> list[int]:
        near = Embedded(torch.tensor([[30.5]]), torch.tensor([1]))
        grown = evaluate_growing(query, near, distractors, sizes, seed=seed, **options)
        return [int(scores.per_query.first_match_rank) - 1 for scores in grown]

    counts = [among_the_nearest(seed, (10, 40, 100)) for seed in range(8)]
    assert all(count[2] == 30 for count in counts)
    assert len({tuple(count) for count in counts}) > 1
    assert 6 < np.mean([count[1] for count in counts]) < 18  # 12 of 40 are expected to be of the nearest 30
    assert among_the_nearest(3, (10, 40, 100)) == counts[3]
    assert among_the_nearest(3, (25, 40))[1] == counts[3][1]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_a_gallery_in_chunks_scores_as_a_whole_one(metric, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    query, gallery = market(150, 3000)
    persons = torch.where(torch.rand(3000, generator=generator) < 0.9, 0, gallery.persons)
    gallery = replace(gallery, persons=persons, items=torch.arange(3000))
    query = replace(query, items=torch.arange(2900, 3050))  # some are in the gallery, under another label
    whole = evaluate(query, gallery, metric=metric)
    with patch.object(matches, "STREAM_ENTRIES", 16 * 400):
        parts = evaluate(query, gallery, metric=metric)
    assert parts.as_dict() == whole.as_dict()
    assert whole.removed.itself_pairs > 50


@pytest.mark.parametrize("width", [128, 300, 1000])
def test_features_all_alike_score_worst_in_chunks_too(width) -> None:
    generator = torch.Generator().manual_seed(width)
    one = torch.randn(1, width, generator=generator)
    query = Embedded(one.expand(300, -1), torch.randint(1, 9, (300,), generator=generator))
    gallery = Embedded(one.expand(2000, -1), torch.zeros(2000, dtype=torch.int64))
    gallery.persons[500:600] = torch.randint(1, 9, (100,), generator=generator)
    for metric in METRICS:
        with patch.object(matches, "STREAM_ENTRIES", 256 * width):
            scores = evaluate(query, gallery, EVERY_OTHER_IMAGE, metric=metric)
        worst = 2001 - (gallery.persons[None] == query.persons[:, None]).sum(1)
        assert torch.equal(scores.per_query.first_match_rank, worst)


def test_no_more_than_a_chunk_is_copied() -> None:
    query, gallery = market(200, 300)
    distractors = torch.randn(6_000, 16, generator=torch.Generator().manual_seed(0))
    everything = with_distractors(gallery, distractors)
    with (
        patch.object(matches, "STREAM_ENTRIES", 16 * 500),
        patch.object(counting, "TILE_ENTRIES", 2**15),
        patch.object(counting, "TILE_COLUMNS", 1024),
        patch("resight.evaluation.features.CHUNK_ENTRIES", 2**12),
        patch.object(ranking, "BLOCK_ROWS", 64),
        patch.object(matches, "BLOCK_ROWS", 64),
        Watch() as watch,
    ):
        parts = evaluate(query, everything)
        grown = evaluate_growing(query, gallery, distractors, (0, 6_000))
    assert watch.largest <= 64 * 1000
    assert grown[1].mAP == pytest.approx(parts.mAP, rel=1e-4)


def test_wrong_sizes_and_distractors_are_named() -> None:
    query, gallery = market(10, 50)
    distractors = torch.randn(30, 16)
    for sizes, said in (((0, 31), "0, 31"), ((5, 5), "5, 5"), ((-1, 3), "-1, 3"), ((), "none")):
        with pytest.raises(UserError, match=f"at most the 30 that there are; got {said}"):
            evaluate_growing(query, gallery, distractors, sizes)
    with pytest.raises(UserError, match=r"16 numbers per crop, like the queries; got the shape \(30, 9\)"):
        evaluate_growing(query, gallery, distractors[:, :9], (0, 30))
    distractors[17] = torch.nan
    with pytest.raises(UserError, match=r"In the distractors, 1 of 30 rows \(17\) is NaN"):
        evaluate_growing(query, gallery, distractors, (0, 30))

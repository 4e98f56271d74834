"""Re-ranking: against the definition, by hand, and within its bounds of memory."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_reranking import rerank_plainly
from plain_scores import mean_precision
from test_scores import Watch, market

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.errors import UserError
from resight.evaluation import counting, neighbours, ranking, reranking
from resight.evaluation.embedded import Embedded
from resight.evaluation.ranking import nearest
from resight.evaluation.reranking import Reranking, rerank
from resight.evaluation.scores import evaluate

SIZES = [(512, 2**24, 2**21, 4096), (1, 1, 1, 1), (7, 300, 40, 9)]  # blocks, tables, pairs, columns


def distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")


def all_distances(query: torch.Tensor, gallery: torch.Tensor) -> list[torch.Tensor]:
    return [distances(query, gallery), distances(query, query), distances(gallery, gallery)]


def clustered(seed: int, queries: int, gallery: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(max(2, (queries + gallery) // 9), 6, generator=generator)
    who = torch.randint(0, len(centres), (queries + gallery,), generator=generator)
    features = centres[who] + 0.6 * torch.randn(queries + gallery, 6, generator=generator)
    return features[:queries], features[queries:]


def reranked(query: torch.Tensor, gallery: torch.Tensor, chosen: Reranking, **options) -> torch.Tensor:
    """Return new distances [Q, G] by way of features and ``nearest``."""
    sides = [
        Embedded(features, torch.ones(len(features), dtype=torch.int64)) for features in (query, gallery)
    ]
    options = {"metric": "euclidean", "reranking": chosen, **options}
    columns, values = nearest(*sides, EVERY_OTHER_IMAGE, len(gallery), **options)
    return torch.empty_like(values).scatter_(1, columns, values)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.integers(30, 60),
    st.sampled_from([(20, 6, 0.3), (7, 1, 0.0), (5, 9, 0.5), (1, 30, 1.0), (10, 2, 0.1)]),
    st.sampled_from(SIZES),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
)
def test_distances_equal_the_plain_ones(seed, queries, gallery, numbers, sizes, dtype, ties) -> None:
    sides = clustered(seed, queries, gallery)
    if ties:  # small integers: many equal distances, and crops that are alike
        sides = [(side * 1.5).round() for side in sides]
    sides = [side.to(dtype) for side in sides]
    given_distances = all_distances(*sides)
    plain = rerank_plainly(*(part.numpy() for part in given_distances), *numbers)
    with (
        patch.object(reranking, "BLOCK_ROWS", sizes[0]),
        patch.object(reranking, "TABLE_ENTRIES", sizes[1]),
        patch.object(reranking, "PAIRS", sizes[2]),
        patch.object(neighbours, "BLOCK_ROWS", sizes[0]),
        patch.object(neighbours, "COLUMNS", sizes[3]),
    ):
        from_distances = rerank(*given_distances, Reranking(*numbers))
        from_features = reranked(*sides, Reranking(*numbers))
    assert np.abs(from_distances.numpy() - plain).max() < 1e-12
    if ties or dtype == torch.float64:  # else two distances may be nearer than float32 tells
        assert np.abs(from_features.numpy() - plain).max() < 1e-5


def test_the_cosine_reranks_features_of_length_one() -> None:
    sides = [side.double() for side in clustered(0, 10, 60)]
    unit = [side / side.norm(dim=1, keepdim=True) for side in sides]
    scaled = [side * torch.linspace(0.5, 20, len(side)).double()[:, None] for side in sides]
    expected = rerank(*all_distances(*unit))
    assert torch.allclose(reranked(*scaled, Reranking(), metric="cosine"), expected, atol=1e-10)


def test_three_crops_by_hand() -> None:
    query, gallery = torch.tensor([[0.0]]), torch.tensor([[1.0], [3.0]])
    # with k1 = 1 the query and the crop at 1 are each other's neighbours, the crop at 3 is no one's
    near, far = (
        np.exp(-1 / 9),
        np.exp(-1 / 4),
    )  # squared distance 1, farthest 9 of the query and 4 of the crop
    shared = min(1 / (1 + near), far / (1 + far)) + min(near / (1 + near), 1 / (1 + far))
    expected = [0.7 * (1 - shared / (2 - shared)) + 0.3 / 9, 0.7 + 0.3]
    new = rerank(*all_distances(query, gallery), Reranking(k1=1, k2=1, original=0.3))
    assert new.tolist() == [pytest.approx(expected)]


def test_scores_are_those_of_the_new_distances() -> None:
    query, gallery = market(40, 200)
    kept = (gallery.persons != -1).nonzero()[:, 0]  # junk has no part in it
    sides = query.features.double(), gallery.features.double()
    new = rerank(*all_distances(sides[0], sides[1][kept]))
    expected = []
    for row, person, camera in zip(new, query.persons, query.cameras, strict=True):
        order = row.argsort()
        right = gallery.persons[kept[order]] == person
        own = right & (gallery.cameras[kept[order]] == camera)
        expected.append(mean_precision(right[~own].tolist()) if right[~own].any() else np.nan)
    double = [replace(side, features=side.features.double()) for side in (query, gallery)]
    scores = evaluate(*double, metric="euclidean", reranking=Reranking())
    assert scores.per_query.average_precision.tolist() == pytest.approx(expected, nan_ok=True)
    assert scores.as_dict()["reranking"] == {"k1": 20, "k2": 6, "lambda": 0.3}
    assert scores.mAP > evaluate(*double, metric="euclidean").mAP
    indices, shown = nearest(*double, Protocol(), 3, metric="euclidean", reranking=Reranking(), rows=[5])
    counts = (gallery.persons[kept] != query.persons[5]) | (gallery.cameras[kept] != query.cameras[5])
    assert shown[0].tolist() == pytest.approx(new[5][counts].sort().values[:3].tolist())
    assert indices[0].tolist() == kept[counts][new[5][counts].argsort()[:3]].tolist()


def test_junk_may_take_part_and_is_left_out_afterwards() -> None:
    """As the authors' Market-1501 script does: re-rank everything, then drop the junk's columns."""
    query, gallery = (replace(side, features=side.features.double()) for side in market(40, 200))
    kept = (gallery.persons != -1).nonzero()[:, 0]
    assert 0 < len(kept) < len(gallery)
    new = rerank(*all_distances(query.features, gallery.features))[:, kept]
    expected = []
    for row, person, camera in zip(new, query.persons, query.cameras, strict=True):
        order = row.argsort()
        right = gallery.persons[kept[order]] == person
        own = right & (gallery.cameras[kept[order]] == camera)
        expected.append(mean_precision(right[~own].tolist()) if right[~own].any() else np.nan)
    with_junk = evaluate(query, gallery, metric="euclidean", reranking=Reranking(junk=True))
    assert with_junk.per_query.average_precision.tolist() == pytest.approx(expected, nan_ok=True)
    assert with_junk.as_dict()["reranking"] == {"k1": 20, "k2": 6, "lambda": 0.3, "junk": True}
    without = evaluate(query, gallery, metric="euclidean", reranking=Reranking())
    assert with_junk.mAP != without.mAP
    assert with_junk.removed == without.removed
    clean = gallery.take(kept)
    assert evaluate(query, clean, metric="euclidean", reranking=Reranking(junk=True)).mAP == without.mAP
    indices, shown = nearest(
        query, gallery, Protocol(), 3, metric="euclidean", reranking=Reranking(junk=True), rows=[5]
    )
    counts = (gallery.persons[kept] != query.persons[5]) | (gallery.cameras[kept] != query.cameras[5])
    assert shown[0].tolist() == pytest.approx(new[5][counts].sort().values[:3].tolist())
    assert indices[0].tolist() == kept[counts][new[5][counts].argsort()[:3]].tolist()


def test_features_that_are_all_alike_score_worst() -> None:
    query = Embedded(torch.ones(1, 3), torch.tensor([1]))
    gallery = Embedded(torch.ones(30, 3), torch.tensor([1, 1, *range(2, 30)]))
    for metric in ("cosine", "euclidean"):
        scores = evaluate(query, gallery, EVERY_OTHER_IMAGE, metric=metric, reranking=Reranking(k2=1))
        assert scores.mAP < 0.1


def test_what_is_held_is_far_less_than_a_matrix() -> None:
    query, gallery = market(100, 700)
    with (
        patch.object(reranking, "BLOCK_ROWS", 32),
        patch.object(neighbours, "BLOCK_ROWS", 32),
        patch.object(reranking, "TABLE_ENTRIES", 2**14),
        patch.object(reranking, "PAIRS", 2**14),
        patch.object(ranking, "BLOCK_ROWS", 32),
        patch.object(counting, "TILE_ENTRIES", 2**14),
        patch.object(counting, "TILE_COLUMNS", 256),
        Watch() as watch,
    ):
        evaluate(query, gallery, reranking=Reranking())
    assert 0 < watch.largest < 800 * 800 / 10


def test_what_cannot_be_reranked_is_said() -> None:
    query, gallery = market(10, 20)
    crops = int((gallery.persons != -1).sum())
    with pytest.raises(UserError, match=rf"k1 = 20 .* the gallery has {crops} crops that are not junk"):
        evaluate(query, gallery, reranking=Reranking())
    with pytest.raises(UserError, match="averages k2 = 99"):
        evaluate(query, gallery, reranking=Reranking(k1=5, k2=99))
    for numbers in ((0, 6, 0.3), (20, 0, 0.3), (20, 6, -0.1), (20, 6, float("nan"))):
        with pytest.raises(UserError, match="k1 and k2 of 1 or more and lambda from 0 to 1; got k1 = "):
            Reranking(*numbers)
    square = torch.ones(3, 3)
    with pytest.raises(
        UserError, match=r"\[2, 2\] among the queries and \[3, 3\] in the gallery; got \[3, 3\]"
    ):
        rerank(torch.ones(2, 3), square, square, Reranking(1, 1))
    with pytest.raises(UserError, match="some are NaN"):
        rerank(torch.full((3, 3), torch.nan), square, square, Reranking(1, 1))
    features = query.features.clone()
    features[7] = 0
    with pytest.raises(UserError, match=r"In the query, 1 of 10 rows \(7\) is zero"):
        evaluate(replace(query, features=features), gallery, reranking=Reranking(5, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gpu_finds_the_same_distances(dtype) -> None:
    sides = [(side * 1.5).round().to(dtype) for side in clustered(3, 40, 400)]
    here, there = (reranked(*sides, Reranking(), device=device).cpu() for device in ("cpu", "cuda"))
    assert torch.allclose(here, there, atol=1e-5)

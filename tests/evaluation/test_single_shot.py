"""Single-gallery-shot CMC and the opposite side of the gallery, against enumerations of what can be drawn."""

from dataclasses import replace
from itertools import product
from unittest.mock import patch

import pytest
import torch

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.errors import UserError
from resight.evaluation import ranking
from resight.evaluation.embedded import Embedded
from resight.evaluation.growing import evaluate_growing
from resight.evaluation.ranking import nearest
from resight.evaluation.reranking import Reranking
from resight.evaluation.scores import evaluate

OLD = Protocol("old", gallery_side="opposite", cmc="single-shot", draws=1)


def sides(persons: int = 4, each: int = 3, seed: int = 0) -> tuple[Embedded, Embedded]:
    """Return all crops as queries and as gallery: each person as often under each of two cameras."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(1, persons + 1).repeat_interleave(2 * each)
    cameras = torch.tensor([1, 2]).repeat_interleave(each).repeat(persons)
    centres = torch.randn(persons, 5, generator=generator, dtype=torch.float64)[labels - 1]
    noise = torch.randn(len(labels), 5, generator=generator, dtype=torch.float64)
    crops = Embedded(centres + 0.8 * noise, labels, cameras, torch.arange(len(labels)))
    return crops, crops


def enumerated(query: Embedded, gallery: Embedded, row: int, opposite: bool) -> list[int]:
    """Return the rank of a query's match in every gallery of one crop a person that may be drawn."""
    person, camera = query.persons[row], query.cameras[row]
    distance = (gallery.features - query.features[row]).norm(dim=1)
    choices = []
    for other in gallery.persons[gallery.persons > 0].unique():
        counts = gallery.persons == other
        if opposite or other == person:
            counts = counts & (gallery.cameras != camera)
        places = counts.nonzero()[:, 0]
        if len(places):
            choices.append([(float(distance[place]), bool(other == person)) for place in places])
    distractors = gallery.persons == 0
    if opposite:
        distractors = distractors & (gallery.cameras != camera)
    alone = [(float(distance[place]), False) for place in distractors.nonzero()[:, 0]]
    return [1 + [match for _, match in sorted([*drawn, *alone])].index(True) for drawn in product(*choices)]


@pytest.mark.parametrize("opposite", [True, False])
@pytest.mark.parametrize("block", [512, 7])
def test_draws_are_of_all_galleries_of_one_crop_a_person(opposite: bool, block: int) -> None:
    query, gallery = sides()
    gallery = replace(
        gallery,
        features=torch.cat([gallery.features, gallery.features[:3] + 0.3]),
        persons=torch.cat([gallery.persons, torch.tensor([0, 0, -1])]),
        cameras=torch.cat([gallery.cameras, torch.tensor([1, 2, 1])]),
        items=torch.arange(len(gallery) + 3),
    )
    side = "opposite" if opposite else "all"
    protocol = Protocol(gallery_side=side, cmc="single-shot", draws=4000)  # type: ignore[arg-type]
    with patch.object(ranking, "BLOCK_ROWS", block):
        scores = evaluate(query, gallery, protocol, metric="euclidean")
    assert scores.drawn_ranks is not None
    assert scores.drawn_ranks.shape == (4000, len(query))
    for row in range(len(query)):
        possible = torch.tensor(enumerated(query, gallery, row, opposite))
        for k in (1, 2, 3):
            expected = (possible <= k).double().mean()
            found = (scores.drawn_ranks[:, row] <= k).double().mean()
            spread = (expected * (1 - expected) / 4000).sqrt()
            assert abs(found - expected) <= 4.5 * spread + 1e-12
    assert scores.rank(1) == pytest.approx(float((scores.drawn_ranks == 1).double().mean()))
    assert scores.cmc[1] == pytest.approx(scores.rank(2))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_opposite_side_is_a_gallery_without_the_querys_camera(metric: str) -> None:
    query, gallery = sides(6)
    scores = evaluate(query, gallery, replace(OLD, cmc="all"), metric=metric)  # type: ignore[arg-type]
    for camera in (1, 2):
        rows = (query.cameras == camera).nonzero()[:, 0]
        others = gallery.take((gallery.cameras != camera).nonzero()[:, 0])
        alone = evaluate(query.take(rows), others, metric=metric)  # type: ignore[arg-type]
        assert torch.equal(scores.per_query.average_precision[rows], alone.per_query.average_precision)
        assert torch.equal(scores.per_query.first_match_rank[rows], alone.per_query.first_match_rank)
    indices, _ = nearest(query, gallery, replace(OLD, cmc="all"), 40, metric=metric)  # type: ignore[arg-type]
    seen = torch.where(indices >= 0, gallery.cameras[indices], -1)
    assert (seen != query.cameras[:, None]).all()
    assert (indices < 0).sum(1).unique().tolist() == [len(gallery) // 2 - (len(gallery) - 36)]


def test_the_average_precision_is_of_all_pictures_and_may_lie_below_rank_1() -> None:
    query, gallery = sides(20, seed=3)
    scores = evaluate(query, gallery, replace(OLD, draws=50))
    whole = evaluate(query, gallery, replace(OLD, cmc="all"))
    assert torch.equal(scores.per_query.average_precision, whole.per_query.average_precision)
    assert scores.mAP == whole.mAP
    told = scores.as_dict()
    assert (told["cmc"], told["gallery_side"], told["draws"]) == ("single-shot", "opposite", 50)
    assert (whole.as_dict()["cmc"], "draws" in whole.as_dict()) == ("all", False)


def test_one_picture_a_person_makes_draws_the_plain_cmc() -> None:
    query, gallery = sides(12, each=1)
    scores = evaluate(query, gallery, replace(OLD, draws=3))
    plain = evaluate(query, gallery, replace(OLD, cmc="all"))
    assert torch.equal(scores.cmc, plain.cmc)
    assert torch.equal(scores.drawn_ranks, plain.per_query.first_match_rank.expand(3, -1))


def test_draws_are_the_same_each_time_and_the_same_for_more_draws() -> None:
    query, gallery = sides(8)
    first, again, more = (
        evaluate(query, gallery, replace(OLD, draws=draws)).drawn_ranks for draws in (4, 4, 6)
    )
    assert torch.equal(first, again)
    assert torch.equal(more[:4], first)
    assert not torch.equal(more[4], first[0])


def test_draws_of_reranked_distances() -> None:
    query, gallery = sides(12)
    reranking = Reranking(k1=6, k2=3)
    scores = evaluate(query, gallery, replace(OLD, draws=30), reranking=reranking)
    assert scores.mAP == evaluate(query, gallery, replace(OLD, cmc="all"), reranking=reranking).mAP
    one = sides(30, each=1)
    drawn = evaluate(*one, OLD, reranking=reranking)
    assert torch.equal(drawn.cmc, evaluate(*one, replace(OLD, cmc="all"), reranking=reranking).cmc)


def test_a_person_in_one_view_only_is_no_query_and_no_one_to_confuse_with() -> None:
    query, _ = sides(4)
    one_view = replace(query, cameras=torch.where(query.persons == 1, 1, query.cameras))
    scores = evaluate(one_view, one_view, OLD)
    assert (scores.queries, scores.total_queries) == (18, 24)
    assert scores.removed.only_same_camera_queries == 6
    seen = one_view.take((one_view.persons != 1).nonzero()[:, 0])
    without = evaluate(seen, one_view, OLD)
    assert without.mAP == scores.mAP
    alone = replace(query, cameras=torch.ones_like(query.cameras))
    with pytest.raises(UserError, match=r"None of the 24 queries has a match.*only seen by their own camera"):
        evaluate(alone, alone, OLD)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UserError, match=r"Unknown cmc 'single'\. Known: all, single-shot\."):
        Protocol(cmc="single")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"Unknown gallery_side 'other'\. Known: all, opposite\."):
        Protocol(gallery_side="other")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"needs one draw or more; got 0"):
        replace(OLD, draws=0)
    with pytest.raises(UserError, match="cameras must be known and"):
        replace(EVERY_OTHER_IMAGE, gallery_side="opposite")
    query, gallery = sides()
    with pytest.raises(UserError, match="the query has no cameras"):
        evaluate(replace(query, cameras=None), gallery, OLD)
    with pytest.raises(UserError, match="Distractors have no camera"):
        evaluate_growing(query, gallery, gallery.features, (0, 5), OLD)

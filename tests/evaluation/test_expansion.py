"""Query expansion and database-side augmentation, by hand and against a plain implementation."""

from dataclasses import replace

import pytest
import torch
from test_scores import METRICS, market

from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.expansion import augment_gallery, centralise_neighbours, expand_queries
from resight.evaluation.scores import evaluate


def on_a_line(places: list[float], persons: list[int]) -> Embedded:
    return Embedded(torch.tensor(places, dtype=torch.float32)[:, None], torch.tensor(persons))


def test_by_hand() -> None:
    query, gallery = on_a_line([0], [1]), on_a_line([0.5, 1, 4, 9], [-1, 1, 2, 2])
    expanded = expand_queries(query, gallery, 2, metric="euclidean")
    assert expanded.features.tolist() == [[pytest.approx(5 / 3)]]  # junk at 0.5 is left out
    augmented = augment_gallery(gallery, 1, metric="euclidean")
    assert augmented.features.flatten().tolist() == [0.5, 2.5, 2.5, 6.5]
    assert query.features.tolist() == [[0]]
    assert gallery.features.flatten().tolist() == [0.5, 1, 4, 9]


def test_a_query_in_the_gallery_is_not_its_own_neighbour() -> None:
    crops = replace(on_a_line([0, 1, 5], [1, 1, 2]), items=torch.arange(3))
    expanded = expand_queries(crops, crops, 1, metric="euclidean")
    assert expanded.features.flatten().tolist() == [0.5, 0.5, 3]


@pytest.mark.parametrize("metric", METRICS)
def test_means_are_the_plain_ones(metric) -> None:
    query, gallery = (replace(side, features=side.features.double()) for side in market(50, 300))
    kept = gallery.features[gallery.persons != -1]
    if metric == "cosine":
        query = replace(query, features=query.features / query.features.norm(dim=1, keepdim=True))
        kept = kept / kept.norm(dim=1, keepdim=True)
    near = torch.cdist(query.features, kept).argsort(1)[:, :4]
    plain = torch.stack(
        [torch.cat([own[None], kept[row]]).mean(0) for own, row in zip(query.features, near, strict=True)]
    )
    assert torch.allclose(expand_queries(query, gallery, 4, metric=metric).features, plain)


def test_mutual_neighbours_are_added_by_hand() -> None:
    query, gallery = on_a_line([0], [1]), on_a_line([0.1, 1, 3, 9], [-1, 1, 2, 2])  # junk at 0.1
    found = centralise_neighbours(query, gallery, 1, metric="euclidean")
    assert found[0].features.flatten().tolist() == [1]  # 0 + 1
    assert found[1].features.flatten().tolist() == pytest.approx([0.1, 1, 3, 9])  # 1 + 0; 3 has no mutual one
    assert gallery.features.flatten().tolist() == pytest.approx([0.1, 1, 3, 9])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shared", [False, True])
def test_mutual_neighbours_are_the_plain_ones(metric, shared: bool) -> None:
    query, gallery = (replace(side, features=side.features.double()) for side in market(50, 300))
    if shared:  # all queries are in the gallery, too
        gallery = replace(gallery, items=torch.arange(len(gallery.persons)))
        query = gallery.take(torch.arange(0, 100, 2))
    kept = (gallery.persons != -1).nonzero()[:, 0]
    if shared:
        query = query.take((query.persons != -1).nonzero()[:, 0])
    features = torch.cat([query.features, gallery.features[kept]])
    numbers = torch.cat([query.items, gallery.items[kept]]).tolist() if shared else range(len(features))
    if metric == "cosine":
        features = features / features.norm(dim=1, keepdim=True)
    one_of = {number: row for row, number in enumerate(numbers)}  # crops, each once
    near = {}
    for number, row in one_of.items():
        far = {other: float((features[row] - features[at]).norm()) for other, at in one_of.items()}
        near[number] = sorted(far.keys() - {number}, key=far.__getitem__)[:3]
    plain = features.clone()
    for row, number in enumerate(numbers):
        for other in near[number]:
            if number in near[other]:
                plain[row] += features[one_of[other]]
    queries, crops = centralise_neighbours(query, gallery, 3, metric=metric)
    assert torch.allclose(queries.features, plain[: len(query.persons)])
    assert torch.allclose(crops.features[kept], plain[len(query.persons) :])
    junk = gallery.persons == -1
    assert torch.equal(crops.features[junk], gallery.features[junk])


def test_both_help_where_crops_are_clustered() -> None:
    query, gallery = market()
    before = evaluate(query, gallery).mAP
    expanded = evaluate(expand_queries(query, gallery, 5), gallery).mAP
    augmented = augment_gallery(gallery, 5)
    assert before < expanded < evaluate(expand_queries(query, augmented, 5), augmented).mAP


def test_wrong_numbers_and_features_are_named() -> None:
    query, gallery = on_a_line([1], [1]), on_a_line([1, 2, 3, 4], [1, -1, 2, 3])
    for neighbours in (0, 4):
        with pytest.raises(UserError, match=rf"From 1 to 3 neighbours .* not junk; got {neighbours}"):
            expand_queries(query, gallery, neighbours)
    with pytest.raises(UserError, match="From 1 to 2 neighbours"):
        augment_gallery(gallery, 3)
    with pytest.raises(UserError, match="From 1 to 3 neighbours"):
        centralise_neighbours(query, gallery, 4)
    with pytest.raises(UserError, match="2 crops, all junk"):
        augment_gallery(on_a_line([1, 2], [-1, -1]), 1)
    gallery.features[2] = torch.nan
    with pytest.raises(UserError, match=r"In the gallery, 1 of 4 rows \(2\) is NaN"):
        augment_gallery(gallery, 1)

"""Query expansion and database-side augmentation, by hand and against a plain implementation."""

from dataclasses import replace

import pytest
import torch
from test_scores import METRICS, market

from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.expansion import augment_gallery, expand_queries
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
    with pytest.raises(UserError, match="2 crops, all junk"):
        augment_gallery(on_a_line([1, 2], [-1, -1]), 1)
    gallery.features[2] = torch.nan
    with pytest.raises(UserError, match=r"In the gallery, 1 of 4 rows \(2\) is NaN"):
        augment_gallery(gallery, 1)

"""Scores of a benchmark whose queries and gallery are drawn."""

from pathlib import Path

import torch

from resight.data.benchmark import Benchmark, Draw
from resight.data.crop import Crop
from resight.evaluation.embedded import Embedded
from resight.evaluation.expansion import augment_gallery, expand_queries
from resight.evaluation.repeated import RepeatedScores
from resight.evaluation.reranking import Reranking
from resight.evaluation.scores import evaluate
from resight.training.testing import EmbeddedBenchmark, score_benchmark, take_draw


def test_each_draw_is_averaged_and_reranked_by_itself() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(60, 8, generator=generator)
    persons, cameras = torch.arange(60) % 6 + 1, torch.arange(60) // 6 % 2
    crops = tuple(
        Crop(Path(f"{number}.jpg"), person, camera)
        for number, (person, camera) in enumerate(zip(persons.tolist(), cameras.tolist(), strict=True))
    )
    query, gallery = (
        Embedded(features[side], persons[side], cameras[side]) for side in (slice(0, 18), slice(18, 60))
    )
    # the last query and the last gallery crop could not be read, and are not drawn
    embedded = EmbeddedBenchmark(
        query.take(torch.arange(17)), gallery.take(torch.arange(41)), crops[:17], crops[18:59]
    )
    draws = (Draw(crops[:12], crops[18:48]), Draw(crops[6:18], crops[28:60]))
    benchmark = Benchmark("sixty", Path(), query=crops[:18], gallery=crops[18:], draws=draws)
    how = Reranking(k1=6, k2=3)
    found = score_benchmark(embedded, benchmark, augment_gallery=2, expand_queries=3, reranking=how)
    assert isinstance(found, RepeatedScores)
    for (rows, columns), scores in zip(
        [(range(12), range(30)), (range(6, 17), range(10, 41))], found.draws, strict=True
    ):
        galleries = augment_gallery(gallery.take(torch.tensor(columns)), 2)
        queries = expand_queries(query.take(torch.tensor(rows)), galleries, 3)
        assert scores.mAP == evaluate(queries, galleries, reranking=how).mAP
    assert found.as_dict()["reranking"] == {"k1": 6, "k2": 3, "lambda": 0.3}
    part = take_draw(embedded, draws[1])
    assert (part.query_crops, part.gallery_crops) == (crops[6:17], crops[28:59])
    assert part.query.features.tolist() == features[6:17].tolist()

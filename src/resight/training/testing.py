"""Testing a model on a benchmark: embed query and gallery, score them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from resight.data.benchmark import Benchmark, Draw
from resight.data.cache import PixelCache
from resight.data.crop import Crop, track_of
from resight.errors import UserError
from resight.evaluation.classification import ClassificationScores
from resight.evaluation.embedded import Embedded
from resight.evaluation.expansion import postprocess
from resight.evaluation.features import Metric
from resight.evaluation.pooling import pool_queries
from resight.evaluation.repeated import RepeatedScores
from resight.evaluation.reranking import Reranking
from resight.evaluation.scores import AveragePrecision, Scores, evaluate
from resight.files import write_json
from resight.models.embedding import BatchEmbedder


@dataclass(frozen=True, slots=True)
class EmbeddedBenchmark:
    """The test part of a benchmark, embedded.

    Attributes:
        query, gallery: features and labels.
        query_crops, gallery_crops: the crop of each row.
        skipped: path and reason of each unreadable crop, which was left out.
    """

    query: Embedded
    gallery: Embedded
    query_crops: tuple[Crop, ...]
    gallery_crops: tuple[Crop, ...]
    skipped: tuple[tuple[Path, str], ...] = ()


def embed_benchmark(
    embedder: BatchEmbedder,
    benchmark: Benchmark,
    *,
    skip_unreadable: bool = False,
) -> EmbeddedBenchmark:
    """Embed query and gallery, each crop once, and pool queries if the protocol does.

    Args:
        embedder: a ``models.embedding.PixelEmbedder`` or an ``inference.Embedder``.
        benchmark: with a test part.
        skip_unreadable: leave unreadable images out.

    Raises:
        UserError: there is no test part, an image is unreadable, or the model has no such branch.
    """
    if not benchmark.query or not benchmark.gallery:
        raise UserError(
            f"The data set {benchmark.root} has no test part: {len(benchmark.query)} queries, "
            f"{len(benchmark.gallery)} gallery crops. Hold persons out with --holdout N."
        )
    distinct = list(dict.fromkeys((*benchmark.query, *benchmark.gallery, *benchmark.query_pool)))
    cache = PixelCache.open(
        distinct, embedder.picture_size, how=embedder.resizing, skip_unreadable=skip_unreadable
    )
    features = embedder.embed(cache.pixels, [crop.path for crop in cache.crops])
    row = {crop: index for index, crop in enumerate(cache.crops)}
    query_crops = tuple(crop for crop in benchmark.query if crop in row)
    gallery_crops = tuple(crop for crop in benchmark.gallery if crop in row)
    shared = not set(query_crops).isdisjoint(gallery_crops)

    def embedded(crops: Sequence[Crop]) -> Embedded:
        rows = torch.tensor([row[crop] for crop in crops], dtype=torch.int64)
        known = _numbers([crop.camera for crop in crops]), _numbers([crop.clothes for crop in crops])
        persons = torch.tensor([crop.person for crop in crops], dtype=torch.int64)
        return Embedded(features[rows], persons, known[0], rows if shared else None, known[1])

    query, gallery = embedded(query_crops), embedded(gallery_crops)
    if benchmark.protocol.tracks:
        query, query_crops = _of_tracks(query, query_crops)
        gallery, gallery_crops = _of_tracks(gallery, gallery_crops)
    if benchmark.protocol.pooling is not None:
        images = embedded([crop for crop in benchmark.query_pool if crop in row])
        query = pool_queries(query, images, benchmark.protocol.pooling)
    return EmbeddedBenchmark(query, gallery, query_crops, gallery_crops, cache.skipped)


def _numbers(labels: Sequence[int | None]) -> torch.Tensor | None:
    """Return labels as a tensor, None if one of them is not known."""
    return None if None in labels else torch.tensor(labels, dtype=torch.int64)


def _of_tracks(embedded: Embedded, crops: Sequence[Crop]) -> tuple[Embedded, tuple[Crop, ...]]:
    """Return the mean feature of each track, with the labels of its first crop, and those crops."""
    first: dict[Hashable, int] = {}
    for row, crop in enumerate(crops):
        first.setdefault(track_of(crop), row)
    place = {track: number for number, track in enumerate(first)}
    tracks = torch.tensor([place[track_of(crop)] for crop in crops], dtype=torch.int64)
    rows = torch.tensor(list(first.values()), dtype=torch.int64)
    sums = embedded.features.new_zeros(len(rows), embedded.features.shape[1])
    means = sums.index_add(0, tracks, embedded.features) / tracks.bincount()[:, None]
    return replace(embedded.take(rows), features=means), tuple(crops[row] for row in first.values())


def score_benchmark(
    embedded: EmbeddedBenchmark,
    benchmark: Benchmark,
    *,
    metric: Metric = "cosine",
    reranking: Reranking | None = None,
    camera_normalise: bool = False,
    centralise_neighbours: int = 0,
    augment_gallery: int = 0,
    expand_queries: int = 0,
    ap: AveragePrecision = "mean",
    device: torch.device | str | None = None,
) -> Scores | RepeatedScores:
    """Score by the benchmark's protocol: all queries against the whole gallery, or each draw.

    Args:
        embedded: from ``embed_benchmark``; unreadable crops are not drawn.
        benchmark: with a test part.
        metric, reranking, ap, device: as in ``evaluation.scores.evaluate``.
        camera_normalise, centralise_neighbours, augment_gallery, expand_queries: steps on the features before
            ranking, for each draw separately (``evaluation.expansion.postprocess``).
    """

    def score(part: EmbeddedBenchmark) -> Scores:
        query, gallery = postprocess(
            part.query,
            part.gallery,
            camera_normalise=camera_normalise,
            centralise=centralise_neighbours,
            augment=augment_gallery,
            expand=expand_queries,
            metric=metric,
            device=device,
        )
        return evaluate(
            query, gallery, benchmark.protocol, metric=metric, reranking=reranking, ap=ap, device=device
        )

    if not benchmark.draws:
        return score(embedded)
    return RepeatedScores(tuple(score(take_draw(embedded, draw)) for draw in benchmark.draws))


def take_draw(embedded: EmbeddedBenchmark, draw: Draw) -> EmbeddedBenchmark:
    """Return the rows of a draw, without unreadable crops."""

    def rows(drawn: Sequence[Crop], crops: Sequence[Crop]) -> list[int]:
        row = {crop: index for index, crop in enumerate(crops)}
        return [row[crop] for crop in drawn if crop in row]

    queries, gallery = rows(draw.query, embedded.query_crops), rows(draw.gallery, embedded.gallery_crops)
    return replace(
        embedded,
        query=embedded.query.take(torch.tensor(queries, dtype=torch.int64)),
        gallery=embedded.gallery.take(torch.tensor(gallery, dtype=torch.int64)),
        query_crops=tuple(embedded.query_crops[row] for row in queries),
        gallery_crops=tuple(embedded.gallery_crops[row] for row in gallery),
    )


def save_scores(scores: Scores | RepeatedScores | ClassificationScores, path: Path) -> None:
    """Write the scores as JSON."""
    write_json(path, scores.as_dict())

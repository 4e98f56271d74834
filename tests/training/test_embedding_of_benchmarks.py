"""embed_benchmark: which crops, which labels, each crop once."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from torch import Tensor

from resight.data.benchmark import EVERY_OTHER_IMAGE
from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.evaluation.scores import evaluate
from resight.models.embedding import PixelEmbedder
from resight.training.testing import embed_benchmark


class Counting(tiny.Tiny):
    """Counts the images that it embeds."""

    seen = 0

    def embed(self, images: Tensor, branches: object = None) -> Tensor:
        Counting.seen += len(images)  # the model is copied before it embeds
        return super().embed(images)


def embedder(batch_size: int = 64) -> PixelEmbedder:
    torch.manual_seed(0)
    return PixelEmbedder(Counting(3), device=torch.device("cpu"), batch_size=batch_size)


def test_rows_are_the_crops_in_their_order(tiny_data: Path) -> None:
    benchmark = open_benchmark(tiny_data)
    found = embed_benchmark(embedder(4), benchmark)
    assert found.query_crops == benchmark.query
    assert found.gallery_crops == benchmark.gallery
    for embedded, crops in ((found.query, benchmark.query), (found.gallery, benchmark.gallery)):
        assert embedded.features.shape == (len(crops), 8)
        assert embedded.persons.tolist() == [crop.person for crop in crops]
        assert embedded.cameras is not None
        assert embedded.cameras.tolist() == [crop.camera for crop in crops]
        assert embedded.items is None
    backwards = replace(benchmark, gallery=benchmark.gallery[::-1])
    again = embed_benchmark(embedder(5), backwards)
    torch.testing.assert_close(again.gallery.features.flip(0), found.gallery.features)


def test_a_crop_in_query_and_gallery_is_embedded_once_and_known_to_be_the_same(tiny_data: Path) -> None:
    crops = tuple(replace(crop, camera=None) for crop in open_benchmark(tiny_data).train)
    benchmark = replace(
        open_benchmark(tiny_data), query=crops[:20], gallery=crops[::-1], protocol=EVERY_OTHER_IMAGE
    )
    before = Counting.seen
    found = embed_benchmark(embedder(), benchmark)
    assert Counting.seen - before == len(crops)
    assert found.query.cameras is None
    assert found.gallery.items is not None
    assert found.query.items is not None
    assert found.query.items.tolist() == found.gallery.items.flip(0)[:20].tolist()
    assert evaluate(found.query, found.gallery, benchmark.protocol).queries == 20


def test_unreadable_crops_are_missing_from_rows_and_labels(tmp_path: Path) -> None:
    benchmark = open_benchmark(tiny.make_crops(tmp_path, test_persons=2))
    lost = benchmark.gallery[3]
    lost.path.write_bytes(b"")
    with pytest.raises(UserError, match=lost.path.name):
        embed_benchmark(embedder(), benchmark)
    found = embed_benchmark(embedder(), benchmark, skip_unreadable=True)
    assert found.gallery_crops == tuple(crop for crop in benchmark.gallery if crop != lost)
    assert len(found.gallery) == len(found.gallery_crops)
    assert [path for path, _ in found.skipped] == [lost.path]


def test_a_set_without_test_part_is_refused(tiny_data: Path) -> None:
    with pytest.raises(UserError, match="has no test part: 0 queries"):
        embed_benchmark(embedder(), replace(open_benchmark(tiny_data), query=()))

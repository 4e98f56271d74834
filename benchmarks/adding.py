"""Crops a second into a gallery, beside those that ``resight embed`` embeds."""

import argparse
import random
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from loading import make_crops

from resight.features.crop_list import crops_to_embed
from resight.features.embedding import embed_crops
from resight.gallery.crops import NewCrop
from resight.gallery.gallery import Gallery
from resight.imaging import read_image
from resight.inference.embedder import Embedder
from resight.inference.loading import load_model
from resight.models.network import MODELS, build_model

ROUNDS, KINDS = 7, ("embed", "add", "describe")


def adding(options: argparse.Namespace) -> dict[str, Any]:
    """Add image files to a gallery; embed the same into a folder; describe their pixels, decoded before.

    In each round all three, in random order.
    """
    embedder = make_embedder(options.run)
    count = max(256, round(8192 * options.scale))
    made = make_crops(options.folder / f"crops-{time.time_ns()}", count)
    crops = crops_to_embed(made[0].path.parent)
    ready = embedder.preprocess(read_image(path) for path in crops.paths)
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    generator = random.Random(0)
    for _ in range(ROUNDS + 1):
        for kind in generator.sample(KINDS, len(KINDS)):
            place = options.folder / f"{kind}-{time.time_ns()}"
            begin = time.perf_counter()
            if kind == "embed":
                embed_crops(embedder, crops, place)
            elif kind == "describe":
                for start in range(0, count, 64):
                    embedder(ready[start : start + 64])
            else:
                with Gallery.open(place, embedder, create=True) as gallery:
                    assert gallery.add(NewCrop(path, camera="a") for path in crops.paths).new == count
            seconds[kind].append(time.perf_counter() - begin)
            shutil.rmtree(place, ignore_errors=True)  # or the disk's writing would fall on what comes next
    times = {kind: some[1:] for kind, some in seconds.items()}
    shares = {
        f"of_{kind}": [one / mine for one, mine in zip(times[kind], times["add"], strict=True)]
        for kind in ("embed", "describe")
    }
    return {
        "model": embedder.name,
        "crops": count,
        **{f"{kind}_crops_a_s": count / median(some) for kind, some in times.items()},
        **{f"share_{name}": median(some) for name, some in shares.items()},
        "rows": [dict(zip(shares, some, strict=True)) for some in zip(*shares.values(), strict=True)],
    }


def make_embedder(run: Path | None) -> Embedder:
    """Return a run's model, or an untrained HAN-Small."""
    if run is not None:
        return Embedder(load_model(run))
    torch.manual_seed(0)
    return Embedder(build_model("han", 10, **MODELS.get("han").variants["han-small"]))

"""What ``evaluation.py`` measures: this package's scoring and re-ranking, and plain NumPy's."""

from pathlib import Path
from typing import Any

import numpy as np

STEPS = 10  # of added distractors


def load(folder: Path, mapped: bool) -> Any:
    """Return a side as ``Embedded``; its features are read, or mapped."""
    import torch

    from resight.evaluation.embedded import Embedded

    features = np.load(folder / "features.npy", mmap_mode="c" if mapped else None)
    labels = (np.load(folder / f"{name}.npy") for name in ("persons", "cameras"))
    return Embedded(torch.from_numpy(features), *map(torch.from_numpy, labels))


def first_crops(side: Any) -> Any:
    """Return a few crops of a side."""
    from dataclasses import replace

    return replace(
        side, features=side.features[:200], persons=side.persons[:200] % 5 + 1, cameras=side.cameras[:200]
    )


def resight(query: Any, gallery: Any, **options: Any) -> dict[str, float]:
    """Score with this package."""
    from resight.evaluation.scores import evaluate

    scores = evaluate(query, gallery, **options)
    return {"rank1": scores.rank(1), "mAP": scores.mAP}


def averaged(query: Any, gallery: Any, *, expand: int = 0, augment: int = 0) -> dict[str, float]:
    """Average queries or gallery with their neighbours, and score, with this package."""
    from resight.evaluation.expansion import augment_gallery, expand_queries

    if augment:
        gallery = augment_gallery(gallery, augment)
    if expand:
        query = expand_queries(query, gallery, expand)
    return resight(query, gallery)


def reranked(query: Any, gallery: Any) -> dict[str, float]:
    """Re-rank and score with this package."""
    from resight.evaluation.reranking import Reranking

    return resight(query, gallery, reranking=Reranking())


def curve(query: Any, gallery: Any) -> dict[str, float]:
    """Score as distractors are added; return the figures with all of them."""
    from resight.evaluation.embedded import Embedded
    from resight.evaluation.growing import evaluate_growing

    known = int((gallery.persons > 0).sum())  # the distractors come last
    base = Embedded(gallery.features[:known], gallery.persons[:known], gallery.cameras[:known])
    distractors = gallery.features[known:]
    sizes = sorted({len(distractors) * step // STEPS for step in range(STEPS + 1)})
    scores = evaluate_growing(query, base, distractors, sizes)[-1]
    return {"rank1": scores.rank(1), "mAP": scores.mAP}


def plainly(query: Any, gallery: Any, *, rerank: bool = False) -> dict[str, float]:
    """Score with plain NumPy."""
    import plain

    sides = [plain.unit(side.features.numpy()) for side in (query, gallery)]
    distances = plain.rerank(np.concatenate(sides), len(query)) if rerank else -sides[0] @ sides[1].T
    labels = [[getattr(side, name).numpy() for side in (query, gallery)] for name in ("persons", "cameras")]
    return plain.score(distances, *labels)

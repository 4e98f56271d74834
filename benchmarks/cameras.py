"""What removing the cameras' means gives and harms, and what re-ranking adds, on query and gallery crops.

    resight embed MODEL --data FOLDER --part query --out query
    resight embed MODEL --data FOLDER --part gallery --out gallery
    python benchmarks/cameras.py query gallery [--sequences]

Prints rank-1 / mAP by the rules of Market-1501. ``--sequences`` takes the camera and the
sequence in names such as 0001_c1s3_000151_01.jpg as the physical camera.

Of the harmful cases, those with few crops cut the gallery that the means are computed from, not that which is
searched. Different looks: persons are halved along the first principal direction of their mean vectors; the
means of one camera are computed from one half, those of the other camera from the other half.
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resight.commands.feature_files import embed, folder_of, read_arrays
from resight.data.crop import JUNK
from resight.evaluation.cameras import (
    SHARE,
    CameraStatistics,
    Vectors,
    remove_camera_means,
    unit_or_zero,
)
from resight.evaluation.embedded import Embedded
from resight.gallery import searching

Rows = NDArray[np.int64]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("query", type=Path)
    parser.add_argument("gallery", type=Path)
    parser.add_argument("--sequences", action="store_true", help="cameras are c1s3 of the files' names")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    query, gallery = (embed(read_arrays(path)) for path in (options.query, options.gallery))

    def score(scores: Vectors) -> str:
        return "{:.1f} / {:.1f}".format(*_score(scores, query, gallery))

    sides = [(query, gallery)]
    if options.sequences:
        sides.append((_by_sequence(query, options.query), _by_sequence(gallery, options.gallery)))
    print("| means computed from | rank-1 / mAP, whole shift removed | three quarters |\n|---|---|---|")
    print(f"| nothing | {score(_similar(query, gallery))} | |")
    print(f"| all crops, the overall mean alone | {score(_similar(*_without(query, gallery, 0)))} | |")
    for one in sides:
        found = [score(_similar(*_without(*one, share))) for share in (1.0, SHARE)]
        print(f"| all crops, {len(one[1].cameras.unique())} cameras | {' | '.join(found)} |", flush=True)  # type: ignore[union-attr]
    for name, rows, cameras in harmful(gallery, np.random.default_rng(options.seed)):
        found = []
        for share in (1.0, SHARE):
            statistics = CameraStatistics.fit(gallery.features[rows].numpy(), cameras, share=share)
            found.append(score(_similar(*remove_camera_means(query, gallery, statistics))))
        print(f"| {name} | {' | '.join(found)} |", flush=True)
    print("\n| re-ranked, without the means | rank-1 / mAP |\n|---|---|")
    corrected = _without(query, gallery, SHARE)
    print(f"| nothing | {score(_similar(*corrected))} |")
    for window in (100, 200, 400, 800):
        print(f"| the best {window} | {score(_reranked(*corrected, window))} |", flush=True)


def harmful(gallery: Embedded, generator: np.random.Generator) -> Iterator[tuple[str, Rows, list[Any]]]:
    """Return a name, gallery rows and their cameras for each case."""
    assert gallery.cameras is not None
    cameras, persons = gallery.cameras.numpy(), gallery.persons.numpy()
    known = np.flatnonzero(persons > 0)
    first, second = np.unique(cameras)[:2]
    others, own = known[cameras[known] != second], known[cameras[known] == second]
    for count in (1, 5, 10, 50):
        rows = np.concatenate([others, generator.permutation(own)[:count]])
        yield f"{count} crops of one camera, all of the other", rows, cameras[rows].tolist()
        few = [
            generator.permutation(known[cameras[known] == camera])[:count] for camera in np.unique(cameras)
        ]
        rows = np.concatenate(few)
        yield f"{count} crops of each camera", rows, cameras[rows].tolist()
    rows = np.concatenate([others, own[persons[own] == persons[own[0]]]])
    yield "one person of one camera, all of the other", rows, cameras[rows].tolist()
    rows = np.concatenate([others, own[:1].repeat(200)])
    yield "one crop of one camera, 200 times, all of the other", rows, cameras[rows].tolist()
    yield "all crops as of one camera, and one of a second", known, [*[first] * (len(known) - 1), second]
    number = np.unique(persons[known])
    random = np.isin(persons, generator.permutation(number)[: len(number) // 2])
    units = unit_or_zero(gallery.features.numpy())
    means = np.stack([units[persons == person].mean(0) for person in number])
    along = np.linalg.svd(means - means.mean(0), full_matrices=False)[2][0]
    looks = np.isin(persons, number[(means @ along) > np.median(means @ along)])
    halves = {"random halves": random, "halves by looks": looks, "halves by looks, swapped": ~looks}
    for name, half in halves.items():
        rows = known[half[known] == (cameras[known] == first)]
        yield name, rows, cameras[rows].tolist()


def _by_sequence(side: Embedded, path: Path) -> Embedded:
    lines = (folder_of(path) / "paths.jsonl").read_text().splitlines()
    found = [re.search(r"_c(\d+)s(\d+)_", json.loads(line)) for line in lines]
    return replace(side, cameras=torch.tensor([100 * int(one[1]) + int(one[2]) for one in found if one]))


def _without(query: Embedded, gallery: Embedded, share: float) -> tuple[Embedded, Embedded]:
    kept = gallery.persons != JUNK
    assert gallery.cameras is not None
    cameras = gallery.cameras[kept].tolist()
    statistics = CameraStatistics.fit(gallery.features[kept].numpy(), cameras, share=share)
    return remove_camera_means(query, gallery, statistics)


def _similar(query: Embedded, gallery: Embedded) -> Vectors:
    similar: Vectors = unit_or_zero(query.features.numpy()) @ unit_or_zero(gallery.features.numpy()).T
    return similar


def _reranked(query: Embedded, gallery: Embedded, window: int) -> Vectors:
    """Return scores as a gallery re-ranks: of each query the best of all crops, those of its camera too."""
    queries, crops = unit_or_zero(query.features.numpy()), unit_or_zero(gallery.features.numpy())
    similar = queries @ crops.T
    scores = similar - 3  # after all that are re-ranked
    for row, one in enumerate(similar):
        best = np.argsort(-one, kind="stable")[:window]
        scores[row, best] = -searching.reranked_distances(queries[row : row + 1], crops[best])[0]
    return scores


def _score(scores: Vectors, query: Embedded, gallery: Embedded) -> tuple[float, float]:
    """Return rank-1 and mAP in per cent by the rules of Market-1501."""
    assert query.cameras is not None
    assert gallery.cameras is not None
    first, precisions = [], []
    for row, one in enumerate(scores):
        same = (gallery.persons == query.persons[row]).numpy()
        counts = (gallery.persons != JUNK).numpy() & ~(same & (gallery.cameras == query.cameras[row]).numpy())
        right = same[counts][np.argsort(-one[counts], kind="stable")]
        if right.any():
            places = np.flatnonzero(right) + 1
            first.append(right[0])
            precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
    return 100 * float(np.mean(first)), 100 * float(np.mean(precisions))


if __name__ == "__main__":
    main()

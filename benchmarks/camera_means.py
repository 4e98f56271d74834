"""Searching and adding with cameras' means removed, beside a gallery that keeps them."""

import argparse
import random
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from adding import make_embedder
from drawn_galleries import CAMERAS, Array, build, camera, cameras, draw
from loading import make_crops

from resight.evaluation.cameras import CameraStatistics
from resight.gallery.cameras import CameraMeans
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery
from resight.imaging import Pixels, read_image

WIDTH, SHIFT = 1024, 0.2
"""Numbers a vector; length of a camera's shift, on real crops 0.1 to 0.2 (OSNet x0.25, retail-0277)."""

ADDED = 1000


class Drawn:
    """Describes pictures by drawn vectors, in no time."""

    name, weights, width, fingerprint, on_cpu, precision = "drawn", None, WIDTH, "0" * 32, True, "float32"

    def __init__(self, vectors: Array) -> None:
        self._vectors = iter(vectors)

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Return them as they are."""
        return list(pictures)

    def __call__(self, pictures: Sequence[Pixels]) -> Array:
        """Return the next vectors."""
        return np.stack([next(self._vectors) for _ in pictures])


def means(options: argparse.Namespace) -> dict[str, Any]:
    """Search galleries with and without means, each for the same queries; add crops to the first."""
    crops = round(100_000 * options.scale)
    names = [camera(row) for row in range(crops)]
    vectors = _shifted(draw(crops, WIDTH, 1), names)
    kept, removed = options.folder / f"means-kept-{crops}", options.folder / f"means-removed-{crops}"
    found: dict[str, Any] = {"crops": crops, "width": WIDTH}
    found |= build(kept, [vectors], width=WIDTH, camera_normalise=False)
    if not removed.exists():
        shutil.copytree(kept, removed)
        with Gallery.open(removed) as gallery:
            begin = time.perf_counter()
            gallery.normalise_cameras(True)
            found["removing_s"] = time.perf_counter() - begin
    if options.prepare:
        return found
    queries = _shifted(draw(crops, WIDTH, 2)[: options.rounds + 5], names)
    statistics = CameraStatistics.fit(vectors, names)
    exact = statistics.apply(vectors, names)
    with Gallery.open(kept) as without, Gallery.open(removed) as gallery:
        found["rows"] = _searches(without, gallery, queries, names, statistics, exact, options.rounds)
    return found | _adding(options, removed, names)


def _searches(
    without: Gallery,
    gallery: Gallery,
    queries: Array,
    names: Sequence[str],
    statistics: CameraStatistics,
    exact: Array,
    rounds: int,
) -> list[dict[str, Any]]:
    filters = {"all": Filter(), "all but 1 camera": Filter(not_cameras=cameras(1))}
    filters |= {f"{count} of {CAMERAS} cameras": Filter(cameras=cameras(count)) for count in (1, 8, 12, 19)}
    times: dict[tuple[str, bool], list[float]] = {(name, on): [] for name in filters for on in (False, True)}
    hits = dict.fromkeys(filters, 0)
    generator = random.Random(0)
    for row in range(-5, rounds):
        query, own = queries[row][None], names[row]
        corrected = statistics.apply(query, [own])[0]
        for name, on in generator.sample(list(times), len(times)):
            opened, where = (gallery if on else without), filters[name]
            begin = time.perf_counter()
            matches = opened.search(vectors=query, cameras=[own], where=where, top=10).matches
            if row < 0:  # memory maps are set up
                continue
            times[name, on].append(1000 * (time.perf_counter() - begin))
            if on:
                scores = exact @ corrected
                allowed = [
                    (not where.cameras or one in where.cameras) and one not in where.not_cameras
                    for one in names
                ]
                scores[~np.array(allowed)] = -2
                best = set(np.argpartition(scores, -10)[-10:].tolist())
                hits[name] += len(best & {int(match.crop.name.split()[1]) for match in matches})
    return [
        {
            "search": name,
            "p50_ms, means kept": float(np.median(times[name, False])),
            "p50_ms, removed": float(np.median(times[name, True])),
            "times": float(np.median(np.divide(times[name, True], times[name, False]))),
            "recall": hits[name] / 10 / rounds,
        }
        for name in filters
    ]


def _adding(options: argparse.Namespace, place: Any, names: Sequence[str]) -> dict[str, float]:
    """Return what means take of adding crops, embedding by an untrained HAN-Small included."""
    made = make_crops(options.folder / f"crops-{time.time_ns()}", ADDED)
    new = [NewCrop(crop.path, camera=names[row]) for row, crop in enumerate(made)]
    network = make_embedder(options.run)
    ready = network.preprocess(read_image(crop.path) for crop in made)
    begin = time.perf_counter()
    for start in range(0, ADDED, 64):
        network(ready[start : start + 64])
    embedding = time.perf_counter() - begin
    seconds = 0.0

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal seconds
            begin = time.perf_counter()
            try:
                return method(*arguments, **named)
            finally:
                seconds += time.perf_counter() - begin

        return call

    copy = place.with_name(f"{place.name}-{time.time_ns()}")
    shutil.copytree(place, copy)
    with Gallery.open(copy, Drawn(_shifted(draw(ADDED, WIDTH, 3), names))) as gallery:
        for method in ("add", "renew", "save"):
            setattr(CameraMeans, method, timed(getattr(CameraMeans, method)))
        begin = time.perf_counter()
        assert gallery.add(new).new == ADDED
        adding = time.perf_counter() - begin
    shutil.rmtree(copy)
    return {
        "embedding_ms": 1000 * embedding,
        "adding_ms": 1000 * adding,
        "means_ms": 1000 * seconds,
        "share_of_adding": seconds / (embedding + adding),
    }


def _shifted(vectors: Array, names: Sequence[str]) -> Array:
    """Return unit vectors with a shift of each camera."""
    shifts = {
        name: np.random.default_rng([3, place]).standard_normal(WIDTH, np.float32)
        for place, name in enumerate(sorted(set(names)))
    }
    found = np.stack(
        [
            vector + SHIFT * shifts[name] / np.linalg.norm(shifts[name])
            for vector, name in zip(vectors, names[: len(vectors)], strict=True)
        ]
    )
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found

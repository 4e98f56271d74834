"""``resight score``: score features from any toolkit."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from resight.commands.counting import AS_IN_THE_DATA, Count
from resight.commands.feature_files import embed, folder_of, read_arrays, read_features, refuse_mixed
from resight.commands.options import Device, Json
from resight.commands.output import print_json, print_scores, print_table
from resight.commands.refining import UNREFINED, Refine
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.data.benchmark import Protocol
    from resight.evaluation.embedded import Embedded
    from resight.evaluation.scores import Scores


def score(
    query: Path,
    gallery: Path,
    *,
    metric: Literal["cosine", "euclidean"] = "cosine",
    refine: Refine = UNREFINED,
    count: Count = AS_IN_THE_DATA,
    distractors: Path | None = None,
    step: int = 100_000,
    seed: int = 0,
    ap: Literal["mean", "trapezoid"] = "mean",
    ranks: str = "1,5,10,20",
    cross_camera: bool = True,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score query features against gallery features: mAP, rank-k and mINP.

    Each side is a NumPy .npz archive with the arrays features [N, D] and persons [N] (-1 is junk, 0 a
    distractor), and, if known, cameras [N]; or a folder with features.npy, persons.npy, cameras.npy, such
    as 'resight embed' writes, whose features stay on disk. Gallery crops of the query's person under its
    own camera are ignored; without cameras every image of the person but the query itself counts. Where
    both sides are one file, each query is the gallery crop of its row; an array items [N] in each file
    identifies the crops that they share. Features that say which model they are of (folders of 'resight
    embed', or a string called fingerprint in an archive) are compared with features of that model only.

    Args:
        query: .npz archive or folder of the queries.
        gallery: the same of the gallery.
        metric: cosine similarity or Euclidean distance.
        distractors: .npy file of features, or folder of features.npy: score as these are added to the gallery
            in random order.
        step: distractors to add at a time.
        seed: of their order.
        ap: average precision: mean of the precision at each match, or by trapezoids as Market-1501's script.
        ranks: which rank-k to print, with commas between.
        cross_camera: with --no-cross-camera, crops under the query's own camera count too.
    """
    import torch

    from resight.device import resolve_device
    from resight.evaluation.expansion import refine_sides
    from resight.evaluation.growing import evaluate_growing
    from resight.evaluation.scores import evaluate

    refuse_mixed(query, gallery, *([] if distractors is None else [distractors]))
    options: dict[str, Any] = {"metric": metric, "ap": ap, "ranks": _parse_ranks(ranks)}
    place: dict[str, Any] = {"metric": metric, "device": resolve_device(device)}
    refined = refine.options()
    if distractors is not None and refine.given():
        raise UserError(
            "Distractors are counted and forgotten, so a gallery that they are added to cannot be re-ranked, "
            "augmented, expand queries or lose its cameras' means. Use --distractors without these."
        )
    protocol, queries, crops = _read(query, gallery, cross_camera)
    protocol = count.apply(protocol)
    options |= place
    if distractors is None:
        place |= refine.steps()
        queries, crops = refine_sides(queries, crops, **place)
        scores = evaluate(queries, crops, protocol, reranking=refined["reranking"], **options)
        curve = []
    else:
        features = torch.from_numpy(read_features(distractors))
        sizes = _sizes(len(features), step)
        grown = evaluate_growing(queries, crops, features, sizes, protocol, seed=seed, **options)
        scores, curve = grown[0], list(zip(sizes, grown, strict=True))
    if json:
        print_json(
            _as_dict(scores, curve) | refine.as_dict() | {"query": str(query), "gallery": str(gallery)}
        )
        return
    title = ", ".join([metric, *refine.describe(), *protocol.describe(), f"average precision by {ap}"])
    print_scores(scores, f"{query} in {gallery}: {title}")
    if curve:
        shown = [f"Rank-{k}" for k in scores.ranks]
        rows = [
            [f"{size:,}", *(f"{100 * value:.1f}" for value in (one.mAP, *map(one.rank, one.ranks)))]
            for size, one in curve
        ]
        print_table(["Distractors", "mAP", *shown], rows)


def _read(query: Path, gallery: Path, cross_camera: bool) -> "tuple[Protocol, Embedded, Embedded]":
    """Return the protocol that fits what is known of the crops, and the two sides."""
    from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol

    arrays = read_arrays(query), read_arrays(gallery)
    if folder_of(query).samefile(folder_of(gallery)):
        for side in arrays:
            side["items"] = np.arange(len(side["features"]))
    with_cameras = ["cameras" in side for side in arrays]
    if cross_camera and any(with_cameras) and not all(with_cameras):
        raise UserError(
            f"{gallery if with_cameras[0] else query} has no array 'cameras', but the other file has one. "
            "Give cameras in both, or use --no-cross-camera."
        )
    protocol = Protocol() if cross_camera and all(with_cameras) else EVERY_OTHER_IMAGE
    if not protocol.cross_camera:
        why = "No cameras are given" if cross_camera else "Cameras are left aside"
        say(f"Note: {why}: every image of the query's person counts, but the query itself.")
        if not all("items" in side for side in arrays):
            say("Note: query and gallery are taken to share no crop (no array 'items' says otherwise).")
    return protocol, embed(arrays[0]), embed(arrays[1])


def _sizes(distractors: int, step: int) -> list[int]:
    """Return 0, each step, and all of them."""
    if step < 1:
        raise UserError(f"At least one distractor must be added at a time; got --step {step}.")
    return [*range(0, distractors, step), distractors]


def _as_dict(scores: "Scores", curve: "list[tuple[int, Scores]]") -> dict[str, Any]:
    """Return the scores without distractors, and of each step mAP, rank-k and mINP."""
    result = scores.as_dict()
    if curve:
        keys = ["mAP", *(f"rank{k}" for k in scores.ranks), "mINP"]
        steps = [(size, one.as_dict()) for size, one in curve]
        result["distractors"] = [{"count": size} | {key: one[key] for key in keys} for size, one in steps]
    return result


def _parse_ranks(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"Ranks are whole numbers with commas between, such as 1,5,10; got '{text}'."
        ) from None

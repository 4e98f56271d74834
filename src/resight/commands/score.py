"""``resight score``: score features from any toolkit."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from resight.commands.data_options import CrossCamera
from resight.commands.feature_files import (
    embed,
    read_features,
    read_fingerprint,
    read_sides,
    refuse_mixed,
)
from resight.commands.options import Device, Json
from resight.commands.output import print_json, print_scores, print_table
from resight.commands.postprocessing import NO_POSTPROCESSING, Postprocessing
from resight.commands.protocol_options import UNCHANGED_PROTOCOL, ProtocolOptions
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.data.benchmark import Protocol
    from resight.evaluation.embedded import Embedded
    from resight.evaluation.scores import Scores


def score(
    query: Path,
    gallery: Path | None = None,
    *,
    metric: Literal["cosine", "euclidean"] = "cosine",
    postprocessing: Postprocessing = NO_POSTPROCESSING,
    camera_statistics: Path | None = None,
    protocol_options: ProtocolOptions = UNCHANGED_PROTOCOL,
    distractors: Path | None = None,
    step: int = 100_000,
    seed: int = 0,
    ap: Literal["mean", "trapezoid"] = "mean",
    ranks: str = "1,5,10,20",
    cross_camera: CrossCamera = True,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score query features against gallery features: mAP, rank-k and mINP.

    Query and gallery are files with the arrays features [N, D] and persons [N] (-1 is junk, 0 a distractor)
    and, if known, cameras [N]: .npz, .mat, .pt, .csv or .parquet files, .npy files with their labels beside
    them, or folders of .npy files, such as 'resight embed' writes. Arrays may have the names that other
    toolkits use, such as query_f, query_label and query_cam. Features in .npy files are read without loading
    all of them into memory. Gallery crops of the query's person by its own camera are ignored. Without
    cameras, every other image of the person counts. If both files are the same, each query is the gallery
    crop of its row; otherwise an array items [N] in both identifies shared crops. If files name the model of
    their features (folders of 'resight embed', or a string fingerprint in an archive), all must name the same
    one.

    Args:
        query: file or folder of the queries; or of both, such as layumi's pytorch_result.mat.
        gallery: file or folder of the gallery.
        metric: cosine similarity or Euclidean distance.
        camera_statistics: folder that 'resight embed --camera-normalise' wrote, or camera_statistics.npz in
            it: remove the means of these crops' cameras, three quarters of each shift.
        distractors: .npy file of features, or folder with features.npy: add them to the gallery step by step,
            in random order, and score each step.
        step: number of distractors to add in each step.
        seed: of the distractors' order.
        ap: average precision: mean of the precision at each match, or trapezoidal as in Market-1501's script.
        ranks: values k of rank-k to print, separated by commas.
    """
    import torch

    from resight.commands.camera_statistics import read_statistics
    from resight.device import resolve_device
    from resight.evaluation.cameras import remove_camera_means
    from resight.evaluation.expansion import postprocess
    from resight.evaluation.growing import evaluate_growing
    from resight.evaluation.scores import evaluate

    refuse_mixed(*(path for path in (query, gallery, distractors, camera_statistics) if path is not None))
    options: dict[str, Any] = {"metric": metric, "ap": ap, "ranks": _parse_ranks(ranks)}
    place: dict[str, Any] = {"metric": metric, "device": resolve_device(device)}
    scoring = postprocessing.options()
    if camera_statistics is not None and postprocessing.camera_normalise:
        raise UserError(
            "--camera-normalise takes the means of the gallery, --camera-statistics those of other crops. "
            "Give one of them."
        )
    if distractors is not None and (postprocessing.given() or camera_statistics is not None):
        raise UserError(
            "Distractors are only counted, not kept, so re-ranking, averaging with neighbours and removing "
            "camera means are impossible. Use --distractors without these options."
        )
    protocol, queries, crops = _read(query, gallery, cross_camera)
    protocol = protocol_options.apply(protocol)
    options |= place
    if camera_statistics is not None:
        queries, crops = remove_camera_means(queries, crops, read_statistics(camera_statistics))
    if distractors is None:
        place |= postprocessing.steps()
        queries, crops = postprocess(queries, crops, **place)
        scores = evaluate(queries, crops, protocol, reranking=scoring["reranking"], **options)
        curve = []
    else:
        features = torch.from_numpy(read_features(distractors))
        sizes = _sizes(len(features), step)
        grown = evaluate_growing(queries, crops, features, sizes, protocol, seed=seed, **options)
        scores, curve = grown[0], list(zip(sizes, grown, strict=True))
    if json:
        print_json(
            _as_dict(scores, curve)
            | postprocessing.as_dict()
            | ({} if camera_statistics is None else {"camera_statistics": str(camera_statistics)})
            | {"query": str(query), "gallery": str(gallery or query)}
        )
        return
    means = [] if camera_statistics is None else [f"cameras' means of {camera_statistics} removed"]
    title = ", ".join(
        [metric, *means, *postprocessing.describe(), *protocol.describe(), f"average precision by {ap}"]
    )
    print_scores(scores, f"{query}{'' if gallery is None else f' in {gallery}'}: {title}")
    if curve:
        shown = [f"Rank-{k}" for k in scores.ranks]
        rows = [
            [f"{size:,}", *(f"{100 * value:.1f}" for value in (one.mAP, *map(one.rank, one.ranks)))]
            for size, one in curve
        ]
        print_table(["Distractors", "mAP", *shown], rows)


def _read(query: Path, gallery: Path | None, cross_camera: bool) -> "tuple[Protocol, Embedded, Embedded]":
    """Return the protocol for the labels that are known, the queries and the gallery."""
    from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
    from resight.data.labels import zero_is_person

    arrays = read_sides(query, gallery)
    if zero_is_person(arrays[0]["persons"]) and read_fingerprint(query) is None:
        # the labels in folders of 'resight embed' are settled
        say("Note: label 0 is a person, as a query has it; in a gallery alone it would mark distractors.")
        for side in arrays:
            side["persons"] = side["persons"] + (side["persons"] >= 0)
    with_cameras = ["cameras" in side for side in arrays]
    if cross_camera and any(with_cameras) and not all(with_cameras):
        raise UserError(
            f"{gallery if with_cameras[0] and gallery else query} has no array 'cameras' for the "
            f"{'gallery' if with_cameras[0] else 'queries'}, but there is one for the "
            f"{'queries' if with_cameras[0] else 'gallery'}. Give cameras for both, or use --no-cross-camera."
        )
    protocol = Protocol() if cross_camera and all(with_cameras) else EVERY_OTHER_IMAGE
    if not protocol.cross_camera:
        why = "There are no cameras" if cross_camera else "Cameras are ignored"
        say(f"Note: {why}, so every other image of the query's person counts.")
        if not all("items" in side for side in arrays):
            say("Note: without arrays 'items', query and gallery are assumed to share no crop.")
    return protocol, embed(arrays[0]), embed(arrays[1])


def _sizes(distractors: int, step: int) -> list[int]:
    """Return the numbers of distractors to score with: 0, each step, and all of them."""
    if step < 1:
        raise UserError(f"--step must be at least 1; got {step}.")
    return [*range(0, distractors, step), distractors]


def _as_dict(scores: "Scores", curve: "list[tuple[int, Scores]]") -> dict[str, Any]:
    """Return the scores without distractors, and mAP, rank-k and mINP of each step."""
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
            f"--ranks are whole numbers separated by commas, such as 1,5,10; got '{text}'."
        ) from None

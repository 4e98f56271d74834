"""``resight score``: score features from any toolkit."""

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from resight.commands.output import print_json, print_scores
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.evaluation.embedded import Embedded

LABELS = ("persons", "cameras", "items")
HELP = "Each file holds the arrays features [N, D] and persons [N], and may hold cameras [N] and items [N]."


def score(
    query: Path,
    gallery: Path,
    *,
    metric: Literal["cosine", "euclidean"] = "cosine",
    ap: Literal["mean", "trapezoid"] = "mean",
    ranks: str = "1,5,10,20",
    cross_camera: bool = True,
    device: str = "auto",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Score query features against gallery features: mAP, rank-k and mINP.

    Each file is a NumPy .npz archive with the arrays features [N, D] and persons [N] (-1 is junk, 0 a
    distractor), and, if known, cameras [N]. Gallery crops of the query's person under its own camera are
    ignored; without cameras every image of the person but the query itself counts. Where both files name one
    file, each query is the gallery crop of its row; crops that two files share can be told by an array items
    [N] in each.

    Args:
        query: .npz file with the arrays features [N, D], persons [N] and, if known, cameras [N].
        gallery: the same of the gallery.
        metric: cosine similarity or Euclidean distance.
        ap: average precision: mean of the precision at each match, or by trapezoids as Market-1501's script.
        ranks: which rank-k to print, with commas between.
        cross_camera: with --no-cross-camera, crops under the query's own camera count too.
        device: auto, cpu or cuda.
        json: print one JSON object.
    """
    from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
    from resight.device import resolve_device
    from resight.evaluation.scores import evaluate

    chosen_ranks = _parse_ranks(ranks)
    chosen_device = resolve_device(device)
    arrays = read_arrays(query), read_arrays(gallery)
    if query.samefile(gallery):
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
    scores = evaluate(
        _embed(arrays[0]),
        _embed(arrays[1]),
        protocol,
        metric=metric,
        ap=ap,
        ranks=chosen_ranks,
        device=chosen_device,
    )
    if json:
        print_json(scores.as_dict() | {"query": str(query), "gallery": str(gallery)})
    else:
        print_scores(scores, f"{query} in {gallery}: {metric}, {protocol.name}, average precision by {ap}")


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file of features: features as floats [N, D], labels as int64 [N].

    Nothing in the file is ever executed: arrays of Python objects are refused.

    Raises:
        UserError: there is no such file, it is no .npz archive or damaged, an array is missing, or has the
            wrong type or shape.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}. {HELP}")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not an .npz archive, or it is cut short. {HELP}")
    arrays = {}
    with np.load(path, allow_pickle=False) as archive:
        for name in ("features", *LABELS):
            if name in archive:
                try:
                    arrays[name] = archive[name]
                except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                    raise UserError(
                        f"'{name}' in {path} is damaged, or holds Python objects and not numbers. {HELP}"
                    ) from error
            elif name in ("features", "persons"):
                there = ", ".join(f"'{name}'" for name in archive.files) or "none"
                raise UserError(f"{path} has no array '{name}'; there are: {there}. {HELP}")
    features = _features(path, arrays.pop("features"))
    labels = {name: _labels(path, name, array, len(features)) for name, array in arrays.items()}
    return {"features": features, **labels}


def _features(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim != 2:
        raise UserError(f"'features' in {path} must be [N, D], one row a crop; got the shape {array.shape}.")
    # small integers (quantised features) fit a float of their own; what is left of other types is refused
    kind = np.result_type(array.dtype, np.float16) if array.dtype.kind in "iuf" else array.dtype
    if kind not in (np.float16, np.float32, np.float64):
        raise UserError(f"'features' in {path} must be numbers of up to 64 bits; got the type {array.dtype}.")
    return np.ascontiguousarray(array, kind)


def _labels(path: Path, name: str, array: NDArray[Any], crops: int) -> NDArray[np.int64]:
    if array.shape != (crops,):
        raise UserError(
            f"'{name}' in {path} must be [N], one entry for each of the {crops:,} features; "
            f"got the shape {array.shape}."
        )
    if array.dtype.kind not in "iu" or not np.can_cast(array.dtype, np.int64):
        raise UserError(f"'{name}' in {path} must be whole numbers (int64); got the type {array.dtype}.")
    return array.astype(np.int64)


def _embed(arrays: dict[str, NDArray[Any]]) -> "Embedded":
    import torch

    from resight.evaluation.embedded import Embedded

    return Embedded(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def _parse_ranks(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"Ranks are whole numbers with commas between, such as 1,5,10; got '{text}'."
        ) from None

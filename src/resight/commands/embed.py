"""``resight embed``: embed any number of crops into a folder of features."""

from pathlib import Path
from typing import Any, Literal

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.options import Device, Flag, Json, RuntimeName, SkipUnreadable
from resight.commands.output import print_json, print_left_out
from resight.errors import UserError
from resight.interruption import SAME_COMMAND, resumable
from resight.progress import is_first_process, say, say_left_out


@resumable(SAME_COMMAND)
def embed(
    model: Path | None = None,
    *,
    data: Path,
    out: Path,
    part: Literal["train", "query", "gallery", "all"] = "all",
    unlabelled: Flag = False,
    reading: DataOptions = DEFAULT,
    views: Literal["one", "mirror", "ten-crop"] | None = None,
    branches: Literal["global", "local", "both"] = "both",
    dtype: Literal["float32", "float16"] = "float32",
    batch: int = 64,
    camera_normalise: Flag = False,
    adapt_statistics: Flag = False,
    device: Device = "auto",
    runtime: RuntimeName = "auto",
    skip_unreadable: SkipUnreadable = False,
    json: Json = False,
) -> None:
    """Embed crops with a model into a folder of features, which 'resight score' reads.

    If the command is killed, run it again to resume. Several processes share the work under torchrun:
    torchrun --nproc-per-node 2 -m resight embed ...

    The folder has features.npy [N, D], paths.jsonl (one line per row), items.npy, persons.npy and cameras.npy
    if known, and info.json with the fingerprint of the model.

    Args:
        model: a run, a model folder, or a weights, ONNX or OpenVINO file; by default drawn-people, which
            comes with Resight.
        data: folder of crops in any layout; or a text file of paths, one per line, relative to its folder.
            Images outside of sub-folders, and paths in a list, get no person labels.
        out: folder to write, or to continue.
        part: part of the data set; all embeds every crop.
        unlabelled: embed every image in the folder and its sub-folders, without labels.
        views: views of a crop whose features are averaged; by default those of the model.
        branches: part of the descriptor to use.
        dtype: type of the stored features.
        batch: number of crops to embed at once.
        camera_normalise: also keep the statistics of the crops' cameras, for 'resight score
            --camera-statistics'; the features stay as they are.
        adapt_statistics: replace the mean and variance of batch normalisation by those of each camera's
            crops, for models that were trained on other cameras. The features can only be compared with each
            other: embed query and gallery together.
    """
    from resight.commands.camera_statistics import write_statistics
    from resight.features.embedding import embed_crops
    from resight.inference.by_camera import CameraEmbedder
    from resight.inference.embedder import Embedder
    from resight.inference.loading import model_or_default

    if batch < 1:
        raise UserError(f"--batch must be at least 1; got {batch}.")
    crops = reading.crops(data, part, unlabelled)
    if camera_normalise and (crops.cameras is None or len(set(crops.cameras.tolist())) < 2):
        raise UserError(
            f"--camera-normalise needs crops from two known cameras or more; those of {data} are from "
            f"{'one' if crops.cameras is not None else 'unknown cameras'}. Leave it out."
        )
    for note in crops.notes:
        say(f"Note: {note}")
    embedder = Embedder(
        model_or_default(model, device=device, runtime=runtime),
        branches=None if branches == "both" else [branches],
        views=views,
        batch_size=batch,
    )
    adapted = None
    if adapt_statistics:
        cameras = [None] * len(crops.paths) if crops.cameras is None else crops.cameras.tolist()
        adapted = CameraEmbedder(embedder, dict(zip(crops.paths, cameras, strict=True)))
    info = embed_crops(embedder, crops, out, dtype=dtype, skip_unreadable=skip_unreadable, by_camera=adapted)
    if not is_first_process():
        return
    say_left_out(info["unreadable"])
    for reason in info["unreadable"]:
        crops.left_out.add_unreadable(reason, reason)
    result = info | {"folder": str(out), "left_out": crops.left_out.as_list()}
    if camera_normalise:
        result["camera_statistics"] = str(write_statistics(out))
    if json:
        print_json(result)
        return
    print(_summary(info, out))
    if camera_normalise:
        print(f"Statistics of {info['counts']['cameras']:,} cameras: {result['camera_statistics']}")
    print_left_out(crops.left_out)


def _summary(info: dict[str, Any], out: Path) -> str:
    counts = info["counts"]
    known = ", ".join(f"{counts[name]:,} {name}" for name in ("persons", "cameras") if name in counts)
    rows, width = info["rows"], info["width"]
    size = rows * width * (2 if info["dtype"] == "float16" else 4) / 1e6
    return (
        f"{out}: {rows:,} crops{f' ({known})' if known else ', without labels'}, {width} numbers each, "
        f"{info['dtype']}, {size:,.1f} MB.\n"
        f"Model {info['model']}, views {info['views']}, fingerprint {info['fingerprint']}."
    )

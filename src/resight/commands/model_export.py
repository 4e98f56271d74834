"""``resight model export``: write a model as a file for other programs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.options import Json
from resight.commands.output import print_json

SAMPLE = 64
"""Number of crops of --data whose vectors are compared."""


def export(
    model: Path,
    *,
    out: Path,
    to: Literal["onnx", "openvino"] = "onnx",
    caller: Annotated[Literal["pixels", "boxmot", "frigate"], Parameter(name="--input")] = "pixels",
    opset: int = 18,
    data: Path | None = None,
    reading: DataOptions = DEFAULT,
    json: Json = False,
) -> None:
    """Write a model as an ONNX file or OpenVINO IR, which takes pixels and returns vectors.

    Normalisation and views are inside the file, and it takes any number of crops. Its vectors are compared
    with PyTorch's; if they differ, nothing is written.

    Args:
        model: a run, a model folder with weights, or a weights file.
        out: file to write: .onnx, or .xml, which gets its .bin file beside it.
        to: format.
        caller: what the other program gives: pixels, uint8 [batch, height, width, 3], RGB; boxmot or
            frigate, float32 [batch, 3, height, width], normalised as these programs do.
        opset: version of ONNX's operations, 9 to 20.
        data: folder or list of crops; the vectors of 64 of them are compared, besides generated crops.
    """
    from resight.imaging import read_image, resize_all
    from resight.inference.exporting import export_model
    from resight.inference.loading import load_model
    from resight.models.network import picture_size

    if data is None:
        reading.refuse_without_data("Without it, only the vectors of generated crops are compared.")
    loaded = load_model(model, device="cpu")
    pictures = []
    if data is not None:
        paths = reading.crops(data, "all", True).paths
        chosen = [paths[number * len(paths) // SAMPLE] for number in range(SAMPLE)]
        size = picture_size(loaded.network.input_size, loaded.network.views)
        pictures = resize_all(map(read_image, dict.fromkeys(chosen)), size, loaded.resizing)
    found = export_model(loaded, out, to, caller=caller, opset=opset, pictures=pictures)
    if json:
        print_json(asdict(found) | {"path": str(out)})
        return
    print(f"{out}: opset {found.opset}, from {found.input} to {found.output}.")
    print(f"Compared with PyTorch on {found.crops:,} crops: smallest cosine {found.cosine:.7f}.")

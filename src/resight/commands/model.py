"""``resight model``: list the networks, import other toolkits' models, and describe a model."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from resight.commands.options import Json
from resight.commands.output import print_json, print_table, show
from resight.errors import UserError
from resight.progress import say

ChannelValues = Annotated[str | None, Parameter(negative="")]


def list_networks(*, json: Json = False) -> None:
    """List the networks: parameters, multiply-adds, FLOPs (twice that), input and embedding size.

    Identity classifiers are not counted, because only training uses them.

    Args:
        json: print a JSON list of objects.
    """
    rows = _figures()
    if json:
        print_json(rows)
        return
    print_table(
        ("network", "parameters", "multiply-adds", "FLOPs", "input", "embedding"),
        [
            (
                row["name"],
                f"{row['parameters']:,}",
                f"{row['multiply_adds']:.3g}".replace("e+0", "e"),
                f"{row['flops']:.3g}".replace("e+0", "e"),
                "x".join(map(str, row["input"])),
                row["embedding"],
            )
            for row in rows
        ],
    )


def import_file(
    file: Path,
    *,
    out: Path,
    architecture: str | None = None,
    camera_embedding: int | None = None,
    name: str | None = None,
    output: str | None = None,
    input_size: str | None = None,
    colours: Literal["rgb", "bgr"] | None = None,
    value_range: Literal["1", "255"] | None = None,
    mean: ChannelValues = None,
    deviation: ChannelValues = None,
    interpolation: Literal["bilinear", "bicubic", "bilinear-aliased"] | None = None,
    padding: int | None = None,
    views: Literal["one", "mirror", "ten-crop"] | None = None,
    descriptor: Literal["raw", "unit"] | None = None,
    json: Json = False,
) -> None:
    """Make a model folder from a file: ONNX, OpenVINO IR, or weights of a known architecture.

    The preprocessing of known files is recognised by the names of their inputs and outputs. For others, it is
    given by options; the default is RGB with ImageNet's mean and deviation.

    Args:
        file: ONNX file, .xml file beside its .bin file, weights (.pth, .pt, .safetensors), or a folder of
            Roboflow's reid.
        out: folder to write.
        architecture: architecture of the weights; by default recognised by the names and shapes of tensors.
        camera_embedding: camera of the training data, from 0, whose vector is added for every crop
            (TransReID, CLIP-ReID); by default none.
        name: name of the model, shown to users; by default the file's.
        output: name of the output that is the embedding, if there are several.
        input_size: height and width, as 256x128.
        colours: order of the channels.
        value_range: 1 for pixels from 0 to 1, 255 for pixels from 0 to 255, before mean and deviation.
        mean: mean of each channel in that range, such as 0.485,0.456,0.406; or one number for all.
        deviation: deviation of each channel in that range, such as 0.229,0.224,0.225; or one number for all.
        interpolation: antialiased like Pillow's, or bilinear-aliased like OpenCV's INTER_LINEAR.
        padding: keep the proportions of crops and fill the rest with this grey, 0 to 255; by default, crops
            are stretched.
        views: views of each crop; their vectors are averaged.
        descriptor: raw vectors, or unit for vectors scaled to length 1.
    """
    from resight.inference.importing import import_model

    given = {
        "input_size": None if input_size is None else _size(input_size),
        "colours": colours,
        "value_range": None if value_range is None else int(value_range),
        "mean": None if mean is None else _channel_values("--mean", mean),
        "deviation": None if deviation is None else _channel_values("--deviation", deviation),
        "interpolation": interpolation,
        "padding": padding,
        "views": views,
        "descriptor": descriptor,
    }
    imported = import_model(
        file,
        out,
        architecture=architecture,
        camera=camera_embedding,
        name=name,
        output=output,
        given={key: value for key, value in given.items() if value is not None},
    )
    for note in imported.notes:
        say(f"Note: {note}")
    info(out, json=json)


def info(model: Path, *, json: Json = False) -> None:
    """Describe a model: its network, its preprocessing and its fingerprint.

    Args:
        model: a run, a model folder, or a weights, ONNX or OpenVINO file.
    """
    from resight.inference.embedder import Embedder
    from resight.inference.graphs import GraphModel
    from resight.inference.loading import load_model
    from resight.inference.model_folder import calibration_of, preprocessing_of

    loaded = load_model(model)
    network, embedder = loaded.network, Embedder(loaded)
    preprocessing = preprocessing_of(network, loaded.resizing)
    facts: dict[str, Any] = {
        "name": loaded.name,
        "source": str(loaded.source),
        "width": embedder.width,
        "fingerprint": embedder.fingerprint,
        "precision": embedder.precision,
        "preprocessing": preprocessing.model_dump(mode="json"),
    }
    if (calibration := calibration_of(loaded.source)) is not None:
        facts["calibration"] = calibration.model_dump(mode="json")
    if isinstance(network, GraphModel):
        graph = network.settings
        facts |= {"network": network.path.suffix.lower()[1:], "graph": graph.model_dump(mode="json")}
        batch = "any number of crops" if graph.batch is None else f"{graph.batch} crops"
        what = f"{graph.file}, output {graph.output}, {batch} at once" + "".join(
            f"; {repair}" for repair in graph.repairs
        )
    else:
        parameters = sum(one.numel() for one in network.parameters())
        facts |= {"network": network.name, "parameters": parameters, "settings": network.settings}
        what = f"{network.name}, {parameters:,} parameters"
    if json:
        print_json(facts)
        return
    show(f"{loaded.name}, from {facts['source']}")
    print(f"Network: {what}.")
    print(f"Preprocessing: {preprocessing.describe()}.")
    if calibration is not None:
        print(f"In int8, calibrated with {calibration.describe()}.")
    print(f"Vectors: {embedder.width} numbers, {embedder.precision}, fingerprint {embedder.fingerprint}.")


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.lower().split("x"))
    except ValueError:
        raise UserError(f"--input-size is height x width, such as 256x128; got '{text}'.") from None
    return height, width


def _channel_values(option: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(map(float, text.split(",")))
    except ValueError:
        values = ()
    if len(values) not in (1, 3):
        raise UserError(f"{option} is a number for each channel, such as 0.485,0.456,0.406; got '{text}'.")
    return values * 3 if len(values) == 1 else values


def _figures() -> list[dict[str, Any]]:
    from dataclasses import asdict

    import torch

    from resight.models.complexity import measure
    from resight.models.network import MODELS, Network, build_model

    rows = []
    for model in MODELS.names():
        component = MODELS.get(model)
        assert isinstance(component, type)
        assert issubclass(component, Network)
        for name, settings in (component.variants or {model: {}}).items():
            with torch.device("meta"):
                network = build_model(model, 1, **settings)
            rows.append({"name": name, **asdict(measure(network))})
    return rows

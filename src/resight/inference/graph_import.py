"""Importing ONNX files and OpenVINO IR: how they are fed, which output they give, how many crops at once."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resight.errors import UserError
from resight.inference.graphs import GraphEmbedder, GraphModel, GraphSettings, graph_files
from resight.inference.known_files import KnownFile, recognise
from resight.inference.model_folder import ModelSettings
from resight.inference.onnx_repair import open_batch, replace_normalisations
from resight.inference.preprocessing import PLAIN, Layout, Preprocessing, check_settings
from resight.inference.runtimes.graph import Array, Graph, Port, describe_ports, open_graph

METADATA = "resight.preprocessing"
"""Key of an ONNX file's metadata that holds settings of ``Preprocessing``, as JSON."""

PROBES = 5
"""Crops of noise by which a graph is tried: more than OpenVINO runs one by one (``runtimes.graph.ALONE``)."""

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "int8": 0.1}
"""By which vectors that are computed one by one and together may differ, as a share of the largest number: in
graphs that compute so. Of int8 some roundings fall the other way."""

QUANTISED = (b"FakeQuantize", b"QuantizeLinear", b"QLinear", b"ConvInteger")
"""In graphs that compute in int8."""

CLASS_WORDS = ("logit", "prob", "class", "cls", "score", "softmax")
"""In names of outputs that are scores of classes."""

IMAGENET = (1000, 224)
"""Classes, and height and width of the crops, of networks that name ImageNet's classes."""


def import_graph(
    path: Path, folder: Path, name: str, output: str | None, given: Mapping[str, Any]
) -> tuple[ModelSettings, list[str]]:
    """Copy a graph into a folder, mended where needed; return its settings and what the user should know.

    Raises:
        UserError: it cannot be run, or is no embedder; or ``given`` does not fit it.
    """
    graph = open_graph(path)
    port, layout = _picture_input(path, graph)
    outputs = [one.name for one in graph.outputs]
    if output is not None and output not in outputs:
        raise UserError(f"{path} has no output '{output}'. Its outputs: {describe_ports(graph.outputs)}.")
    known = recognise(path.suffix.lower(), port.name, outputs)
    target = folder / f"model{path.suffix.lower()}"
    content, repairs = _copy(path, target)
    own = _metadata(path, content)
    fed = _feeding(path, port, layout, known, {**own, **given})
    settings = GraphSettings(
        file=target.name, layout=layout, output="", batch=port.shape[0] or 1, repairs=repairs
    )
    wanted = output or (None if known is None else known.output)
    found = _outputs(open_graph(target), settings, fed)
    settings = settings.model_copy(update={"output": _embedding(path, graph, found, wanted, output, fed)})
    settings = _choose_batch(target, settings, fed, port, content)
    notes = []
    if known is not None:
        notes.append(f"{path.name} is a known file ({known.name}): how crops are fed to it is known.")
    elif not own and not given:
        notes.append(
            f"Nothing in {path.name} says how crops are fed to it. Assumed is the usual: RGB, 0 to 1, "
            "ImageNet's mean and deviation. A wrong guess costs accuracy in silence. Try others: "
            "resight model check"
        )
    if settings.batch is not None:
        notes.append(
            f"It takes crops {settings.batch} at a time, and could not be made to take other numbers."
        )
    kind = None if known is None else known.name
    return (
        ModelSettings(name=name, source=path.name, kind=kind, graph=settings, preprocessing=fed),
        notes,
    )


def says_how(path: Path) -> bool:
    """Return whether a file that can be imported says how crops are fed to it."""
    graph = open_graph(path)
    outputs = [one.name for one in graph.outputs]
    return bool(recognise(path.suffix.lower(), graph.inputs[0].name, outputs) or _metadata(path, _load(path)))


def _picture_input(path: Path, graph: Graph) -> tuple[Port, Layout]:
    """Return the input, and whether channels come first in it."""
    inputs = describe_ports(graph.inputs)
    if len(graph.inputs) != 1:
        raise UserError(f"{path} takes several inputs: {inputs}. An embedder takes crops, and nothing else.")
    port = graph.inputs[0]
    if len(port.shape) == 4 and port.dtype in ("float32", "float16", "float64", "uint8"):
        if port.shape[1] == 3 or (port.shape[1] is None and port.shape[3] is None):
            return port, "nchw"
        if port.shape[3] == 3:
            return port, "nhwc"
    raise UserError(
        f"{path} takes {inputs}: not one crop of three channels. Expected is [batch, 3, height, width] or "
        "[batch, height, width, 3] of float32, float16 or uint8. Networks that look at several frames at "
        "once, or at another number of channels, cannot be used."
    )


def _load(path: Path) -> Any:
    """Return the ONNX model in a file, with its external data; None for OpenVINO IR."""
    if not _is_onnx(path):
        return None
    try:
        import onnx
    except ImportError:
        raise UserError(
            "To import an ONNX file, the package onnx is needed: pip install 'resight[onnx]'"
        ) from None
    return onnx.load(path)


def _copy(path: Path, target: Path) -> tuple[Any, tuple[str, ...]]:
    """Copy a graph's files, normalisations mended; return the ONNX model, if it is one, and the repairs."""
    content = _load(path)
    if content is None:
        for source in graph_files(path):
            shutil.copyfile(source, target.with_suffix(source.suffix.lower()))
        return None, ()
    count = replace_normalisations(content)
    if count or external_files(path):
        target.write_bytes(content.SerializeToString())
    else:
        shutil.copyfile(path, target)
    return content, (f"{count} MeanVarianceNormalization written out",) if count else ()


def external_files(path: Path) -> list[Path]:
    """Return the files that hold weights of an ONNX file; none for other files."""
    try:
        import onnx

        tensors = onnx.load(path, load_external_data=False).graph.initializer if _is_onnx(path) else ()
    except Exception:  # open_graph says what is wrong: with the file, or that a package is missing
        return []
    places = {one.value for tensor in tensors for one in tensor.external_data if one.key == "location"}
    return [path.parent / place for place in sorted(places)]


def _is_onnx(path: Path) -> bool:
    return path.suffix.lower() == ".onnx"


def _metadata(path: Path, content: Any) -> dict[str, Any]:
    """Return the settings of ``Preprocessing`` that an ONNX file's metadata hold."""
    text = next((one.value for one in getattr(content, "metadata_props", ()) if one.key == METADATA), None)
    if text is None:
        return {}
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise UserError(f"The metadata '{METADATA}' of {path} are no JSON object.") from None


def _feeding(
    path: Path, port: Port, layout: Layout, known: KnownFile | None, given: Mapping[str, Any]
) -> Preprocessing:
    """Return how crops are fed to the graph."""
    height, width = port.shape[2:] if layout == "nchw" else port.shape[1:3]
    size = tuple(given.get("input_size") or (height, width))
    if None in size:
        raise UserError(
            f"{path} takes crops of any size: {port}. Say which: --input-size 256x128 (height x width)."
        )
    if any(side not in (None, own) for side, own in zip((height, width), size, strict=True)):
        raise UserError(
            f"{path} takes crops of {height or 'any'} x {width or 'any'} pixels (height x width); got the "
            f"input size {size[0]}x{size[1]}. Leave --input-size out."
        )
    usual = PLAIN if port.dtype == "uint8" else {} if known is None else known.preprocessing
    fed = check_settings({**usual, **given, "input_size": size})
    if port.dtype == "uint8" and fed.model_dump(include=set(PLAIN)) != PLAIN:
        raise UserError(
            f"{path} takes pixels as whole numbers, uint8: 0 to 255, without mean and deviation. Leave "
            "--value-range, --mean and --deviation out."
        )
    return fed


def _noise(fed: Preprocessing) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (PROBES, *fed.input_size, 3), np.uint8)
    return torch.from_numpy(pixels)


def _outputs(graph: Graph, settings: GraphSettings, fed: Preprocessing) -> dict[str, Array]:
    """Return all outputs for so many crops of noise as the graph takes."""
    crops = _noise(fed).permute(0, 3, 1, 2)
    count = settings.batch or PROBES
    ready = fed.normalise(crops.repeat(-(-count // PROBES), 1, 1, 1)[:count], settings.layout)
    return graph.run(ready.numpy())


def _embedding(
    path: Path,
    graph: Graph,
    found: Mapping[str, Array],
    wanted: str | None,
    named: str | None,
    fed: Preprocessing,
) -> str:
    """Return the name of the output that is one vector a crop.

    Args:
        found: outputs for one batch.
        wanted: name of the output, where it is known.
        named: the name that the user gave; such an output may be called what it likes.
    """
    ports = describe_ports(graph.outputs)
    batch = graph.inputs[0].shape[0] or 1
    vectors = {name: value.reshape(batch, -1) for name, value in found.items() if _is_vector(value, batch)}
    classes = [
        name
        for name, value in vectors.items()
        if _sums_to_one(value)
        or (
            name != named
            and (
                any(word in name.lower() for word in CLASS_WORDS)
                or (value.shape[1], *fed.input_size) == (IMAGENET[0], IMAGENET[1], IMAGENET[1])
            )
        )
    ]
    left = [name for name in vectors if name not in classes]
    if wanted in left:
        return str(wanted)
    if wanted in classes or (not left and classes):
        raise UserError(
            f"{path} is a classifier: its output '{wanted or classes[0]}' says how likely each of "
            f"{vectors[wanted or classes[0]].shape[1]} classes is. An embedder is expected, whose output is "
            f"one vector a crop. Its outputs: {ports}. Export the network without its classifier, or name an "
            "output that is a vector: --output NAME."
        )
    if not left or wanted is not None:
        raise UserError(
            f"{path} is no embedder: of its outputs, {ports}, "
            f"{'none is' if wanted is None else f'{wanted!r} is not'} one vector a crop, "
            "[batch, numbers]. Detectors and networks that make pictures have such outputs."
        )
    if len(left) > 1:
        raise UserError(
            f"{path} has several outputs that may be the embedding: {', '.join(left)}. Say which: "
            f"--output NAME. All of them: {ports}."
        )
    return left[0]


def _is_vector(value: Array, batch: int) -> bool:
    numbers = value.size // batch if batch else 0
    return value.dtype.kind == "f" and value.ndim >= 2 and value.shape[:2] == (batch, numbers) and numbers > 1


def _sums_to_one(vectors: Array) -> bool:
    return bool((vectors >= 0).all() and np.allclose(vectors.sum(1), 1, atol=1e-3))


def _choose_batch(
    target: Path, settings: GraphSettings, fed: Preprocessing, port: Port, content: Any
) -> GraphSettings:
    """Return settings with any number of crops at once, where that gives the vectors of crops one by one.

    An ONNX file that fixes the number is written anew if that helps.
    """
    expected = _vectors(target, settings, fed)
    if not torch.isfinite(expected).all():
        raise UserError(
            f"{target.name} gives vectors with NaN or infinity for crops of noise, so it cannot be used."
        )
    opened = settings.model_copy(update={"batch": None})
    data = target.read_bytes()
    quantised = any(word in data for word in QUANTISED)
    kind = "int8" if quantised else "float16" if port.dtype == "float16" else "float32"
    limit = TOLERANCE[kind] * float(expected.abs().max())

    def same(path: Path) -> bool:
        try:
            found = _vectors(path, opened, fed)
        except UserError:
            return False
        return found.shape == expected.shape and bool((found - expected).abs().max() <= limit)

    if (port.shape[0] is None or content is None) and same(target):
        return opened
    if content is not None:
        open_batch(content, port.name, settings.batch or 1)
        mended = target.with_name("mended.onnx")
        mended.write_bytes(content.SerializeToString())
        if same(mended):
            mended.replace(target)
            return opened.model_copy(update={"repairs": (*settings.repairs, "batch size opened")})
        mended.unlink()
    return settings


def _vectors(path: Path, settings: GraphSettings, fed: Preprocessing) -> torch.Tensor:
    model = GraphModel(path, path.name, settings, fed.model_copy(update={"views": "one"}), "raw")
    return GraphEmbedder(model)(_noise(fed))

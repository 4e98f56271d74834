"""Importing ONNX files and OpenVINO IR: their preprocessing, the output to use, and their batch size."""

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
from resight.inference.preprocessing import RAW_PIXELS, Layout, Preprocessing, check_settings
from resight.inference.runtimes.graph import METADATA, Array, Graph, Port, describe_ports, open_graph

PROBES = 5
"""Crops of noise that a graph is tested with: more than OpenVINO runs singly (``runtimes.graph.SINGLY``)."""

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "int8": 0.1}
"""Largest difference between vectors computed singly and in a batch, as a share of the largest number, by the
type that the graph computes in. In int8, some numbers are rounded the other way."""

QUANTISED = (b"FakeQuantize", b"QuantizeLinear", b"QLinear", b"ConvInteger")
"""Operations that only graphs in int8 have."""

CLASS_WORDS = ("logit", "prob", "class", "cls", "score", "softmax")
"""Words in the names of outputs that are class scores."""

IMAGENET = (1000, 224)
"""Number of classes, and height and width of the input, of ImageNet classifiers."""


def import_graph(
    path: Path, folder: Path, name: str, output: str | None, given: Mapping[str, Any]
) -> tuple[ModelSettings, list[str]]:
    """Copy a graph into a folder, repaired if needed; return its settings and notes for the user.

    Raises:
        UserError: it cannot be run, or is not an embedder; or ``given`` does not fit it.
    """
    graph = open_graph(path)
    port, layout = _picture_input(path, graph)
    outputs = [one.name for one in graph.outputs]
    if output is not None and output not in outputs:
        raise UserError(f"{path} has no output '{output}'. Its outputs: {describe_ports(graph.outputs)}.")
    known = recognise(path.suffix.lower(), port.name, outputs)
    target = folder / f"model{path.suffix.lower()}"
    content, repairs = _copy(path, target)
    own = _metadata(path, graph)
    _refuse_contradiction(path, own, given)
    preprocessing = _preprocessing(path, port, layout, known, {**own, **given})
    settings = GraphSettings(
        file=target.name, layout=layout, output="", batch=port.shape[0] or 1, repairs=repairs
    )
    wanted = output or (None if known is None else known.output)
    found = _outputs(open_graph(target), settings, preprocessing)
    settings = settings.model_copy(
        update={"output": _embedding(path, graph, found, wanted, output, preprocessing)}
    )
    settings = _choose_batch(target, settings, preprocessing, port, content)
    notes = []
    if known is not None:
        notes.append(f"{path.name} is a known file ({known.name}), so its preprocessing is known.")
    elif not own and not given:
        notes.append(
            f"{path.name} does not say which preprocessing it needs. RGB from 0 to 1 with ImageNet's mean "
            "and deviation is assumed. If that is wrong, it is less accurate, without any error. Check it: "
            "resight model check"
        )
    if settings.batch is not None:
        notes.append(
            f"Its batch size is fixed: it takes {settings.batch} crops at a time. This could not be changed."
        )
    kind = None if known is None else known.name
    return (
        ModelSettings(name=name, source=path.name, kind=kind, graph=settings, preprocessing=preprocessing),
        notes,
    )


def has_preprocessing(path: Path) -> bool:
    """Return whether a graph's preprocessing is known, from its kind or its metadata."""
    graph = open_graph(path)
    outputs = [one.name for one in graph.outputs]
    return bool(recognise(path.suffix.lower(), graph.inputs[0].name, outputs) or _metadata(path, graph))


def _picture_input(path: Path, graph: Graph) -> tuple[Port, Layout]:
    """Return the input, and the order of its axes."""
    inputs = describe_ports(graph.inputs)
    if len(graph.inputs) != 1:
        raise UserError(f"{path} takes several inputs: {inputs}. An embedder takes only crops.")
    port = graph.inputs[0]
    if len(port.shape) == 4 and port.dtype in ("float32", "float16", "float64", "uint8"):
        if port.shape[1] == 3 or (port.shape[1] is None and port.shape[3] is None):
            return port, "nchw"
        if port.shape[3] == 3:
            return port, "nhwc"
    raise UserError(
        f"{path} takes {inputs}, not crops with three channels. Expected [batch, 3, height, width] or "
        "[batch, height, width, 3] of float32, float16 or uint8. Networks that take several frames at once, "
        "or another number of channels, cannot be used."
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
    """Copy a graph's files and repair its normalisations; return the ONNX model, if any, and the repairs."""
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
    return content, (f"{count} MeanVarianceNormalization replaced",) if count else ()


def external_files(path: Path) -> list[Path]:
    """Return the files that hold weights of an ONNX file; none for other files."""
    try:
        import onnx

        tensors = onnx.load(path, load_external_data=False).graph.initializer if _is_onnx(path) else ()
    except Exception:  # open_graph reports what is wrong: a damaged file, or a missing package
        return []
    places = {one.value for tensor in tensors for one in tensor.external_data if one.key == "location"}
    return [path.parent / place for place in sorted(places)]


def _is_onnx(path: Path) -> bool:
    return path.suffix.lower() == ".onnx"


def _metadata(path: Path, graph: Graph) -> dict[str, Any]:
    """Return the settings of ``Preprocessing`` in a file's metadata."""
    text = graph.metadata.get(METADATA)
    if text is None:
        return {}
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise UserError(f"The metadata '{METADATA}' of {path} are not a JSON object.") from None


def _refuse_contradiction(path: Path, own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse pixels in another range or order than the file says."""
    said = check_settings({"input_size": (1, 1), **own})
    wanted = said.model_copy(update={key: given[key] for key in ("colours", *RAW_PIXELS) if key in given})
    if own and wanted != said:
        raise UserError(
            f"{path} says in its metadata how crops are prepared for it: {said.describe_pixels()}. Got: "
            f"{wanted.describe_pixels()}. Leave --colours, --value-range, --mean and --deviation out."
        )


def _preprocessing(
    path: Path, port: Port, layout: Layout, known: KnownFile | None, given: Mapping[str, Any]
) -> Preprocessing:
    """Return the graph's preprocessing."""
    height, width = port.shape[2:] if layout == "nchw" else port.shape[1:3]
    size = tuple(given.get("input_size") or (height, width))
    if None in size:
        raise UserError(
            f"{path} takes crops of any size: {port}. Choose one: --input-size 256x128 (height x width)."
        )
    if any(side not in (None, own) for side, own in zip((height, width), size, strict=True)):
        raise UserError(
            f"{path} takes crops of {height or 'any'} x {width or 'any'} pixels (height x width); got the "
            f"input size {size[0]}x{size[1]}. Leave --input-size out."
        )
    defaults = RAW_PIXELS if port.dtype == "uint8" else {} if known is None else known.preprocessing
    preprocessing = check_settings({**defaults, **given, "input_size": size})
    if port.dtype == "uint8" and preprocessing.model_dump(include=set(RAW_PIXELS)) != RAW_PIXELS:
        raise UserError(
            f"{path} takes pixels as uint8, 0 to 255, without mean and deviation. Leave --value-range, "
            "--mean and --deviation out."
        )
    return preprocessing


def _noise(preprocessing: Preprocessing) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (PROBES, *preprocessing.input_size, 3), np.uint8)
    return torch.from_numpy(pixels)


def _outputs(graph: Graph, settings: GraphSettings, preprocessing: Preprocessing) -> dict[str, Array]:
    """Return all outputs for one batch of noise."""
    crops = _noise(preprocessing).permute(0, 3, 1, 2)
    count = settings.batch or PROBES
    images = preprocessing.normalise(crops.repeat(-(-count // PROBES), 1, 1, 1)[:count], settings.layout)
    return graph.run(images.numpy())


def _embedding(
    path: Path,
    graph: Graph,
    found: Mapping[str, Array],
    wanted: str | None,
    named: str | None,
    preprocessing: Preprocessing,
) -> str:
    """Return the name of the output that is one vector per crop.

    Args:
        found: outputs for one batch.
        wanted: name of the output, if it is known.
        named: name given by the user: this output may have the name of a class score.
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
                or (value.shape[1], *preprocessing.input_size) == (IMAGENET[0], IMAGENET[1], IMAGENET[1])
            )
        )
    ]
    left = [name for name in vectors if name not in classes]
    if wanted in left:
        return str(wanted)
    if wanted in classes or (not left and classes):
        raise UserError(
            f"{path} is a classifier: its output '{wanted or classes[0]}' has the scores of "
            f"{vectors[wanted or classes[0]].shape[1]} classes. An embedder is expected, whose output is one "
            f"vector per crop. Its outputs: {ports}. Export the network without its classifier, or choose an "
            "output that is a vector: --output NAME."
        )
    if not left or wanted is not None:
        raise UserError(
            f"{path} is not an embedder: of its outputs, {ports}, "
            f"{'none is' if wanted is None else f'{wanted!r} is not'} one vector per crop, "
            "[batch, numbers]. It may be a detector, or a network that returns pictures."
        )
    if len(left) > 1:
        raise UserError(
            f"{path} has several outputs that may be the embedding: {', '.join(left)}. Choose one: --output "
            f"NAME. All outputs: {ports}."
        )
    return left[0]


def _is_vector(value: Array, batch: int) -> bool:
    numbers = value.size // batch if batch else 0
    return value.dtype.kind == "f" and value.ndim >= 2 and value.shape[:2] == (batch, numbers) and numbers > 1


def _sums_to_one(vectors: Array) -> bool:
    return bool((vectors >= 0).all() and np.allclose(vectors.sum(1), 1, atol=1e-3))


def _choose_batch(
    target: Path, settings: GraphSettings, preprocessing: Preprocessing, port: Port, content: Any
) -> GraphSettings:
    """Return settings for batches of any size, if these give the same vectors as single crops.

    If an ONNX file fixes the batch size, it is rewritten without that if possible.
    """
    expected = _vectors(target, settings, preprocessing)
    if not torch.isfinite(expected).all():
        raise UserError(f"{target.name} returns NaN or infinity for crops of noise, so it cannot be used.")
    any_size = settings.model_copy(update={"batch": None})
    data = target.read_bytes()
    quantised = any(word in data for word in QUANTISED)
    kind = "int8" if quantised else "float16" if port.dtype == "float16" else "float32"
    limit = TOLERANCE[kind] * float(expected.abs().max())

    def same(path: Path) -> bool:
        try:
            found = _vectors(path, any_size, preprocessing)
        except UserError:
            return False
        return found.shape == expected.shape and bool((found - expected).abs().max() <= limit)

    if (port.shape[0] is None or content is None) and same(target):
        return any_size
    if content is not None:
        open_batch(content, port.name, settings.batch or 1)
        rewritten = target.with_name("rewritten.onnx")
        rewritten.write_bytes(content.SerializeToString())
        if same(rewritten):
            rewritten.replace(target)
            return any_size.model_copy(update={"repairs": (*settings.repairs, "batch size made variable")})
        rewritten.unlink()
    return settings


def _vectors(path: Path, settings: GraphSettings, preprocessing: Preprocessing) -> torch.Tensor:
    model = GraphModel(path, path.name, settings, preprocessing.model_copy(update={"views": "one"}), "raw")
    return GraphEmbedder(model)(_noise(preprocessing))

"""Static int8 quantisation of ONNX graphs and of our own networks, into model folders.

ONNX Runtime calibrates and writes the graph: QuantizeLinear and DequantizeLinear around each operation, one
scale for each channel of the weights. ONNX Runtime and OpenVINO both compute it in int8.
"""

import importlib
import logging
from collections.abc import Iterator
from pathlib import Path

import torch

from resight.errors import UserError
from resight.imaging import Pixels
from resight.inference.graph_import import QUANTISED
from resight.inference.graphs import GraphModel, GraphSettings
from resight.inference.loading import LoadedModel
from resight.inference.model_folder import Int8Calibration, ModelSettings
from resight.inference.preprocessing import RAW_PIXELS, Preprocessing, check_settings
from resight.inference.runtimes.export import exported, folder_for_graph
from resight.inference.runtimes.graph import Array, open_graph
from resight.models.fingerprint import fingerprint
from resight.models.network import cut_views

FEWEST = 50
"""Fewest crops to calibrate with: ranges of activations that fewer crops do not reach are cut off."""

VARIATION = 2.0
"""Smallest standard deviation of a crop's pixels: below, it is of one colour, or noise of a sensor."""

BATCH = 8

ERRORS, WARNINGS = 3, 2
"""Levels of ONNX Runtime's messages: the least severe that are shown."""

OPERATIONS = (
    *("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Concat", "Split", "Slice", "Pad", "Resize", "Transpose", "Reshape"),
)
"""Operations of ONNX that are computed in int8. Products of activations, sums and sigmoids, which attention
consists of, stay in float32: to round what goes in and comes out takes longer than they do."""


def check_quantisable(model: LoadedModel) -> None:
    """Refuse a model that ONNX Runtime cannot quantise.

    Raises:
        UserError: it is OpenVINO IR, or in int8 already.
    """
    if not isinstance(model.network, GraphModel):
        return
    path = model.network.path
    if path.suffix.lower() != ".onnx":
        raise UserError(
            f"{model.name} is OpenVINO IR, which ONNX Runtime cannot quantise. Give the ONNX file that it "
            "was converted from."
        )
    if any(word in path.read_bytes() for word in QUANTISED):
        raise UserError(f"{model.name} is in int8 already.")


def check_crops(crops: Pixels, source: str) -> None:
    """Refuse crops that activations cannot be calibrated with.

    Args:
        crops: uint8 [N, H, W, 3].
        source: origin of the crops, for messages.

    Raises:
        UserError: there are too few different ones, or too few that show anything.
    """
    different = len({crop.tobytes() for crop in crops})
    if different < FEWEST:
        raise UserError(
            f"{source} has {different} different crops to calibrate with; at least {FEWEST} are needed, "
            "better 300. Give more crops, or leave --data out to use synthetic people."
        )
    shown = sum(float(crop.reshape(-1, 3).std(0).max()) >= VARIATION for crop in crops)
    if shown < FEWEST:
        raise UserError(
            f"Of {len(crops)} crops in {source}, {len(crops) - shown} are of one colour. At least {FEWEST} "
            "crops that show persons are needed. Give others, or leave --data out to use synthetic people."
        )


def quantise(model: LoadedModel, crops: Pixels, source: str, folder: Path) -> ModelSettings:
    """Write a model's graph in int8 to a folder; return the settings, which the caller completes and writes.

    Args:
        model: one of our own networks, or an ONNX graph.
        crops: to calibrate with, uint8 [N, *picture_size, 3].
        source: origin of the crops, for the settings.
        folder: existing folder.

    Raises:
        UserError: ONNX Runtime cannot quantise it; or see ``check_quantisable`` and ``check_crops``.
    """
    check_quantisable(model)
    check_crops(crops, source)
    graph, settings, preprocessing = _float_graph(model)
    port = open_graph(graph, "onnxruntime").inputs[0]
    views = cut_views(
        torch.from_numpy(crops).permute(0, 3, 1, 2), preprocessing.input_size, preprocessing.views
    )
    size = settings.batch or BATCH
    batches = (
        {port.name: preprocessing.normalise(part, settings.layout).numpy().astype(port.dtype)}
        for part in views[0].split(size)
        if len(part) == size
    )
    settings = settings.model_copy(update={"file": "model.onnx"})
    _write(graph, folder / settings.file, batches)
    return ModelSettings(
        name=f"{model.name}-int8",
        source=graph.name if model.source is None else model.source.name,
        graph=settings,
        preprocessing=preprocessing,
        calibration=Int8Calibration(crops=len(crops), source=source, input_range=preprocessing.input_range()),
    )


def _float_graph(model: LoadedModel) -> tuple[Path, GraphSettings, Preprocessing]:
    """Return a model's float32 graph in an ONNX file, how it is run, and its preprocessing."""
    network = model.network
    if isinstance(network, GraphModel):
        preprocessing = network.preprocessing.model_copy(update={"descriptor": network.descriptor})
        return network.path, network.settings, preprocessing
    path = exported(network, fingerprint(network, None, "one"), folder_for_graph(model.source))
    preprocessing = check_settings(  # the graph normalises pixels and scales vectors itself
        RAW_PIXELS
        | {"input_size": network.input_size, "views": network.views}
        | {"interpolation": model.resizing.interpolation, "padding": model.resizing.padding}
    )
    return path, GraphSettings(file=path.name, layout="nhwc", output="vectors"), preprocessing


def _write(graph: Path, target: Path, batches: Iterator[dict[str, Array]]) -> None:
    try:
        runtime = importlib.import_module("onnxruntime")
        tools = importlib.import_module("onnxruntime.quantization")
    except ImportError:
        raise UserError(
            "To quantise a model, the package onnx is needed: pip install 'resight[onnx]'"
        ) from None
    prepare = importlib.import_module("onnxruntime.quantization.shape_inference").quant_pre_process

    class Reader(tools.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def get_next(self) -> dict[str, Array] | None:
            return next(batches, None)

    prepared = target.with_name("prepared.onnx")
    logging.disable(logging.WARNING)  # advice for its own command line
    runtime.set_default_logger_severity(ERRORS)
    try:
        prepare(str(graph), str(prepared), skip_symbolic_shape=True)
        tools.quantize_static(
            str(prepared),
            str(target),
            Reader(),
            quant_format=tools.QuantFormat.QDQ,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=list(OPERATIONS),
        )
    except Exception as error:  # onnx's and ONNX Runtime's exceptions have no common base
        raise UserError(f"ONNX Runtime cannot quantise {graph}: {str(error).splitlines()[0]}.") from error
    finally:
        logging.disable(logging.NOTSET)
        runtime.set_default_logger_severity(WARNINGS)
        prepared.unlink(missing_ok=True)

"""``resight model quantize``: a model in int8, judged by accuracy and speed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.options import Flag, Json
from resight.commands.output import print_json
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.report.quantisation import QuantisationData

PEOPLE: dict[str, Any] = {"persons": 90, "cameras": 3, "crops": 2, "test_persons": 40, "height": 128}
"""The synthetic people: 300 crops to calibrate with, and 40 persons to judge with."""


def quantize(
    model: Path,
    *,
    out: Path,
    data: Path | None = None,
    unlabelled: Flag = False,
    reading: DataOptions = DEFAULT,
    json: Json = False,
) -> None:
    """Write a model in int8, if it loses at most 0.5 points of mAP and is faster than float32 here.

    Otherwise nothing is written, and the message has both figures. Without labels, the first ten results are
    compared with those in float32 instead.

    Args:
        model: a run, a model folder with an ONNX file, or a weights or ONNX file.
        out: model folder to write.
        data: crops to calibrate and to judge with, best those of your cameras; by default synthetic people.
        unlabelled: ignore labels.
    """
    from resight.inference.loading import load_model
    from resight.inference.quantising import check_quantisable
    from resight.report.quantisation import quantise_model

    if data is None:
        reading.refuse_without_data("Without it, synthetic people are drawn.")
        if unlabelled:
            raise UserError("--unlabelled can only be given with --data.")
    loaded = load_model(model, device="cpu")
    check_quantisable(loaded)
    with _crops(data, reading, unlabelled) as found:
        result = quantise_model(loaded, found, out)
    if json:
        print_json(result.as_dict() | {"model": str(model), "folder": str(out), "data": found.source})
        return
    print(f"{out}: {result.describe()}.")


@contextmanager
def _crops(data: Path | None, reading: DataOptions, unlabelled: bool) -> "Iterator[QuantisationData]":
    """Yield the crops: of the data set, of the folder, or drawn."""
    from resight.data.opening import open_benchmark
    from resight.people.generate import synthesize
    from resight.report.quantisation import QuantisationData

    if data is None:
        say("Drawing synthetic people. Real crops of your cameras are better: --data.")
        with TemporaryDirectory() as folder:
            synthesize(folder, **PEOPLE)
            drawn = open_benchmark(folder)
            yield QuantisationData("synthetic people", [crop.path for crop in drawn.train], drawn)
        return
    crops = reading.crops(data, "all", unlabelled)
    if crops.persons is None:
        say(f"{data} has no labels: int8 is judged by whether the first ten results stay the same.")
        yield QuantisationData(str(data), crops.paths[::2], crops.paths[1::2])
        return
    benchmark = open_benchmark(data, **reading.arguments())
    calibration = benchmark.train or benchmark.gallery
    yield QuantisationData(str(data), [crop.path for crop in calibration], benchmark)

"""Writing an explanation: PNG and SVG files, and one HTML page that needs no other file."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.markers import MarkerStyle
from PIL import Image

from resight import __version__
from resight.data.benchmark import Benchmark
from resight.files import whole_file
from resight.names import readable
from resight.report.charts import environment
from resight.report.explain import Explanation
from resight.report.figures import METRIC_NAMES, NAMES, ExplanationFigure
from resight.report.pictures import FLAT, range_note, thumbnail
from resight.report.projection import Projection
from resight.report.reference_points import Weights
from resight.report.sheets import (
    BOX_COLOURS,
    REFERENCE,
    RELATED,
    draw_projection,
    draw_sheet,
    marker_of,
    person_colours,
    save_figure,
)

PAGE = "index.html"

MOST_POSITIONS = 1024
"""Modules with more positions have no clickable map in the page, which would be too large."""


def write_explanation(explanation: Explanation, benchmark: Benchmark, folder: Path) -> list[Path]:
    """Write each figure as PNG and SVG, and the page; remove figures that an earlier explanation left.

    Raises:
        UserError: see ``files.whole_file``.
    """
    written: list[Path] = []
    for figure in explanation.figures:
        content = figure.content
        drawn = draw_projection(content) if isinstance(content, Projection) else draw_sheet(content)
        written += save_figure(drawn, folder / figure.name)
    page = folder / PAGE
    text = environment().get_template("explanation.html.jinja").render(_page(explanation, benchmark))
    with whole_file(page) as temporary:
        temporary.write_text(readable(text), encoding="utf-8")
    for name in set(NAMES) - {figure.name for figure in explanation.figures}:
        for kind in ("png", "svg"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return [page, *written]


def _page(explanation: Explanation, benchmark: Benchmark) -> dict[str, Any]:
    """Return what the template needs."""
    subjects = explanation.subjects
    return {
        "title": " and ".join(subject.name for subject in subjects),
        "data_name": benchmark.name,
        "scores": [
            (
                subject.name,
                f"{100 * subject.scores.rank(1):.1f}",
                f"{100 * subject.scores.mAP:.1f}",
                f"{METRIC_NAMES[subject.scores.metric]} of {subject.model.network.descriptor} descriptors",
            )
            for subject in subjects
        ],
        "chosen_by": subjects[0].name if len(subjects) > 1 and explanation.crops[0][0] != "chosen" else "",
        "differences": explanation.differences,
        "left_out": explanation.left_out,
        "crops": [
            {
                "kind": kind,
                "picture": thumbnail(crop.path),
                "person": benchmark.names.get(crop.person, str(crop.person)),
                "file": benchmark.relative(crop.path),
            }
            for kind, crop in explanation.crops
        ],
        "figures": explanation.figures,
        "input_size": subjects[0].model.network.input_size,
        "weights": _clickable(explanation.weights),
        "related": explanation.related,
        "plane": _plane(explanation.figures, benchmark),
        "box_colours": BOX_COLOURS,
        "point_colours": (REFERENCE, RELATED),
        "colours": matplotlib.colormaps["plasma"](np.arange(256), bytes=True)[:, :3].ravel().tolist(),
        "version": __version__,
    }


def _clickable(weights: Mapping[tuple[str, str], Weights]) -> list[dict[str, Any]]:
    """Return each module's attention as grey PNG files, a row for each reference position, and its range."""
    modules = []
    for (model, place), values in weights.items():
        count, height, width = values.shape[:3]
        if height * width > MOST_POSITIONS:
            continue
        flat = values.reshape(count, height * width, height * width)
        low, high = flat.min(2, keepdims=True), flat.max(2, keepdims=True)
        grey = np.round(255 * (flat - low) / np.maximum(high - low, FLAT * high)).astype(np.uint8)
        modules.append(
            {
                "model": model,
                "place": place,
                "shape": [height, width],
                "pictures": [_png(rows) for rows in grey],
                "ranges": [
                    [range_note(*ends).replace("\n", ", ") for ends in zip(*both, strict=True)]
                    for both in zip(low[..., 0].tolist(), high[..., 0].tolist(), strict=True)
                ],
            }
        )
    return modules


def _png(grey: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plane(figures: tuple[ExplanationFigure, ...], benchmark: Benchmark) -> dict[str, Any] | None:
    """Return the points of t-SNE: place, colour, marker and thumbnail of each crop."""
    found = next((figure.content for figure in figures if isinstance(figure.content, Projection)), None)
    if found is None:
        return None
    cameras = sorted({crop.camera for crop in found.crops if crop.camera is not None})
    colours = dict(zip(found.persons, person_colours(len(found.persons)), strict=True))
    return {
        "markers": {
            marker: _path(marker)
            for marker in dict.fromkeys(marker_of(crop.camera, cameras) for crop in found.crops)
        },
        "height": found.height,
        "cameras": [
            (benchmark.camera_names.get(camera, str(camera)), marker_of(camera, cameras))
            for camera in cameras
        ],
        "panels": [
            (name, [(f"{x:.4f}", f"{1 - y:.4f}") for x, y in places.tolist()])
            for name, places in found.places.items()
        ],
        "crops": [
            {
                "person": benchmark.names.get(crop.person, str(crop.person)),
                "colour": colours[crop.person],
                "marker": marker_of(crop.camera, cameras),
                "camera": ""
                if crop.camera is None
                else benchmark.camera_names.get(crop.camera, str(crop.camera)),
                "picture": thumbnail(crop.path),
            }
            for crop in found.crops
        ],
    }


def _path(marker: str) -> str:
    """Return a marker's outline of about unit size as SVG path."""
    style = MarkerStyle(marker)
    polygons = style.get_path().transformed(style.get_transform()).to_polygons()
    outlines = [np.asarray(polygon)[:-1].tolist() for polygon in polygons]
    return " ".join("M" + " L".join(f"{x:.3f} {-y:.3f}" for x, y in outline) + " Z" for outline in outlines)

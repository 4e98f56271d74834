"""A person detector: a YOLOX network in an ONNX file, run by ONNX Runtime.

Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021" (arXiv 2107.08430). Files must be written by its
``tools/export_onnx.py``, with or without ``--decode_in_inference``.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resight.errors import UserError
from resight.imaging import Pixels, resize
from resight.inference.runtimes.graph import Graph, describe_ports, open_graph
from resight.ingest.boxes import Floats, suppress

PADDING = 114
"""Grey value of the padding around the picture (YOLOX, ``preproc``)."""

STRIDES = ((8, 16, 32), (8, 16, 32, 64))
"""Pixels between cells for each level; the second tuple is for P6 networks."""

DEFAULT_SIZE = 640
"""Input height and width if the file does not fix them."""


class Detector:
    """A person detector; ``detect`` may be called from several threads.

    Args:
        graph: the network.
        name: for messages.
        threshold: lowest score of a box.
        overlap: intersection over union above which non-maximum suppression drops the box of lower score.
        category: number of the class "person" (0 in COCO).

    Raises:
        UserError: the inputs or outputs are not those of a YOLOX network.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        *,
        threshold: float = 0.3,
        overlap: float = 0.65,
        category: int = 0,
    ) -> None:
        self.name, self.threshold, self.overlap, self.category = name, threshold, overlap, category
        self._graph = graph
        self.size = self._read_size()
        rows = self._probe()
        self._cells = next((grid for grid in map(self._grid, STRIDES) if len(grid) == len(rows)), None)
        if self._cells is None or not np.all((rows[:, 4:] >= 0) & (rows[:, 4:] <= 1)):
            raise self._unlike_yolox()
        self._decoded = _is_decoded(rows, self._cells)

    @classmethod
    def open(
        cls, path: Path, *, threshold: float = 0.3, overlap: float = 0.65, category: int = 0, threads: int = 0
    ) -> "Detector":
        """Load a detector from an ONNX file.

        Args:
            path: of the file.
            threads: processor cores to use; 0 for all.
            threshold, overlap, category: see the class.

        Raises:
            UserError: see ``open_graph``; or the file is not a YOLOX network.
        """
        graph = open_graph(path, "onnxruntime", threads=threads, gpu=True)
        return cls(graph, str(path), threshold=threshold, overlap=overlap, category=category)

    def detect(self, image: Pixels) -> tuple[Floats, Floats]:
        """Return the persons in a picture, highest score first.

        Args:
            image: uint8 [H, W, 3].

        Returns:
            boxes [N, 4] (left, top, right, bottom, inside the picture) and scores [N].
        """
        assert self._cells is not None
        height, width = image.shape[:2]
        canvas, scale = letterbox(image, self.size)
        rows = self._forward(canvas)
        scores = rows[:, 4] * rows[:, 5 + self.category]
        sure = scores >= self.threshold
        edges = _edges(rows[sure, :4], self._cells[sure], self._decoded) / scale
        edges = np.clip(edges, 0, [width, height, width, height])
        scores = scores[sure]
        whole = np.all(edges[:, 2:] - edges[:, :2] >= 1, axis=1)
        edges, scores = edges[whole], scores[whole]
        kept = suppress(edges, scores, self.overlap)
        return edges[kept], scores[kept]

    def _forward(self, canvas: Pixels) -> Floats:
        blue_first = np.ascontiguousarray(canvas[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)
        return np.asarray(next(iter(self._graph.run(blue_first).values()))[0], np.float64)

    def _read_size(self) -> tuple[int, int]:
        inputs = self._graph.inputs
        batch, *rest = inputs[0].shape
        size = tuple(DEFAULT_SIZE if side is None else side for side in rest[1:])
        fits = len(inputs) == 1 and len(size) == 2 and inputs[0].dtype == "float32"
        if not fits or rest[0] != 3 or batch not in (None, 1):
            raise UserError(
                f"{self.name} is not a supported YOLOX detector: its inputs are {describe_ports(inputs)}; "
                "one float32 input [1, 3, height, width] is expected."
            )
        return size[0], size[1]

    def _probe(self) -> Floats:
        """Return the network's output rows for an empty picture."""
        blank = np.full((*self.size, 3), PADDING, np.uint8)
        try:
            rows = self._forward(blank)
        except Exception as error:
            raise self._unlike_yolox() from error
        if len(self._graph.outputs) != 1 or rows.ndim != 2 or rows.shape[1] < 6 + self.category:
            raise self._unlike_yolox()
        return rows

    def _grid(self, strides: Sequence[int]) -> Floats:
        """Return the cells [A, 3] (x and y in cells, stride), row by row for each level."""
        levels = []
        for stride in strides:
            y, x = np.mgrid[: self.size[0] // stride, : self.size[1] // stride].reshape(2, -1)
            levels.append(np.stack([x, y, np.full_like(x, stride)], 1))
        return np.concatenate(levels).astype(np.float64)

    def _unlike_yolox(self) -> UserError:
        height, width = self.size
        cells = " or ".join(str(len(self._grid(strides))) for strides in STRIDES)
        return UserError(
            f"{self.name} is not a YOLOX detector: its outputs are {describe_ports(self._graph.outputs)}. "
            f"For its input of {height} x {width} pixels one output [1, {cells}, 5 + classes] is expected: "
            "box, objectness and the classes' probabilities (YOLOX's tools/export_onnx.py writes such files)."
        )


def letterbox(image: Pixels, size: tuple[int, int]) -> tuple[Pixels, float]:
    """Scale a picture [H, W, 3] to fit ``size`` (height, width) at the top left, and pad it with grey.

    Returns:
        the network's input uint8 [height, width, 3], and the scale.
    """
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = max(1, int(image.shape[0] * scale)), max(1, int(image.shape[1] * scale))
    canvas = np.full((*size, 3), PADDING, np.uint8)
    canvas[:height, :width] = resize(image, (height, width))
    return canvas, scale


def _edges(rows: Floats, cells: Floats, decoded: bool) -> Floats:
    """Convert output rows [N, 4] (x, y, width, height) to boxes [N, 4] in pixels of the network's input.

    Unless ``decoded``, x and y are offsets in cells from the row's cell, and width and height are logarithms.
    """
    centres, sides = rows[:, :2], rows[:, 2:4]
    if not decoded:
        stride = cells[:, 2:]
        centres = (centres + cells[:, :2]) * stride
        sides = np.exp(np.minimum(sides, 20)) * stride  # prevents overflow; larger than any picture
    return np.concatenate([centres - sides / 2, centres + sides / 2], 1)


def _is_decoded(rows: Floats, cells: Floats) -> bool:
    """Return whether the rows are in pixels: whether this reading puts them nearer to their cells."""
    as_pixels = np.abs(rows[:, :2] / cells[:, 2:] - cells[:, :2])
    return bool(np.median(as_pixels) < np.median(np.abs(rows[:, :2])))

"""A person detector: a network of any family, run by ONNX Runtime or OpenVINO."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from resight.errors import UserError
from resight.imaging import Pixels
from resight.inference.runtimes.graph import Array, Graph, describe_ports, open_graph
from resight.ingest.boxes import Floats, suppress
from resight.ingest.classes import person_class
from resight.ingest.detectors.detr import DETR
from resight.ingest.detectors.end_to_end import EndToEndYOLO
from resight.ingest.detectors.family import Family
from resight.ingest.detectors.input_format import PADDING, InputFormat
from resight.ingest.detectors.rt_detr import RTDETR
from resight.ingest.detectors.ssd import SSD
from resight.ingest.detectors.trial import Trial
from resight.ingest.detectors.yolo import YOLO
from resight.ingest.detectors.yolox import YOLOX

FAMILIES: tuple[type[Family], ...] = (YOLOX, YOLO, EndToEndYOLO, DETR, RTDETR, SSD)
"""In the order in which they are tried: a later one may take what an earlier one refused."""

DEFAULT_SIZE = 640
"""Input height and width if the file does not tell them."""


class Detector:
    """A person detector; ``detect`` may be called from several threads.

    Args:
        graph: the network.
        name: for messages.
        threshold: lowest score of a box.
        overlap: intersection over union above which non-maximum suppression drops the box of lower score, in
            families that need it.
        person: name or number of the class "person"; by default as the file says, else as in COCO.

    Attributes:
        family: of the network.
        person: number of the class.

    Raises:
        UserError: the inputs or outputs are not those of a family, or the class is not known.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        *,
        threshold: float = 0.3,
        overlap: float = 0.65,
        person: str | None = None,
    ) -> None:
        self.name, self.threshold, self.overlap = name, threshold, overlap
        self._graph = graph
        self.size = self._read_size()
        self.family = self._recognise()
        self._guess = ""
        self.person = self._find_person(person)
        empty = np.full((*self.size, 3), PADDING, np.uint8)
        found = [self._find(empty, each)[1] for each in self.family.formats]
        self._trial = Trial([each.words for each in self.family.formats], found)
        self._lock = Lock()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        threshold: float = 0.3,
        overlap: float = 0.65,
        person: str | None = None,
        threads: int = 0,
    ) -> "Detector":
        """Load a detector from an ONNX file or OpenVINO IR.

        Args:
            path: of the ``.onnx`` or ``.xml`` file.
            threads: processor cores to use; 0 for all.
            threshold, overlap, person: see the class.

        Raises:
            UserError: see ``open_graph`` and the class.
        """
        graph = open_graph(path, threads=threads, gpu=True)
        return cls(graph, str(path), threshold=threshold, overlap=overlap, person=person)

    @property
    def notes(self) -> list[str]:
        """What was guessed about the network, and why."""
        return [f"{self.name} {note}" for note in (self._guess, self._trial.note()) if note]

    def detect(self, image: Pixels) -> tuple[Floats, Floats]:
        """Return the persons in a picture, highest score first.

        Args:
            image: uint8 [H, W, 3].

        Returns:
            boxes [N, 4] (left, top, right, bottom, inside the picture) and scores [N].
        """
        image = np.ascontiguousarray(image)
        found = {number: self._find(image, self.family.formats[number]) for number in self._trial.due()}
        with self._lock:
            best = self._trial.judge({number: scores for number, (_, scores) in found.items()})
        return found.get(best) or next(iter(found.values()))  # another thread may have judged meanwhile

    def state(self) -> dict[str, Any]:
        """Return what was learnt from the pictures so far, as data for JSON."""
        return self._trial.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state returned by ``state``."""
        self._trial.restore(state)

    def _find(self, image: Pixels, given_as: InputFormat) -> tuple[Floats, Floats]:
        values, placement = given_as.prepare(image, self.size)
        edges, scores = self.family.read(self._run(values), self.person)
        sure = scores >= self.threshold
        height, width = image.shape[:2]
        edges = np.clip(placement.restore(edges[sure]), 0, [width, height, width, height])
        scores = scores[sure]
        whole = np.all(edges[:, 2:] - edges[:, :2] >= 1, axis=1)
        edges, scores = edges[whole], scores[whole]
        kept = suppress(edges, scores, self.overlap if self.family.suppresses else 1.0)
        return edges[kept], scores[kept]

    def _run(self, values: Array) -> dict[str, Array]:
        sizes = np.array([self.size[::-1]])  # so that boxes come back in pixels of the input
        return self._graph.run(values, *[sizes] * (len(self._graph.inputs) - 1))

    def _read_size(self) -> tuple[int, int]:
        """Return the input's height and width."""
        image, *others = self._graph.inputs
        known = re.findall(r"\d+", self._graph.metadata.get("imgsz", ""))  # Ultralytics: [height, width]
        height, width = known if len(known) == 2 else [DEFAULT_SIZE] * 2
        batch, *rest = image.shape or (None,)
        fits = len(rest) == 3 and rest[0] in (3, None) and batch in (None, 1) and "float" in image.dtype
        sized = all(port.dtype.startswith("int") and port.shape[1:] == (2,) for port in others)
        if not fits or not sized or len(others) > 1:
            raise UserError(
                f"{self.name} is not a supported detector: its inputs are "
                f"{describe_ports(self._graph.inputs)}. One input [1, 3, height, width] of floating-point "
                "numbers is expected, for RT-DETR and D-FINE with the size [1, 2] as a second one."
            )
        return int(rest[1] or height), int(rest[2] or width)

    def _recognise(self) -> Family:
        task = self._graph.metadata.get("task", "detect")
        if task != "detect":
            raise UserError(f"{self.name} is a network for the task '{task}'; one that detects is expected.")
        try:
            outputs = self._run(np.full((1, 3, *self.size), PADDING, np.float32))
        except UserError as error:
            raise self._unknown() from error
        for family in FAMILIES:
            found = family.recognise(outputs, self.size)
            if found is not None:
                return found
        raise self._unknown()

    def _find_person(self, given: str | None) -> int:
        names = _names(self._graph.metadata)
        number = person_class(given, names, self.name)
        if number is None:
            unnamed = self.family.unnamed_person()
            if unnamed is None:
                raise UserError(
                    f"{self.name} does not tell which of its classes is a person. Give its number: "
                    f"--person-class NUMBER ({self.family.numbering})."
                )
            number, reason = unnamed
            if reason:
                self._guess = (
                    f"does not name its classes; {reason}, class {number} is taken for a person "
                    "(--person-class gives another)."
                )
        count = self.family.classes
        if count is not None and number >= count:
            raise UserError(f"{self.name} has {count} classes, counted from 0; got class {number}.")
        return number

    def _unknown(self) -> UserError:
        height, width = self.size
        families = "; ".join(family.outputs for family in FAMILIES)
        return UserError(
            f"{self.name} is not a supported detector. For its input of {height} x {width} pixels, its "
            f"outputs are {describe_ports(self._graph.outputs)}. Supported are, by outputs: {families}."
        )


def _names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Return the names of the classes: Ultralytics' ``names``, or OpenVINO's ``labels``; {} if unknown."""
    try:
        names = ast.literal_eval(metadata.get("names", ""))  # {0: 'person', ...}, or a list in old files
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(number): str(name) for number, name in pairs}
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return dict(enumerate(metadata.get("labels", "").split()))

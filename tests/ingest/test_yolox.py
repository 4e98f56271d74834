"""Reading YOLOX files and turning their outputs into boxes."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from walking import GROUND, HEIGHT, TALL, WIDE, WIDTH, Walker, detector_file, draw, save_network

from resight.errors import UserError
from resight.inference.runtimes.graph import Graph, Port
from resight.ingest.boxes import overlaps
from resight.ingest.detectors.detector import Detector
from resight.ingest.detectors.input_format import PADDING, InputFormat

SIZE = (64, 96)
LEVELS = [(SIZE[0] // stride, SIZE[1] // stride, stride) for stride in (8, 16, 32)]
CELLS = sum(rows * columns for rows, columns, _ in LEVELS)


class Fake(Graph):
    """A network whose rows are given, and which remembers what it was fed."""

    runtime = "onnxruntime"

    def __init__(self, rows: NDArray[np.float32], shape: tuple[int | None, ...] = (1, 3, *SIZE)) -> None:
        self.rows = rows
        self.inputs = (Port("images", shape, "float32"),)
        self.outputs = (Port("output", (1, *rows.shape), "float32"),)
        self.fed: list[NDArray[np.float32]] = []

    def _run(self, array: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        self.fed.append(array)
        return [self.rows[None]]


def raw(*boxes: tuple[tuple[float, float, float, float], float], classes: int = 3) -> NDArray[np.float32]:
    """Write boxes (left, top, right, bottom) as a network does: in the cell of their centre, on level 8."""
    rows = np.zeros((CELLS, 5 + classes), np.float32)
    for (left, top, right, bottom), score in boxes:
        x, y = (left + right) / 16, (top + bottom) / 16
        row = int(y) * LEVELS[0][1] + int(x)
        rows[row, :4] = x - int(x), y - int(y), np.log((right - left) / 8), np.log((bottom - top) / 8)
        rows[row, 4:6] = score, 1.0
    return rows


def decoded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Do what a network exported with --decode_in_inference does itself."""
    rows = rows.copy()
    place = 0
    for height, width, stride in LEVELS:
        for y in range(height):
            for x in range(width):
                rows[place, :2] = (rows[place, :2] + [x, y]) * stride
                rows[place, 2:4] = np.exp(rows[place, 2:4]) * stride
                place += 1
    return rows


@pytest.mark.parametrize("layout", ["raw", "decoded"])
def test_boxes_come_back_as_they_were_written(layout: str) -> None:
    wanted = [((10.0, 5.0, 30.0, 55.0), 0.9), ((50.0, 12.0, 70.0, 60.0), 0.6)]
    rows = raw(*wanted)
    network = Detector(Fake(rows if layout == "raw" else decoded(rows)), "fake")
    boxes, scores = network.detect(np.zeros((*SIZE, 3), np.uint8))
    np.testing.assert_allclose(boxes, [box for box, _ in wanted], atol=1e-4)
    np.testing.assert_allclose(scores, [0.9, 0.6], atol=1e-6)


def test_boxes_are_in_the_pixels_of_the_picture_and_inside_of_it() -> None:
    network = Detector(Fake(raw(((-4.0, 5.0, 30.0, 70.0), 0.9))), "fake")
    boxes, _ = network.detect(np.zeros((128, 160, 3), np.uint8))  # half as large for the network
    np.testing.assert_allclose(boxes, [[0, 10, 60, 128]], atol=1e-3)


def test_only_persons_above_the_threshold_are_returned() -> None:
    rows = raw(((10.0, 5.0, 30.0, 55.0), 0.9), ((50.0, 12.0, 70.0, 60.0), 0.25))
    bicycle = rows.copy()
    bicycle[:, 6], bicycle[:, 5] = bicycle[:, 5], 0
    picture = np.zeros((*SIZE, 3), np.uint8)
    assert len(Detector(Fake(rows), "fake").detect(picture)[0]) == 1
    assert len(Detector(Fake(rows), "fake", threshold=0.2).detect(picture)[0]) == 2
    boxes, scores = Detector(Fake(bicycle), "fake").detect(picture)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
    assert len(Detector(Fake(bicycle), "fake", person="1").detect(picture)[0]) == 1


def test_of_boxes_that_overlap_the_surest_stays() -> None:
    near = raw(((10.0, 5.0, 30.0, 55.0), 0.7), ((18.5, 5.0, 38.5, 55.0), 0.9), ((60.0, 5.0, 80.0, 55.0), 0.5))
    picture = np.zeros((*SIZE, 3), np.uint8)
    boxes, scores = Detector(Fake(near), "fake", overlap=0.3).detect(picture)
    np.testing.assert_allclose(scores, [0.9, 0.5], atol=1e-6)
    np.testing.assert_allclose(boxes[0], [18.5, 5, 38.5, 55], atol=1e-4)
    assert len(Detector(Fake(near), "fake", overlap=0.5).detect(picture)[0]) == 3


def test_the_network_is_fed_blue_first_from_0_to_255_or_less_imagenets_mean() -> None:
    fake = Fake(raw())
    picture = np.zeros((32, 96, 3), np.uint8)
    picture[:, :] = 10, 20, 250
    Detector(fake, "fake").detect(picture)
    blue_first, normalised = fake.fed[-2:]
    for fed in fake.fed[-2:]:
        assert fed.shape == (1, 3, *SIZE)
        assert fed.dtype == np.float32
    assert blue_first[0, :, 0, 0].tolist() == [250, 20, 10]
    assert blue_first[0, :, 63, 0].tolist() == [PADDING] * 3
    red = (10 / 255 - 0.485) / 0.229
    assert normalised[0, :, 0, 0] == pytest.approx(
        [red, (20 / 255 - 0.456) / 0.224, (250 / 255 - 0.406) / 0.225]
    )


def test_a_picture_keeps_its_shape_in_the_corner() -> None:
    picture = np.full((100, 300, 3), 7, np.uint8)
    canvas, placement = InputFormat("", "corner").place(picture, (60, 60))
    assert placement.scale == pytest.approx(0.2)
    assert (canvas[:20] == 7).all()
    assert (canvas[20:] == PADDING).all()


def test_an_open_size_is_the_usual_one() -> None:
    cells = 80 * 80 + 40 * 40 + 20 * 20
    fake = Fake(np.zeros((cells, 85), np.float32), (None, 3, None, None))
    assert Detector(fake, "fake").size == (640, 640)


def test_a_network_with_four_levels_is_one_too() -> None:
    fake = Fake(np.zeros((128 * 128 // 64 + 8 * 8 + 4 * 4 + 2 * 2, 6), np.float32), (1, 3, 128, 128))
    boxes, _ = Detector(fake, "fake").detect(np.zeros((9, 9, 3), np.uint8))
    assert len(boxes) == 0


def test_a_file_finds_the_people_of_a_drawn_scene(tmp_path: Path) -> None:
    network = Detector.open(detector_file(tmp_path / "yolox.onnx"), overlap=0.2, threads=1)
    assert network.size == (HEIGHT, WIDTH)
    walkers = [Walker(1, 20, 30, 0), Walker(2, 150, 60, 0), Walker(3, 240, 150, 0)]
    boxes, scores = network.detect(draw(walkers, 0))
    assert len(boxes) == 3
    best = overlaps(np.array([walker.box(0) for walker in walkers]), boxes).max(axis=1)
    assert best.min() > 0.7  # cells are 8 pixels apart
    assert scores.min() > 0.6


def test_a_picture_without_a_person_gives_no_box(tmp_path: Path) -> None:
    network = Detector.open(detector_file(tmp_path / "yolox.onnx"), threads=1)
    boxes, scores = network.detect(np.full((70, 50, 3), GROUND, np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
    assert TALL > WIDE  # what the drawn detector looks for


def test_a_classifier_is_refused_with_its_outputs(tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["images"], ["logits"])]
    path = save_network(tmp_path / "net.onnx", nodes, {}, [1, 3, 64, 64], {"logits": [1, 3, 1, 1]})
    with pytest.raises(
        UserError, match=r"'logits' float32 \[1, 3, 1, 1\].*YOLOX: \[1, cells, 5 \+ classes\]"
    ):
        Detector.open(path, threads=1)


def test_another_kind_of_input_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["images"], ["output"])]
    path = save_network(tmp_path / "net.onnx", nodes, {}, [4, 1, 64, 64], {"output": [4, 1, 1, 1]})
    with pytest.raises(UserError, match=r"'images' float32 \[4, 1, 64, 64\]"):
        Detector.open(path, threads=1)


def test_outputs_that_are_no_probabilities_are_refused() -> None:
    rows = raw()
    rows[3, 4] = -3.0
    with pytest.raises(UserError, match="is not a supported detector"):
        Detector(Fake(rows), "fake")


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "yolox.onnx"
    with pytest.raises(UserError, match="There is no file"):
        Detector.open(path)
    path.write_text("not a network")
    with pytest.raises(UserError, match="is not an ONNX file"):
        Detector.open(path)


def test_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resight.ingest.opening import open_source

    (tmp_path / "a.mp4").write_text("x")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"ONNX Runtime is not installed.*pip install 'resight\[onnx\]'"):
        Detector.open(tmp_path / "yolox.onnx")
    with pytest.raises(UserError, match=r"pip install 'resight\[video\]'"):
        open_source(str(tmp_path / "a.mp4"))

"""Each family: recognised by its outputs, fed as its sources say, its boxes where they were put."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from networks import emitting
from numpy.typing import NDArray
from PIL import Image

from resight.errors import UserError
from resight.ingest.detectors.detector import Detector
from resight.ingest.detectors.detr import DETR
from resight.ingest.detectors.end_to_end import EndToEndYOLO
from resight.ingest.detectors.family import Family
from resight.ingest.detectors.rt_detr import RTDETR
from resight.ingest.detectors.ssd import SSD
from resight.ingest.detectors.trial import LONGEST, SELDOM, Trial
from resight.ingest.detectors.yolo import YOLO
from resight.ingest.detectors.yolox import YOLOX
from resight.ingest.finding import with_detector
from resight.ingest.ingestion import Choices, Ingestion
from resight.ingest.journal import Journal
from resight.ingest.opening import open_source

SIZE = (64, 96)
CELLS = 8 * 12 + 4 * 6 + 2 * 3
PICTURE = np.full((32, 96, 3), (10, 20, 250), np.uint8)  # as wide as the input and half as high
RGB = (10 / 255, 20 / 255, 250 / 255)
IMAGENET = tuple((np.array(RGB) - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225))
BGR = (250, 20, 10)
PERSON = (40.0, 4.0, 52.0, 30.0)
"""Left, top, right, bottom in the picture: what every detector below finds, with score 0.75."""


def rows(columns: int, count: int, **values: float) -> NDArray[np.float32]:
    """Return rows of zeros, whose row 5 has these values: ``c4=0.75`` is column 4."""
    array = np.zeros((count, columns), np.float32)
    for column, value in values.items():
        array[5, int(column[1:])] = value
    return array


def centred(shift: float, width: float = 1, height: float = 1, down: float = 1) -> dict[str, float]:
    """Return the person's centre and size in an input where the picture begins ``shift`` pixels down."""
    left, top, right, bottom = PERSON
    return {
        "c0": (left + right) / 2 / width,
        "c1": (shift + down * (top + bottom) / 2) / height,
        "c2": (right - left) / width,
        "c3": down * (bottom - top) / height,
    }


class Case(NamedTuple):
    """A network: its family, what it emits for the person and for nobody, and what it must be fed."""

    family: type[Family]
    found: dict[str, NDArray[Any]]
    nobody: dict[str, NDArray[Any]]
    value: tuple[float, ...]
    pixel: tuple[int, int] = (0, 0)
    person: int = 0
    sizes: bool = False


def yolox(value: tuple[float, ...]) -> Case:
    left, top, right, bottom = PERSON
    x, y = (left + right) / 16, (top + bottom) / 16
    row = int(y) * 12 + int(x)
    found = np.zeros((1, CELLS, 85), np.float32)
    found[0, row, :6] = x % 1, y % 1, np.log((right - left) / 8), np.log((bottom - top) / 8), 0.75, 1
    return Case(YOLOX, {"output": found}, {"output": np.zeros_like(found)}, value)


def yolov6() -> Case:
    found, nobody = rows(85, CELLS, **centred(16), c5=0.75), rows(85, CELLS)
    found[:, 4] = nobody[:, 4] = 1
    return Case(YOLO, {"outputs": found[None]}, {"outputs": nobody[None]}, RGB, (17, 0))


def yolov5() -> Case:
    found = rows(85, 3 * CELLS, **centred(16), c4=1, c5=0.75)
    return Case(YOLO, {"output0": found[None]}, {"output0": np.zeros_like(found)[None]}, RGB, (17, 0))


def yolov8() -> Case:
    found = rows(84, CELLS, **centred(16), c4=0.75, c6=0.8).T
    return Case(YOLO, {"output0": found[None]}, {"output0": np.zeros_like(found)[None]}, RGB, (17, 0))


def yolo26() -> Case:
    found = rows(6, 300, c0=40, c1=20, c2=52, c3=46, c4=0.75)
    found[6] = 0, 0, 50, 50, 0.9, 16  # a dog
    return Case(EndToEndYOLO, {"output0": found[None]}, {"output0": rows(6, 300)[None]}, RGB, (17, 0))


def rf_detr() -> Case:
    dets = rows(4, 300, **centred(0, 96, 64, 2))
    logits, none = np.full((300, 91), -9, np.float32), np.full((300, 91), -9, np.float32)
    logits[5, 1] = np.log(3)
    found = {"dets": dets[None], "labels": logits[None]}
    return Case(DETR, found, {"dets": dets[None], "labels": none[None]}, IMAGENET, (63, 0), 1)


def hugging_face(value: tuple[float, ...]) -> Case:
    case = rf_detr()
    found = {"logits": case.found["labels"][..., 1:81], "pred_boxes": case.found["dets"]}
    nobody = {"logits": case.nobody["labels"][..., 1:81], "pred_boxes": case.nobody["dets"]}
    return Case(DETR, found, nobody, value, (63, 0))


def ultralytics_rt_detr() -> Case:
    found = rows(84, 300, **centred(0, 96, 64, 2), c4=0.75)
    return Case(DETR, {"output0": found[None]}, {"output0": np.zeros_like(found)[None]}, RGB, (63, 0))


def d_fine() -> Case:
    left, top, right, bottom = PERSON
    boxes = np.array([[left / 96, top / 32, right / 96, bottom / 32]] * 3, np.float32)[None]
    found = {
        "labels": np.array([[0, 16, 0]]),
        "boxes": boxes,
        "scores": np.array([[0.75, 0.9, 0.1]], np.float32),
    }
    return Case(RTDETR, found, found | {"scores": found["scores"] / 100}, RGB, (63, 0), sizes=True)


def open_model_zoo(person: int) -> Case:
    left, top, right, bottom = PERSON
    found = np.full((1, 1, 4, 7), -1, np.float32)
    found[0, 0, :2] = 0, person, 0.75, left / 96, top / 32, right / 96, bottom / 32
    found[0, 0, 1, 2] = 0.02
    nobody = found.copy()
    nobody[0, 0, :2, 2] = 0.01
    return Case(SSD, {"detection_out": found}, {"detection_out": nobody}, BGR, (63, 0), person)


CASES: dict[str, Callable[[], Case]] = {
    "YOLOX": lambda: yolox(BGR),
    "YOLOX of ByteTrack": lambda: yolox(IMAGENET),
    "YOLOv5": yolov5,
    "YOLOv6": yolov6,
    "YOLOv8": yolov8,
    "YOLO26": yolo26,
    "RF-DETR": rf_detr,
    "Hugging Face": lambda: hugging_face(RGB),
    "Hugging Face, ImageNet": lambda: hugging_face(IMAGENET),
    "Ultralytics RT-DETR": ultralytics_rt_detr,
    "D-FINE": d_fine,
    "person-detection-retail-0013": lambda: open_model_zoo(1),
    "person-detection-0200": lambda: open_model_zoo(0),
}


def write(path: Path, case: Case, **metadata: str) -> Path:
    return emitting(
        path,
        case.found,
        case.nobody,
        size=SIZE,
        pixel=case.pixel,
        value=case.value,  # type: ignore[arg-type]
        sizes=case.sizes,
        metadata=metadata,
    )


@pytest.mark.parametrize("name", CASES)
def test_a_network_is_recognised_fed_and_read(tmp_path: Path, name: str) -> None:
    case = CASES[name]()
    network = Detector.open(write(tmp_path / "net.onnx", case), threads=1)
    assert type(network.family) is case.family
    assert network.person == case.person
    boxes, scores = network.detect(PICTURE)
    np.testing.assert_allclose(boxes, [PERSON], atol=1e-3)
    np.testing.assert_allclose(scores, [0.75], atol=1e-5)
    assert len(network.detect(PICTURE[..., ::-1])[0]) == 0  # the colours in the other order


@pytest.mark.parametrize("name", ["YOLOv8", "D-FINE", "person-detection-retail-0013"])
def test_openvino_runs_the_same(tmp_path: Path, name: str) -> None:
    openvino = pytest.importorskip("openvino")
    case = CASES[name]()
    model = openvino.convert_model(str(write(tmp_path / "net.onnx", case)))
    model.set_rt_info("cat dog human" if name == "YOLOv8" else "", ["model_info", "labels"])
    openvino.save_model(model, tmp_path / "net.xml", compress_to_fp16=False)
    if name == "YOLOv8":  # no COCO after all
        network = Detector.open(tmp_path / "net.xml", threads=1)
        assert network.person == 2
        assert network.detect(PICTURE)[1] == pytest.approx([0.8])
        return
    boxes, scores = Detector.open(tmp_path / "net.xml", threads=1).detect(PICTURE)
    np.testing.assert_allclose(boxes, [PERSON], atol=1e-3)
    np.testing.assert_allclose(scores, [0.75], atol=1e-5)


def test_several_boxes_of_a_person_become_one_where_the_family_needs_it(tmp_path: Path) -> None:
    found = yolov8().found["output0"].copy()
    found[0, :, 8] = found[0, :, 5]
    found[0, 4, 8] = 0.6
    network = Detector.open(
        write(tmp_path / "a.onnx", yolov8()._replace(found={"output0": found})), threads=1
    )
    assert network.detect(PICTURE)[1] == pytest.approx([0.75])
    chosen = yolo26().found["output0"].copy()
    chosen[0, 8] = chosen[0, 5]
    network = Detector.open(
        write(tmp_path / "b.onnx", yolo26()._replace(found={"output0": chosen})), threads=1
    )
    assert network.detect(PICTURE)[1] == pytest.approx([0.75, 0.75])


def test_the_files_own_names_tell_the_class(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", yolov8(), names="{0: 'cat', 1: 'dog', 2: 'Person'}", task="detect")
    network = Detector.open(path, threads=1)
    assert network.person == 2
    assert network.detect(PICTURE)[1] == pytest.approx([0.8])
    assert network.notes == []
    assert Detector.open(path, threads=1, person="cat").person == 0
    with pytest.raises(UserError, match=r"has no class '7' .* its classes are 0 cat, 1 dog, 2 Person"):
        Detector.open(path, threads=1, person="7")
    path = write(tmp_path / "c.onnx", yolov5(), names="['cat', 'person']")
    assert Detector.open(path, threads=1).person == 1
    path = write(tmp_path / "b.onnx", yolov8(), names="{0: 'cat', 1: 'dog'}")
    with pytest.raises(
        UserError, match=r"the classes 0 cat, 1 dog; none of them is a person .*--person-class"
    ):
        Detector.open(path, threads=1)


@pytest.mark.parametrize("names", ["7", "{'a': 'person'}", "__import__('os')", "[" * 500])
def test_names_that_are_none_are_passed_over(tmp_path: Path, names: str) -> None:
    path = write(tmp_path / "a.onnx", yolov8(), names=names, imgsz="None")
    assert Detector.open(path, threads=1).person == 0


def test_without_names_the_class_is_guessed_and_said_or_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", yolov8())
    assert Detector.open(path, threads=1).notes == [
        f"{path} does not name its classes; with 80 of them, as in COCO, class 0 is taken for a person "
        "(--person-class gives another)."
    ]
    with pytest.raises(UserError, match="has 80 classes, counted from 0; got class 80"):
        Detector.open(path, threads=1, person="80")
    case = open_model_zoo(1)
    several = case.nobody["detection_out"].copy()
    several[0, 0, 1, 1] = 2
    path = write(tmp_path / "b.onnx", case._replace(nobody={"detection_out": several}))
    with pytest.raises(UserError, match=r"Give its number: --person-class NUMBER \(1 in person-detection-r"):
        Detector.open(path, threads=1)
    assert len(Detector.open(path, threads=1, person="1").detect(PICTURE)[0]) == 1
    case = rf_detr()
    of_one = {"dets": case.found["dets"], "labels": case.found["labels"][..., :2]}
    path = write(tmp_path / "c.onnx", case._replace(found=of_one, nobody=of_one))
    with pytest.raises(UserError, match=r"--person-class NUMBER \(in RF-DETR 0 or 1, by its version"):
        Detector.open(path, threads=1)


def test_another_task_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", yolov8(), task="pose")
    with pytest.raises(UserError, match="is a network for the task 'pose'; one that detects is expected"):
        Detector.open(path, threads=1)


def test_a_trial_takes_the_input_format_that_finds_persons_and_remembers_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", yolox(IMAGENET))
    network = Detector.open(path, threads=1)
    imagenet = "RGB with ImageNet's mean and deviation"
    for _ in range(3):
        assert len(network.detect(np.zeros_like(PICTURE))[0]) == 0
    assert network.notes[1:] == [f"{path} finds no person with BGR from 0 to 255 or {imagenet}."]
    for _ in range(6):
        network.detect(PICTURE)
    assert network.notes[1:] == [
        f"{path} gets {imagenet}: with it, 6 persons are found in the first 6 pictures with any, and 0 with "
        "BGR from 0 to 255."
    ]
    network.detect(PICTURE)
    assert network.state()["pictures"] == 6  # the question is settled
    other = Detector.open(path, threads=1)
    other.restore(network.state())
    assert other.notes == network.notes


def test_an_input_format_that_finds_persons_where_there_is_nobody_is_wrong() -> None:
    trial = Trial(["A", "B"], [np.array([0.9, 0.2]), np.array([0.2])])
    assert trial.open == [1]
    assert trial.note() == "gets B: with A it finds persons in an empty picture."
    assert Trial(["A", "B"], [np.array([0.9]), np.array([0.5])]).open == [0, 1]


def test_pictures_of_nobody_are_seldom_tried_in_two_formats() -> None:
    trial = Trial(["A", "B"], [np.zeros(0), np.zeros(0)])
    due = []
    for _ in range(3 * SELDOM):
        due.append(trial.due())
        trial.judge({number: np.zeros(0) for number in due[-1]})
    assert [len(formats) for formats in due] == ([2] * SELDOM + [2, *[1] * (SELDOM - 1)] * 2)
    assert trial.judge({0: np.zeros(0), 1: np.array([0.9])}) == 1
    assert trial.due() == [0, 1]


def test_a_trial_that_stays_close_ends_after_some_pictures() -> None:
    trial = Trial(["A", "B"], [np.zeros(0), np.zeros(0)])
    for _ in range(LONGEST):
        assert trial.open == [0, 1]
        assert trial.judge({0: np.array([0.5, 0.2]), 1: np.array([0.6])}) == 1
    assert trial.open == [1]


def test_what_a_detector_learnt_is_stored_with_the_progress(tmp_path: Path) -> None:
    frames = tmp_path / "2024-05-31_14-30-00Z"
    frames.mkdir()
    for number in range(6):
        Image.fromarray(PICTURE).save(frames / f"{number}.png")
    path = write(tmp_path / "net.onnx", yolox(IMAGENET))
    journal = Journal(tmp_path, "frames", "gate")

    def ingest() -> tuple[int, list[str]]:
        finder = with_detector(path, None)
        one = Ingestion(
            open_source(str(frames)),
            "gate",
            finder=finder,
            add=lambda crops: None,
            journal=journal,
            choices=Choices(min_height=8, every=2),
        )
        return one.run().counts.boxes, finder.notes

    boxes, notes = ingest()
    assert boxes == 3
    assert "3 persons are found in the first 3 pictures with any" in notes[1]
    entry = journal.read()
    assert entry is not None
    assert entry.detector == {"open": [0, 1], "sums": [0, 2.25], "boxes": [0, 3], "pictures": 3, "tried": 3}
    assert ingest() == (boxes, notes)  # without a frame: it is known from the journal

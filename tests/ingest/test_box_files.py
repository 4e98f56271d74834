"""Files of boxes: who wrote them, what they mean for the frames at hand, and what may be wrong with them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from resight.errors import UserError
from resight.ingest.box_file import BoxFile, read_boxes
from resight.ingest.frames import FrameFolder

SIZE = (480, 640)
ROW = st.tuples(
    st.integers(0, 12),
    st.sampled_from([-1, 0, 1, 2]),
    *[st.integers(-20, 620)] * 2,
    *[st.integers(1, 200)] * 2,
    *[st.sampled_from([-1, 0, 0.5, 1, 1, 2])] * 4,
)


def read(tmp_path: Path, lines: Sequence[str], **options: Any) -> BoxFile:
    """Read lines as a file of boxes; a box far on the right makes clear that columns 5 and 6 are sizes."""
    path = tmp_path / "det.txt"
    path.write_text("\n".join(lines))
    return read_boxes(path, options.pop("size", SIZE), **options)


def reasons(boxes: BoxFile) -> dict[str, tuple[int, str]]:
    return {row["reason"]: (row["count"], row["example"]) for row in boxes.left_out.as_list()}


def test_detections_have_scores_and_no_tracks(tmp_path: Path) -> None:
    boxes = read(tmp_path, ["1,-1,311,21,30,80,0.9,-1,-1,-1", "3, -1, 1, 1, 10, 20, 0.4"])
    assert not boxes.tracked
    assert boxes.find(0).edges.tolist() == [[310, 20, 340, 100]]  # pixels count from 1
    assert boxes.find(0).tracks is None
    assert len(boxes.find(1)) == 0
    assert boxes.find(2).scores.tolist() == [0.4]
    assert (boxes.notes, reasons(boxes)) == ([], {})


def test_scores_of_another_kind_count_as_sure(tmp_path: Path) -> None:
    boxes = read(tmp_path, ["1,-1,311,21,30,80,33.5", "1,-1,51,21,30,80,-2"])
    assert boxes.find(0).scores.tolist() == [1, 1]
    assert "not between 0 and 1" in boxes.notes[0]


def test_ground_truth_has_tracks_and_leaves_out_what_is_ignored(tmp_path: Path) -> None:
    lines = ["1,4,301,1,9,19,1,1,1.0", "5,4,1,1,9,19,1,1,0.3", "2,8,1,1,9,19,0,1,1", "2,9,1,1,9,19,1,3,1"]
    boxes = read(tmp_path, [*lines, ""])
    assert boxes.tracked
    assert boxes.last == {4: 4}
    found = boxes.find(4).tracks
    assert found is not None
    assert found.tolist() == [4]
    assert sorted(boxes.frames) == [0, 4]
    assert reasons(boxes) == {
        "boxes of class 3, not a person": (1, "frame 2"),
        "boxes to ignore: column 7 is 0": (1, "frame 2"),
    }


def cvat() -> list[str]:
    """Label 1, a bicycle, in 5 frames, and label 2, a person, in 14."""
    return [f"{at},1,301,1,9,19,1,1,1" for at in range(1, 6)] + [
        f"{at},2,331,41,20,60,1,2,1" for at in range(1, 15)
    ]


def test_cvats_labels_tell_the_class(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"5 of class 1, 14 of class 2\..*--person-class NUMBER"):
        read(tmp_path, cvat())
    boxes = read(tmp_path, cvat(), person="2")
    assert len(boxes.frames) == 14
    (tmp_path / "labels.txt").write_text("bicycle\nPerson\n")
    boxes = read(tmp_path, cvat())
    assert boxes.find(0).edges.tolist() == [[330, 40, 350, 100]]
    assert reasons(boxes) == {"boxes of class 1 (bicycle), not a person": (5, "frame 1")}
    assert len(read(tmp_path, cvat(), person="bicycle").frames) == 5
    (tmp_path / "labels.txt").write_text("bicycle\nstaff\n")
    with pytest.raises(UserError, match="1 bicycle, 2 staff; none of them is a person by name"):
        read(tmp_path, cvat())


def test_mot15s_world_coordinates_are_no_classes(tmp_path: Path) -> None:
    boxes = read(tmp_path, ["1,1,301,1,9,19,1,-10.2,3,0", "1,2,331,1,9,19,1,3,1,0", "2,3,301,1,9,19,0,1,1,0"])
    assert boxes.find(0).scores.tolist() == [1, 1]
    assert sorted(boxes.last) == [1, 2]
    assert reasons(boxes) == {"boxes to ignore: column 7 is 0": (1, "frame 2")}


def test_visdrones_ten_columns_hold_classes(tmp_path: Path) -> None:
    boxes = read(tmp_path, ["1,1,301,1,9,19,1,1,0,0", "1,2,331,1,9,19,1,4,0,1", "2,2,301,1,9,19,1,4,1,2"])
    assert boxes.last == {1: 0}
    assert reasons(boxes) == {"boxes of class 4, not a person": (2, "frame 1")}


@pytest.mark.parametrize(("first", "person"), [(0, 0), (1, 1)])
def test_boxmots_nine_columns_are_scores_and_classes(tmp_path: Path, first: int, person: int) -> None:
    """A person and a bicycle; classes count from 0 in older versions."""
    lines = [
        f"{at},{7 + kind},{301 + 40 * kind},1,20,60,0.{8 - kind},{first + kind},{kind}"
        for at in (1, 2)
        for kind in (0, 1)
    ]
    boxes = read(tmp_path, lines)
    assert boxes.last == {7: 1}
    assert boxes.find(0).scores.tolist() == [0.8]
    assert f"counted from {first}, so {person} is a person" in boxes.notes[0]
    assert reasons(boxes) == {f"boxes of class {first + 1}, not a person": (2, "frame 1")}


def test_boxes_of_no_track_beside_tracks_are_left_out(tmp_path: Path) -> None:
    """Roboflow's Trackers write so what is no track yet; their tracks count from 0."""
    lines = ["1,-1,301,1,20,60,0.9,-1,-1,-1", "2,0,301,1,20,60,0.9,-1,-1,-1", "3,0,301,1,20,60,0.8,-1,-1,-1"]
    boxes = read(tmp_path, lines)
    assert boxes.last == {0: 2}
    assert reasons(boxes) == {"boxes without a track (-1), beside others with one": (1, "frame 1")}
    again = read(tmp_path, [*lines, "3,0,301,5,20,60,0.7,-1,-1,-1"])
    assert again.find(2).scores.tolist() == [0.8]
    assert reasons(again)["further boxes of a track in the same frame"] == (1, "frame 3")


def test_right_and_lower_edges_are_recognised_or_asked_about(tmp_path: Path) -> None:
    lines = [f"{at},-1,{400 + at},200,{440 + at},320,0.9" for at in range(1, 9)]
    boxes = read(tmp_path, lines)
    assert boxes.find(0).edges.tolist() == [[401, 200, 441, 320]]
    assert "with widths and heights there, 100 % of the boxes would reach beyond" in boxes.notes[0]
    sized = read(tmp_path, lines, box_format="xywh")
    assert sized.find(0).edges.tolist() == [[400, 199, 841, 519]]
    near = ["1,-1,40,50,80,170,0.9", "2,-1,44,50,84,170,0.9"]
    with pytest.raises(UserError, match=r"both fit into the frames. Give --box-format xywh or --box-format"):
        read(tmp_path, near)
    assert read(tmp_path, near, box_format="xyxy").find(0).edges.tolist() == [[40, 50, 80, 170]]
    assert read(tmp_path, near, box_format="xywh").find(0).edges.tolist() == [[39, 49, 119, 219]]
    with pytest.raises(UserError, match=r"these are no right and lower edges. Leave --box-format xyxy out"):
        read(tmp_path, ["1,-1,340,50,80,170,0.9"], box_format="xyxy")


def test_boxes_of_another_size_of_video_are_refused_or_doubted(tmp_path: Path) -> None:
    fractions = ["1,-1,0.1,0.2,0.1,0.4,0.9", "2,-1,0.6,0.2,0.1,0.4,0.9"]
    with pytest.raises(UserError, match=r"beyond 0\.6\).* 3 and 5 by the width, 640, .* the height, 480"):
        read(tmp_path, fractions)
    large = [f"{at},-1,{40 * at},{30 * at},30,90,0.9" for at in range(1, 45)]
    with pytest.raises(UserError, match=r"28 of 44 boxes in .* to 1789 x 1409 pixels, .* have 640 x 480"):
        read(tmp_path, large)
    small = [f"{at},-1,{200 - at},20,30,90,0.9" for at in range(1, 61)]
    assert "left upper quarter of the frames, 640 x 480 pixels" in read(tmp_path, small).notes[0]
    assert read(tmp_path, small[:9]).notes == []
    one = [f"{at},-1,301,20,30,90,0.9" for at in range(1, 20)]
    boxes = read(tmp_path, [*one, "7,-1,700,20,30,90,0.9"])
    assert reasons(boxes) == {"boxes outside of the frame": (1, "frame 7")}
    assert len(boxes.find(6)) == 1
    leaving = [f"{at},1,{40 + 7 * at},61,80,200,1" for at in range(1, 101)]  # a track that goes on outside
    assert reasons(read(tmp_path, leaving)) == {"boxes outside of the frame": (15, "frame 86")}


def frame_lines(*numbers: int) -> list[str]:
    return [f"{number},-1,301,21,30,80,0.9" for number in numbers]


def test_frame_numbers_are_places_or_numbers_of_files(tmp_path: Path) -> None:
    tens = list(range(10, 60, 10))
    boxes = read(tmp_path, frame_lines(10, 30, 50), total=5, files=tens)
    assert sorted(boxes.frames) == [0, 2, 4]
    assert "are taken to be the numbers in the files' names" in boxes.notes[0]
    boxes = read(tmp_path, frame_lines(*range(1, 61)), total=5, files=tens)
    assert sorted(boxes.frames) == [0, 1, 2, 3, 4]
    assert reasons(boxes) == {"boxes in frames that are not there": (55, "frame 1")}
    boxes = read(tmp_path, frame_lines(1, 2, 5), total=5, files=tens)
    assert (sorted(boxes.frames), boxes.notes) == ([0, 1, 4], [])
    with pytest.raises(UserError, match="Give --frame-numbers position or --frame-numbers file"):
        read(tmp_path, frame_lines(2, 4), total=5, files=[1, 2, 4, 6, 8])
    for numbers, frames in (("position", [1, 3]), ("file", [1, 2])):
        boxes = read(tmp_path, frame_lines(2, 4), total=5, files=[1, 2, 4, 6, 8], frame_numbers=numbers)
        assert sorted(boxes.frames) == frames
    with pytest.raises(UserError, match="needs a folder of frames with a number"):
        read(tmp_path, frame_lines(2, 4), total=5, frame_numbers="file")


def test_frames_from_0_and_frames_after_the_end(tmp_path: Path) -> None:
    boxes = read(tmp_path, frame_lines(0, 1, 4), total=5)
    assert sorted(boxes.frames) == [0, 1, 4]
    assert "are taken to be counted from 0" in boxes.notes[0]
    boxes = read(tmp_path, frame_lines(1, 5, 6), total=5)
    assert reasons(boxes) == {"boxes in frames that are not there": (1, "frame 6")}
    with pytest.raises(UserError, match="frames 1 to 900, and there are 5 frames: 2 of 3 boxes"):
        read(tmp_path, frame_lines(1, 899, 900), total=5)


def test_a_folder_knows_the_numbers_of_its_files(tmp_path: Path) -> None:
    def folder(*names: str) -> FrameFolder:
        place = tmp_path / names[0]
        place.mkdir()
        for name in names:
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(place / f"{name}.png")
        return FrameFolder(place)

    assert folder("cam1_000010", "cam1_000020", "cam1_000100").numbers == [10, 20, 100]
    assert folder("a1", "b").numbers is None
    assert folder("b1", "c1").numbers is None
    assert folder("9" * 20, "1").numbers is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no boxes"),
        ("1,-1,1,1,9,9,1\n1,-1,1,1,9\n", "line 2 has 5 columns"),
        ("1,-1,1,1,9,9,1\n\n1,-1,1,1,wide,9,1\n", "line 3: .*not a list of numbers"),
        ("-1,-1,1,1,9,9,1\n", "line 1: frame -1"),
        ("1.5,-1,1,1,9,9,1\n", "line 1: frame 1.5"),
        ("1,12345678901234567890,1,1,9,9,1\n", "line 1: frame 1, track 12345678901234567890"),
        ("1,-1,1,1,0,9,1\n", "line 1: a box 0 wide"),
        ("1,-1,nan,1,9,9,1\n", "line 1: .*not finite"),
        ("1,4,1,1,9,9,0,1,1\n", "no boxes of persons but those to ignore"),
        ("1,4,1,1,9,9,1,3,1\n", "classes: 1 of class 3. In MOTChallenge's files class 1 is a pedestrian"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, [text])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    width=st.sampled_from([6, 7, 8, 9, 10]),
    rows=st.lists(ROW, min_size=1, max_size=12),
    person=st.sampled_from([None, None, "0", "1", "person"]),
)
def test_every_box_is_used_or_counted_or_the_file_is_refused(
    tmp_path: Path, width: int, rows: list[tuple[float, ...]], person: str | None
) -> None:
    lines = [",".join(f"{number:g}" for number in row[:width]) for row in rows]
    try:
        boxes = read(tmp_path, lines, person=person)
    except UserError:
        return
    used = sum(len(each) for each in boxes.frames.values())
    assert used + boxes.left_out.total() == len(lines)


def test_a_class_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no box of a person, class 7, but 5 of class 1, 14 of class 2"):
        read(tmp_path, cvat(), person="7")
    with pytest.raises(UserError, match="has no column of classes: leave --person-class out"):
        read(tmp_path, frame_lines(1), person="1")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="it is not a text file"):
        read_boxes(path, SIZE)
    with pytest.raises(UserError, match="No such file"):
        read_boxes(tmp_path / "gt.txt", SIZE)

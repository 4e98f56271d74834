"""MOTChallenge's text files, and what may be wrong with them."""

from pathlib import Path

import pytest

from resight.errors import UserError
from resight.ingest.mot import read_boxes


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "det.txt"
    path.write_text(text)
    return path


def test_detections_have_scores_and_no_tracks(tmp_path: Path) -> None:
    boxes = read_boxes(file(tmp_path, "1,-1,11,21,30,80,0.9,-1,-1,-1\n3, -1, 1, 1, 10, 20, 0.4\n"))
    assert not boxes.tracked
    assert boxes.find(0).edges.tolist() == [[10, 20, 40, 100]]  # pixels count from 1
    assert boxes.find(0).tracks is None
    assert len(boxes.find(1)) == 0
    assert boxes.find(2).scores.tolist() == [0.4]
    assert boxes.note == ""


def test_scores_of_another_kind_count_as_sure(tmp_path: Path) -> None:
    boxes = read_boxes(file(tmp_path, "1,-1,11,21,30,80,33.5\n1,-1,51,21,30,80,-2\n"))
    assert boxes.find(0).scores.tolist() == [1, 1]
    assert "not between 0 and 1" in boxes.note


def test_ground_truth_has_tracks_and_leaves_out_what_is_ignored(tmp_path: Path) -> None:
    lines = ["1,4,1,1,9,9,1,1,1.0", "5,4,1,1,9,9,1,1,0.3", "2,8,1,1,9,9,0,1,1", "2,9,1,1,9,9,1,3,1"]
    boxes = read_boxes(file(tmp_path, "\n".join(lines) + "\n\n"))
    assert boxes.tracked
    assert boxes.last == {4: 4}
    assert boxes.find(4).tracks.tolist() == [4]
    assert sorted(boxes.frames) == [0, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no boxes"),
        ("1,-1,1,1,9,9,1\n1,-1,1,1,9\n", "line 2 has 5 columns"),
        ("1,-1,1,1,9,9,1\n\n1,-1,1,1,wide,9,1\n", "line 3: .*not a list of numbers"),
        ("0,-1,1,1,9,9,1\n", "line 1: frame 0"),
        ("1.5,-1,1,1,9,9,1\n", "line 1: frame 1.5"),
        ("1,-1,1,1,0,9,1\n", "line 1: a box 0 wide"),
        ("1,-1,nan,1,9,9,1\n", "line 1: .*not finite"),
        ("1,-1,1,1,9,9,1\n1,3,1,1,9,9,1\n", "track numbers for some boxes"),
        ("1,4,1,1,9,9,0,1,1\n", "has no pedestrians"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_boxes(file(tmp_path, text))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="it is not a text file"):
        read_boxes(path)
    with pytest.raises(UserError, match="No such file"):
        read_boxes(tmp_path / "gt.txt")

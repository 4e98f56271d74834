"""Which crops stand for a track."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter
from walking import look

from resight.ingest.boxes import Boxes, visible_shares
from resight.ingest.frames import Frame
from resight.ingest.selection import SLOTS, Candidate, Passage, Selection, rate, sharpness
from resight.left_out import LeftOut

FRAME = (400, 400)


def candidate(time: float, quality: float) -> Candidate:
    return Candidate(
        int(time * 10),
        time,
        (0, 0, 1, 2),
        1.0,
        quality,
        np.full((2, 1, 3), int(time * 10) % 256, np.uint8),
    )


def person(height: int = 128, blur: float = 0.0) -> Image.Image:
    picture = Image.fromarray(look(1)).resize((height // 2, height))
    return picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture


def quality(picture: Image.Image, left: float = 100, top: float = 100, width: int | None = None) -> float:
    pixels = np.asarray(picture)
    edges = np.array([left, top, left + (width or picture.width), top + picture.height])
    return rate(pixels, edges, FRAME)


def test_sharp_beats_blurred_and_large_beats_small() -> None:
    assert quality(person()) > 1.3 * quality(person(blur=2))
    assert quality(person(160)) > 1.2 * quality(person(64))
    assert sharpness(np.full((50, 20, 3), 9, np.uint8)) == 0


def test_whole_beats_cut_off_and_upright_beats_wide() -> None:
    assert quality(person()) > 3 * quality(person(), left=0)
    assert quality(person()) > 3 * quality(person(), top=FRAME[0] - 128)
    assert quality(person()) > 2 * quality(person(), width=160)


def test_a_nearer_person_hides_and_a_farther_one_does_not() -> None:
    edges = np.array([[0.0, 0, 40, 100], [20, 10, 60, 120], [200, 0, 240, 100], [202, 5, 238, 130]])
    sure = np.array([True, True, True, False])
    assert visible_shares(edges, sure) == pytest.approx([0.55, 1, 1, 1])


def test_stretches_grow_so_that_a_long_track_stays_small() -> None:
    random = np.random.default_rng(0)
    passage = Passage(0.0, 0.0)
    offered = [candidate(index / 10, float(random.uniform(0.5, 1))) for index in range(2000)]
    for each in offered:
        passage.offer(each)
        assert len(passage.best) <= SLOTS
    assert passage.slot == 16
    for slot, best in passage.best.items():
        inside = [each for each in offered if int(each.time / passage.slot) == slot]
        assert best.quality == max(each.quality for each in inside)


def test_crops_are_the_best_of_equal_parts_of_the_time() -> None:
    passage = Passage(0.0, 0.0)
    for index in range(40):
        passage.offer(candidate(index / 10, 0.9 if index % 10 == 7 else 0.7))
    chosen = passage.choose(4)
    assert [round(each.time, 1) for each in chosen] == [0.7, 1.7, 2.7, 3.7]
    assert [each.time for each in passage.choose(1)] == [0.7]


def test_bad_crops_do_not_fill_a_track_up() -> None:
    passage = Passage(0.0, 0.0)
    for index in range(40):
        passage.offer(candidate(index / 10, 0.9 if index < 10 else 0.1))
    assert len(passage.choose(4)) == 1
    assert Passage(0.0, 0.0).choose(4) == []


def test_the_same_picture_is_not_taken_twice() -> None:
    passage = Passage(0.0, 0.0)
    for index in range(40):
        passage.offer(replace(candidate(index / 10, 0.9), pixels=np.zeros((2, 1, 3), np.uint8)))
    assert len(passage.choose(4)) == 1


def see(selection: Selection, index: int, height: float, left: float = 100.0) -> None:
    pixels = np.random.default_rng(index).integers(0, 255, (*FRAME, 3), np.uint8)
    boxes = Boxes(np.array([[left, 50, left + height / 2, 50 + height]]), np.ones(1))
    selection.see(Frame(index, index / 10, pixels), boxes, [(5, 0)])


def test_small_and_short_tracks_are_left_out() -> None:
    selection = Selection(4, min_height=60, min_sightings=3)
    for index in range(9):
        see(selection, index, 50)
    assert selection.finish(5, LeftOut()) == []
    see(selection, 0, 80)
    see(selection, 1, 80)
    assert selection.finish(5, LeftOut()) == []
    for index in range(3):
        see(selection, index, 50 if index else 80)  # followed while small, cut out while large
    (crop,) = selection.finish(5, LeftOut())
    assert crop.pixels.shape == (80, 40, 3)
    assert crop.box == (100, 50, 40, 80)
    assert selection.open_tracks() == []


def test_a_box_outside_of_the_frame_gives_no_crop_and_another_its_part_inside() -> None:
    selection = Selection(4, min_height=20, min_sightings=1)
    see(selection, 0, 80, left=-60.0)
    assert selection.finish(5, LeftOut()) == []
    see(selection, 0, 80, left=-30.0)
    (crop,) = selection.finish(5, LeftOut())
    assert (crop.box, crop.pixels.shape) == ((0, 50, 10, 80), (80, 10, 3))


def test_it_goes_on_from_its_state() -> None:
    whole, first, second = (Selection(4, 20, 3) for _ in range(3))
    for index in range(60):
        if index == 23:
            passages, pictures = first.state()
            second.restore(json.loads(json.dumps(passages)), pictures)
        see(whole, index, 80 + index)
        see(first if index < 23 else second, index, 80 + index)
    for one, other in zip(whole.finish(5, LeftOut()), second.finish(5, LeftOut()), strict=True):
        assert (one.index, one.time, one.box, one.quality) == (
            other.index,
            other.time,
            other.box,
            other.quality,
        )
        assert np.array_equal(one.pixels, other.pixels)

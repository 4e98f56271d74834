"""Who is who from frame to frame."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.ingest.boxes import Boxes, overlaps, suppress
from resight.ingest.tracking import PATIENCE, GivenTracks, OverlapTracker, match

Sighting = tuple[float, float, float]  # centre x, centre y, score


def boxes(*sightings: Sighting) -> Boxes:
    edges = [(x - 16, y - 40, x + 16, y + 40) for x, y, _ in sightings]
    return Boxes(np.array(edges, float).reshape(-1, 4), np.array([score for *_, score in sightings]))


def follow(
    frames: list[list[Sighting]], rate: float = 10.0, appearance: Sequence[np.ndarray] | None = None
) -> list[list[int | None]]:
    """Return the track of each box of each frame."""
    tracker = OverlapTracker()
    found = []
    for index, sightings in enumerate(frames):
        found_boxes = replace(
            boxes(*sightings), appearance=None if appearance is None else np.stack(appearance)
        )
        step = tracker.update(index, 1e9 + index / rate, found_boxes)
        numbers = {row: track for track, row in step.seen}
        found.append([numbers.get(row) for row in range(len(sightings))])
    return found


def test_two_who_cross_keep_their_tracks() -> None:
    """Their boxes overlap in the middle, where only the direction tells who is who."""
    frames = [[(50 + 8 * i, 100, 0.9), (290 - 8 * i, 115, 0.9)] for i in range(30)]
    tracks = follow(frames)
    assert {tuple(row) for row in tracks} == {(1, 2)}


def test_two_who_meet_and_turn_round_keep_their_tracks_if_their_clothes_differ() -> None:
    """Where they are tells the wrong thing: each comes out where the other one was going."""
    places = [(50 + 8 * i, 100, 0.9) if i <= 15 else (290 - 8 * i, 100, 0.9) for i in range(30)]
    others = [(290 - 8 * i, 104, 0.9) if i <= 15 else (50 + 8 * i, 104, 0.9) for i in range(30)]
    frames = [[one, other] for one, other in zip(places, others, strict=True)]
    assert follow(frames)[-1] == [2, 1]
    assert follow(frames, appearance=[np.array([1.0, 0]), np.array([0.6, 0.8])])[-1] == [1, 2]


def test_who_looks_different_where_somebody_was_is_somebody_new() -> None:
    tracker = OverlapTracker()
    for index, look in enumerate([(1.0, 0.0)] * 5 + [(0.0, 1.0)] * 5):
        one = replace(boxes((50, 100, 0.9)), appearance=np.array([look]))
        seen = tracker.update(index, index / 10, one).seen
        assert seen == [(1 if index < 5 else 2, 0)]


def test_what_hides_a_track_does_not_become_its_look() -> None:
    """Someone nearer passes in front: the box stays where it was, and its colours are the other one's."""
    tracker = OverlapTracker()
    for index in range(20):
        hidden = 8 <= index < 12
        both = boxes((50, 100, 0.9), (55, 110, 0.9) if hidden else (250, 110, 0.9))
        mixed = (0.88, np.sqrt(1 - 0.88**2)) if hidden else (1.0, 0.0)
        tracker.update(index, index / 10, replace(both, appearance=np.array([mixed, (0.0, 1.0)])))
    assert tracker.state()["tracks"][0]["appearance"] == pytest.approx([1, 0])


def test_the_order_of_the_boxes_does_not_matter() -> None:
    frames = [[(50 + 8 * i, 100, 0.9), (290 - 8 * i, 220, 0.9)][:: 1 if i % 2 else -1] for i in range(30)]
    tracks = [row if index % 2 else row[::-1] for index, row in enumerate(follow(frames))]
    assert len({tuple(row) for row in tracks}) == 1


def test_an_unsure_box_keeps_a_track_but_begins_none() -> None:
    frames = [[(50 + 4 * i, 100, 0.9 if i < 5 or i > 12 else 0.2), (250, 100, 0.2)] for i in range(20)]
    tracks = follow(frames)
    assert {row[0] for row in tracks} == {1}
    assert {row[1] for row in tracks} == {None}


def test_someone_hidden_for_a_moment_is_the_same_where_expected() -> None:
    frames = [[(20 + 10 * i, 100, 0.9)] if not 10 <= i < 17 else [] for i in range(30)]
    tracks = follow(frames)
    assert {row[0] for row in tracks if row} == {1}


def test_someone_gone_for_long_is_somebody_new() -> None:
    gap = int(PATIENCE * 10) + 2
    frames = [[(50, 100, 0.9)]] * 5 + [[]] * gap + [[(50, 100, 0.9)]] * 5
    tracks = follow(frames)
    assert tracks[0] == [1]
    assert tracks[-1] == [2]


def test_frames_left_out_do_not_break_a_walk() -> None:
    """1.4 m/s, 80 pixels tall, 5 frames a second: 13 pixels a frame."""
    frames = [[(20 + 13 * i, 100, 0.9)] for i in range(20)]
    assert {row[0] for row in follow(frames, rate=5)} == {1}


def test_a_box_of_one_frame_ends_at_once_and_others_after_patience() -> None:
    tracker = OverlapTracker()
    tracker.update(0, 0.0, boxes((50, 100, 0.9)))
    assert tracker.update(1, 0.1, boxes()).ended == [1]
    tracker.update(2, 0.2, boxes((50, 100, 0.9)))
    tracker.update(3, 0.3, boxes((50, 100, 0.9)))
    assert tracker.update(4, 0.3 + PATIENCE, boxes()).ended == []
    assert tracker.update(5, 0.4 + PATIENCE, boxes()).ended == [2]


def test_a_clock_that_stands_or_goes_back_breaks_nothing() -> None:
    tracker = OverlapTracker()
    for time in (5.0, 5.0, 4.0, 4.1):
        step = tracker.update(0, time, boxes((50, 100, 0.9)))
        assert step.seen == [(1, 0)]


sightings = st.lists(st.tuples(st.floats(0, 300), st.floats(50, 200), st.floats(0, 1)), max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(sightings, max_size=12), st.integers(0, 12))
def test_it_goes_on_from_its_state_as_if_nothing_had_been(frames: list[list[Sighting]], cut: int) -> None:
    whole, first, second = OverlapTracker(), OverlapTracker(), OverlapTracker()
    seen: set[int] = set()
    for index, each in enumerate(frames):
        if index == cut:
            second.restore(json.loads(json.dumps(first.state())))
        resumed = first if index < cut else second
        angles = np.arange(len(each)) * 0.4 + index * 0.1
        now = replace(boxes(*each), appearance=np.stack([np.cos(angles), np.sin(angles)], 1))
        step = whole.update(index, index / 4, now)
        assert resumed.update(index, index / 4, now) == step
        rows = [row for _, row in step.seen]
        tracks = [track for track, _ in step.seen]
        assert len(set(rows)) == len(rows)
        assert len(set(tracks)) == len(tracks)
        assert not seen & set(tracks)  # nobody comes back from the end
        seen |= set(step.ended)


def test_given_tracks_end_with_their_last_box() -> None:
    tracker = GivenTracks({7: 2, 9: 1})
    both = Boxes(np.zeros((2, 4)), np.ones(2), np.array([7, 9]))
    one = Boxes(np.zeros((1, 4)), np.ones(1), np.array([7]))
    assert tracker.update(0, 0.0, both).seen == [(7, 0), (9, 1)]
    assert tracker.update(1, 0.1, one).ended == [9]
    other = GivenTracks({7: 2, 9: 1})
    other.restore(json.loads(json.dumps(tracker.state())))
    assert other.update(2, 0.2, one).ended == [7]


def test_match_takes_the_best_first() -> None:
    assert match(np.array([[0.9, 0.8], [0.85, 0.1]]), 0.2) == [(0, 0)]
    assert match(np.array([[0.5, 0.8], [0.85, 0.1]]), 0.2) == [(1, 0), (0, 1)]
    assert match(np.zeros((0, 3)), 0.2) == []


def test_overlaps_are_intersections_over_unions() -> None:
    one = np.array([[0.0, 0, 10, 10]])
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]])
    assert overlaps(one, others)[0] == pytest.approx([1, 1 / 3, 0, 0])


def test_suppression_keeps_the_surest() -> None:
    edges = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
    assert suppress(edges, np.array([0.5, 0.9, 0.6]), 0.5).tolist() == [1, 2]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []

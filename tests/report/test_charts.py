"""Line charts: well-formed, escaped, and inside their frame."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.report.charts import HEIGHT, MOST_POINTS, WIDTH, Line, line_chart, thinned, ticks
from resight.report.curves import training_charts

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(numbers, numbers, st.booleans())
def test_ticks_enclose_the_range_at_equal_steps(one: float, other: float, whole: bool) -> None:
    low, high = sorted((one, other))
    found = ticks(low, high, 5, whole)
    slack = 1e-6 * max(1e-9, high - low, abs(low))
    assert 2 <= len(found) <= 6
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    steps = [after - before for before, after in pairwise(found)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)
    if whole:
        assert all(value == round(value) for value in found)


def test_ticks_are_round() -> None:
    assert ticks(0, 100, 5) == [0, 20, 40, 60, 80, 100]
    assert ticks(0, 0.03, 5) == [0, 0.01, 0.02, 0.03]
    assert ticks(1, 20, 7, whole=True) == [0, 5, 10, 15, 20]


@given(st.lists(st.tuples(st.integers(0, 500), numbers), min_size=1, max_size=40))
def test_a_chart_is_well_formed_and_inside_its_frame(points: list[tuple[int, float]]) -> None:
    points.sort()
    chart = ElementTree.fromstring(str(line_chart([Line("a", 1, points, "c1")], title="t", x_label="x")))
    for polyline in chart.iter("polyline"):
        for pair in polyline.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT


def test_names_are_escaped() -> None:
    text = str(line_chart([Line("<script>", 1, [(1, 2)], "c1")], title='"><b>', x_label="<i>"))
    assert "<script>" not in text
    assert "<b>1</b>" in text  # our own
    assert '"><b>' not in text.replace('"><b>1', "")
    assert "<i>" not in text


def test_long_lines_are_thinned_to_means() -> None:
    points = [(float(x), float(x % 2)) for x in range(10_000)]
    found = thinned(points)
    assert len(found) <= MOST_POINTS
    assert all(y == pytest.approx(0.5) for _, y in found)
    assert thinned(points[:300]) == points[:300]


def test_curves_show_every_term_and_the_evaluations() -> None:
    metrics = []
    for epoch in (1, 2):
        terms = {"cross-entropy": 2.0 / epoch, "triplet": 0.5 / epoch}
        common = {"epoch": epoch, "loss": 2.5 / epoch, "terms": terms, "crops_per_second": 9.0}
        metrics.append({"kind": "steps", "step": 10 * epoch - 5, "lr": 0.1, **common})
        metrics.append({"kind": "epoch", "step": 10 * epoch, "lr": 0.05, **common})
        metrics.append(
            {"kind": "evaluation", "step": 10 * epoch, "epoch": epoch, "rank1": 0.25, "mAP": 0.125}
        )
    loss, rate, scores = map(str, training_charts(metrics))
    assert "cross-entropy <b>1</b>" in loss
    assert "triplet <b>0.25</b>" in loss
    assert "<b>1.25</b>" in loss
    assert "<b>0.1</b>" in rate
    assert "<b>25</b>" in scores
    assert "<b>12.5</b>" in scores
    assert training_charts([]) == []

"""Each schedule against its formula, written out."""

import math
from typing import Any

import pytest

from resight.errors import UserError
from resight.training.schedules import SCHEDULES, Point, factor_at

STEPS = 7
EPOCHS = 30


def factors(name: str, **settings: Any) -> list[float]:
    schedule = SCHEDULES.build(name, **settings)
    return [schedule(Point(step, STEPS, EPOCHS)) for step in range(STEPS * EPOCHS)]


def test_constant() -> None:
    assert factors("constant") == [1.0] * (STEPS * EPOCHS)


def test_step_falls_every_so_many_epochs() -> None:
    expected = [0.5 ** (epoch // 4) for epoch in range(EPOCHS) for _ in range(STEPS)]
    assert factors("step", every=4, factor=0.5) == pytest.approx(expected)


def test_multi_step_falls_at_the_listed_epochs() -> None:
    expected = [1.0] * 10 + [0.1] * 12 + [0.01] * 8
    assert factors("multi-step", epochs=[10, 22]) == pytest.approx(
        [f for f in expected for _ in range(STEPS)]
    )


def test_han_learning_rates_are_those_of_its_section_4() -> None:
    schedule = SCHEDULES.build("multi-step", epochs=[100, 200, 250], factor=0.1)
    rates = [0.03 * schedule(Point(epoch * 200, 200, 300)) for epoch in (0, 99, 100, 199, 200, 249, 250, 299)]
    assert rates == pytest.approx([3e-2, 3e-2, 3e-3, 3e-3, 3e-4, 3e-4, 3e-5, 3e-5])


def test_warm_up_is_a_straight_line_and_then_one() -> None:
    found = factors("warm-up", epochs=3, start=0.1)
    assert found[:21] == pytest.approx([0.1 + 0.9 * step / 21 for step in range(21)])
    assert found[21:] == [1.0] * (len(found) - 21)


def test_sona_learning_rates_are_those_of_its_section_3_2() -> None:
    """1e-4, 1e-4 more every 5 of the first 50 epochs, then 1e-3; 1e-4 from epoch 200, 1e-5 from 300 on."""
    schedules = (
        SCHEDULES.build("warm-up", epochs=45, start=0.1, every=5),
        SCHEDULES.build("multi-step", epochs=[200, 300], factor=0.1),
    )
    rates = [1e-3 * factor_at(schedules, Point(step, STEPS, 400)) for step in range(STEPS * 400)]
    stairs = [1e-4 * (1 + epoch // 5) for epoch in range(50)]
    expected = [*stairs, *[1e-3] * 150, *[1e-4] * 100, *[1e-5] * 100]
    assert rates == pytest.approx([rate for rate in expected for _ in range(STEPS)])


def test_cosine() -> None:
    total = STEPS * EPOCHS
    expected = [0.2 + 0.8 * (1 + math.cos(math.pi * step / total)) / 2 for step in range(total)]
    assert factors("cosine", end=0.2) == pytest.approx(expected)


def test_one_cycle_rises_and_falls_along_cosines() -> None:
    found = factors("one-cycle", rise=0.3, start=0.04, end=0.01)
    peak = round(0.3 * STEPS * EPOCHS)
    rest = STEPS * EPOCHS - peak
    up = [0.04 + 0.96 * (1 - math.cos(math.pi * step / peak)) / 2 for step in range(peak)]
    down = [0.01 + 0.99 * (1 + math.cos(math.pi * step / rest)) / 2 for step in range(rest)]
    assert found == pytest.approx(up + down)
    assert max(found) == pytest.approx(1.0)


def test_exponential_is_trinets() -> None:
    """lr0 * 0.001 ** ((t - t0) / (t1 - t0)) after t0 (Hermans et al. 2017, Eq. 9), t1 the last epoch."""
    times = [step / STEPS for step in range(STEPS * EPOCHS)]
    expected = [1.0 if t <= 18 else 0.001 ** ((t - 18) / (EPOCHS - 18)) for t in times]
    assert factors("exponential", after=18) == pytest.approx(expected)


def test_exponential_of_support_neighbor_loss() -> None:
    """r0 * 0.001 ** ((t - 75) / (800 - 75)) after epoch 75, also where less than 800 epochs are trained."""
    schedule = SCHEDULES.build("exponential", after=75, until=800)
    for epoch in (0, 75, 76, 300, 599):
        expected = 1.0 if epoch <= 75 else 0.001 ** ((epoch - 75) / (800 - 75))
        assert schedule(Point(epoch * 10, 10, 600)) == pytest.approx(expected)


def test_exponential_in_a_stage_that_ends_before_it_begins() -> None:
    assert factors("exponential", after=90) == [1.0] * (STEPS * EPOCHS)


def test_exponential_must_end_after_it_begins() -> None:
    with pytest.raises(UserError, match="until 75 and after 800"):
        SCHEDULES.build("exponential", after=800, until=75)


def test_several_schedules_multiply() -> None:
    schedules = (
        SCHEDULES.build("warm-up", epochs=2, start=0.0),
        SCHEDULES.build("step", every=1, factor=0.5),
    )
    assert factor_at(schedules, Point(7, STEPS, EPOCHS)) == pytest.approx(0.5 * 0.5)
    assert factor_at((), Point(7, STEPS, EPOCHS)) == 1


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_every_schedule_is_a_pure_function_within_zero_and_one(name: str) -> None:
    needed = {
        "step": {"every": 2},
        "multi-step": {"epochs": [3]},
        "warm-up": {"epochs": 2},
        "exponential": {"after": 3},
    }
    schedule = SCHEDULES.build(name, **needed.get(name, {}))
    points = [Point(step, STEPS, EPOCHS) for step in range(STEPS * EPOCHS)]
    forwards = [schedule(point) for point in points]
    assert [schedule(point) for point in reversed(points)] == forwards[::-1]
    assert all(0 <= factor <= 1 for factor in forwards)

"""The designs and intervals of ``benchmarks/screening.py``."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
screening = pytest.importorskip("screening")

NAMES = [f"factor{number}" for number in range(20)]


@pytest.mark.parametrize("runs", screening.SIZES)
def test_each_factor_is_on_in_half_of_the_runs_whatever_another_is(runs):
    rows = screening.design(runs, NAMES[: runs - 2], seed=3)
    signs = np.array([[1 if on else -1 for on in row.values()] for row in rows])
    assert (signs.sum(0) == 0).all()
    assert (signs.T @ signs == runs * np.eye(signs.shape[1])).all()


def test_few_runs_have_the_intervals_of_lenth():
    """Lenth (1989): s0 = 1.5 median |c|; PSE = 1.5 median of the |c| < 2.5 s0; margin t(0.975, m / 3) PSE."""
    scipy = pytest.importorskip("scipy.stats")
    rows = screening.design(24, NAMES, seed=0)
    random = np.random.default_rng(1)
    scores = [10 + 5 * row["factor3"] + random.normal(0, 0.5) for row in rows]
    found = screening.effects(rows, scores)
    on = {name: np.mean([s for row, s in zip(rows, scores, strict=True) if row[name]]) for name in NAMES}
    off = {name: np.mean([s for row, s in zip(rows, scores, strict=True) if not row[name]]) for name in NAMES}
    sizes = sorted(abs(on[name] - off[name]) for name in NAMES)
    small = [size for size in sizes if size < 2.5 * 1.5 * (sizes[9] + sizes[10]) / 2]
    margin = scipy.t.ppf(0.975, 20 / 3) * 1.5 * np.median(small)
    for name in NAMES:
        value, low, high = found[name]
        assert value == pytest.approx(on[name] - off[name])
        assert (low, high) == pytest.approx((value - margin, value + margin))
    assert found["factor3"][1] > 4
    assert len(small) < 20

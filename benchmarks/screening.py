"""Randomised on/off designs with orthogonal factors, and the effects that they estimate."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SIZES = (4, 8, 12, 20, 24)
"""Numbers of runs of a design (one more than a prime that is 3 modulo 4, Paley's construction)."""

ENOUGH = 8
"""Runs more than coefficients from which the residual tells the variance."""


def design(runs: int, factors: Sequence[str], seed: int) -> list[dict[str, bool]]:
    """Return which factors are on in each run: a Plackett-Burman design, randomised.

    Each factor is on in half of the runs, and so is any second factor in either half: effects are estimated
    independently. Which column a factor gets, which of its signs is on, and the order of the runs are random.

    Raises:
        ValueError: there is no such design, or fewer than two runs more than factors.
    """
    if runs not in SIZES:
        raise ValueError(f"There are designs of {', '.join(map(str, SIZES))} runs; got {runs}.")
    if len(factors) > runs - 2:
        raise ValueError(f"{runs} runs are too few for {len(factors)} factors and an estimate of the error.")
    prime, random = runs - 1, np.random.default_rng(seed)
    squares = {k * k % prime for k in range(1, prime)}
    first = np.array([1] + [1 if k in squares else -1 for k in range(1, prime)])
    signs = np.stack([np.roll(first, shift) for shift in range(prime)])
    signs = np.concatenate([signs, -np.ones((1, prime), int)])
    signs = signs[:, random.permutation(prime)][random.permutation(runs)] * random.choice((-1, 1), prime)
    return [dict(zip(factors, (row > 0).tolist(), strict=False)) for row in signs]


def effects(
    rows: Sequence[Mapping[str, bool]], scores: Sequence[float]
) -> dict[str, tuple[float, float, float]]:
    """Return each factor's change of the score from off to on, and the ends of its 95 % interval.

    Least squares without interactions. With ``ENOUGH`` runs more than coefficients, the intervals are of
    Student's t, with the residual's variance. With fewer, that is hardly known, and they are Lenth's
    (*Quick and Easy Analysis of Unreplicated Factorials*, Technometrics 1989): most factors are taken to have
    no effect. An interval holds for its factor alone: of 20 factors without any effect, one is expected to
    lie outside.

    Raises:
        ValueError: there are fewer than two scores more than factors, or a factor is always on or off.
    """
    from scipy import stats

    names = list(rows[0])
    matrix = np.array([[1.0] + [float(row[name]) for name in names] for row in rows])
    target: NDArray[np.float64] = np.asarray(scores, float)
    freedom = len(target) - matrix.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        raise ValueError(f"{len(target)} runs cannot tell the effects of {len(names)} factors apart.")
    found = np.linalg.lstsq(matrix, target, rcond=None)[0]
    if freedom < ENOUGH:
        errors, freedom = np.full(len(found), lenth_error(found[1:])), len(names) / 3
    else:
        variance = ((target - matrix @ found) ** 2).sum() / freedom
        errors = np.sqrt(variance * np.diag(np.linalg.inv(matrix.T @ matrix)))
    reach = stats.t.ppf(0.975, freedom) * errors
    return {
        name: (float(value), float(value - half), float(value + half))
        for name, value, half in zip(names, found[1:], reach[1:], strict=True)
    }


def lenth_error(found: NDArray[np.float64]) -> float:
    """Return Lenth's pseudo standard error of effects of equal variance, most of which are nothing."""
    sizes = np.abs(found)
    first = 1.5 * np.median(sizes)
    return float(1.5 * np.median(sizes[sizes < 2.5 * first]))

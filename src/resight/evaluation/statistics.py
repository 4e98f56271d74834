"""Mean, standard deviation and 95 % interval, of repeated measurements or over queries."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
BOOTSTRAP_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Spread:
    """Statistics of repeated measurements.

    Attributes:
        mean: of the values.
        std: their standard deviation (divided by n - 1); None for a single value.
        low, high: ends of Student's 95 % interval of the mean; None for a single value. It is for repetitions
            of the same kind, not for other persons or data.
        number: of values.
    """

    mean: float
    std: float | None
    low: float | None
    high: float | None
    number: int


def spread(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation and 95 % interval of one value or more."""
    number = len(values)
    mean = math.fsum(values) / number
    if number == 1:
        return Spread(mean, None, None, None, 1)
    from scipy.special import stdtrit  # takes a while to import

    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (number - 1))
    reach = float(stdtrit(number - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(number)
    return Spread(mean, std, mean - reach, mean + reach, number)


def bootstrap_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean of values [N] over queries.

    It is for other queries of the same kind. Queries of one person resemble each other, so it is rather too
    narrow for other persons. Equal values give equal intervals: the draws have a fixed seed.
    """
    random = np.random.default_rng(0)
    means = [values[random.integers(len(values), size=len(values))].mean() for _ in range(BOOTSTRAP_DRAWS)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)

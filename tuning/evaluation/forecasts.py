"""What is special about forecasts: tests of two models, and errors by step and time of day."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tuning.evaluation.dependence import Tested, example_quality, units_of
from tuning.metrics.metric import Metric

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DieboldMariano:
    """The result of a test that two models forecast equally well.

    Attributes:
        statistic: Test statistic; positive if the second model is better.
        p_value: Two-sided p-value.
        lags: Number of autocovariances of the loss difference that are taken into account.
        times: Number of times.
    """

    statistic: float
    p_value: float
    lags: int
    times: int


def diebold_mariano(metric: Metric, first: Tested, second: Tested) -> DieboldMariano | None:
    """Performs the test of Diebold and Mariano for the models of two trials.

    The test follows Diebold and Mariano, "Comparing Predictive Accuracy", Journal of Business and
    Economic Statistics 13, 1995, with the correction for small samples of Harvey, Leybourne and
    Newbold, International Journal of Forecasting 13, 1997, and the weights of Newey and West,
    Econometrica 55, 1987. The result holds for these two models, not for their configurations.

    Args:
        metric: Metric of the comparison. Its score per example is the loss; for a metric without
            one, it is the squared error.
        first: Predictions and one trial.
        second: Predictions and the other trial.

    Returns:
        The result; None if the rows have no times, or all differences are equal.
    """
    if first[0].times is None:
        return None
    units = units_of(metric, first, second)
    differences = example_quality(metric, second) - example_quality(metric, first)
    by_time = np.bincount(units.index, differences) / np.bincount(units.index)
    count, lags = len(by_time), units.length - 1
    centred = by_time - by_time.mean()
    covariances = [float(centred[k:] @ centred[: count - k]) / count for k in range(lags + 1)]
    weights = [1 - k / (lags + 1) for k in range(lags + 1)]
    long_run = 2 * float(np.dot(weights, covariances)) - covariances[0]
    if long_run <= 0:
        return None
    steps = lags + 1
    correction = (count + 1 - 2 * steps + steps * (steps - 1) / count) / count
    statistic = float(by_time.mean() / (long_run / count) ** 0.5 * max(correction, 0.0) ** 0.5)
    p_value = float(2 * stats.t.sf(abs(statistic), count - 1))
    return DieboldMariano(statistic, p_value, lags, count)

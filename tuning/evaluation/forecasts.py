"""What is special about forecasts: tests of two models, and errors by step and time of day."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tuning.core.record import Predictions
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


def errors_by_step(predictions: Predictions, trials: Sequence[str]) -> Floats | None:
    """Returns the mean absolute error of each step of a forecast, as a mean over trials.

    Returns:
        Errors of shape (horizon,); None if an example is no forecast of several times.
    """
    if predictions.ends is None or not predictions.shape or predictions.shape[0] < 2:
        return None
    return np.asarray(_errors(predictions, trials).mean(axis=(0, 2)))


def errors_by_clock(
    predictions: Predictions, trials: Sequence[str]
) -> tuple[str, list[str], Floats] | None:
    """Returns the mean absolute error by hour of the day, or by day of the week for daily rows.

    Returns:
        Name of the clock, its readings, and an error for each; None if times are no dates, or all
        rows have the same reading.
    """
    times = predictions.times
    if times is None or times.dtype.kind != "M":
        return None
    errors = _errors(predictions, trials).mean(axis=2)
    step = _seconds_per_step(predictions, errors.shape[1])
    if step == 0:
        return None
    offsets = (np.arange(errors.shape[1]) * step).astype("timedelta64[s]")
    seconds = (times.astype("datetime64[s]")[:, None] + offsets).astype(np.int64)
    if step < 86_400:
        name, reading, count = "hour of the day", seconds // 3600 % 24, 24
        labels = [str(hour) for hour in range(24)]
    else:
        name, reading, count = "day of the week", (seconds // 86_400 + 3) % 7, 7
        labels = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    rows = np.bincount(reading.ravel(), minlength=count)
    if np.count_nonzero(rows) < 2:
        return None
    sums = np.bincount(reading.ravel(), errors.ravel(), count)
    present = np.flatnonzero(rows)
    return name, [labels[place] for place in present], sums[present] / rows[present]


def _seconds_per_step(predictions: Predictions, steps: int) -> float:
    """Returns the seconds between the steps of a forecast; of single steps between the rows."""
    assert predictions.times is not None
    if predictions.ends is not None and steps > 1:
        spans = (predictions.ends - predictions.times).astype("timedelta64[s]").astype(np.int64)
        return float(np.median(spans)) / (steps - 1)
    gaps = np.diff(np.unique(predictions.times)).astype("timedelta64[s]").astype(np.int64)
    return float(np.median(gaps)) if len(gaps) else 0.0


def autocorrelation(predictions: Predictions, trial: str, lags: int) -> Floats | None:
    """Returns the autocorrelation of the errors of the first step, of shape (lags,), from lag 1.

    Returns:
        Correlations; None if the rows have no times, there are too few, or all errors are equal.
    """
    if predictions.times is None:
        return None
    output = predictions.points(predictions.outputs[trial])
    errors = (output - predictions.truth).reshape(len(output), -1)[:, 0]
    units, index = np.unique(predictions.times, return_inverse=True)
    by_time = np.bincount(index.reshape(-1), errors) / np.bincount(index.reshape(-1))
    centred = by_time - by_time.mean()
    variance = float(centred @ centred)
    if len(units) <= 2 * lags or variance == 0:
        return None
    return np.array([centred[lag:] @ centred[:-lag] for lag in range(1, lags + 1)]) / variance


def quantile_coverage(predictions: Predictions, trials: Sequence[str]) -> Floats | None:
    """Returns the share of truths at or below each predicted quantile, as a mean over trials.

    Returns:
        Shares of shape (quantiles,); None if the models predict no quantiles.
    """
    if not predictions.quantiles:
        return None
    truth = predictions.truth.reshape(len(predictions.truth), -1)[:, :, None]
    below = [(truth <= predictions.outputs[name]).mean(axis=(0, 1)) for name in trials]
    return np.asarray(np.mean(below, axis=0))


def _errors(predictions: Predictions, trials: Sequence[str]) -> Floats:
    """Returns absolute errors of shape (examples, steps, series), as a mean over trials."""
    shape = predictions.shape if predictions.ends is not None else (1, *predictions.shape)
    steps = shape[0] if shape else 1
    errors = [
        np.abs(predictions.points(predictions.outputs[name]) - predictions.truth)
        for name in trials
    ]
    return np.asarray(np.mean(errors, axis=0).reshape(predictions.examples, steps, -1))

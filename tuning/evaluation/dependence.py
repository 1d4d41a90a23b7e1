"""Which test examples depend on each other, and how many of them make a block."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, log10, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.record import Predictions
from tuning.data.dependence import checked_rows, horizon_of, spans_of
from tuning.metrics.examples import quality
from tuning.metrics.metric import Metric
from tuning.metrics.scoring import example_scores
from tuning.metrics.units import Units, independent

Floats = NDArray[np.floating[Any]]
# The predictions of a record, and the names of a configuration's trials in it.
Tested = tuple[Predictions, Sequence[str]]


def units_of(metric: Metric, baseline: Tested, best: Tested) -> Units:
    """Returns the units of the test split for the comparison of two configurations.

    Groups are units. Examples with times are units by time, in blocks whose length follows
    ``block_length`` of the differences between the two configurations. A block is at least as
    long as the horizon of a forecast, because forecasts that overlap share their errors.
    """
    # The record of a champion may be older than what the task says now; the rows are the same.
    predictions = best[0] if _depends(best[0]) else baseline[0]
    if predictions.groups is not None:
        values, index = np.unique(predictions.groups, return_inverse=True)
        return Units("group", index.reshape(-1), len(values))
    if predictions.times is None:
        return independent(predictions.examples)
    values, index = np.unique(predictions.times, return_inverse=True)
    units = Units("time", index.reshape(-1), len(values))
    differences = example_quality(metric, best) - example_quality(metric, baseline)
    by_time = np.bincount(units.index, differences) / np.bincount(units.index)
    longest = max(units.count // 3, 1)
    length = block_length(by_time)
    if predictions.ends is not None:
        length = max(length, horizon_of(np.stack([predictions.times, predictions.ends], axis=1)))
    return replace(units, length=min(length, longest))


def _depends(predictions: Predictions) -> bool:
    return predictions.times is not None or predictions.groups is not None


def example_quality(metric: Metric, tested: Tested) -> Floats:
    """Returns how good the predictions of each example are, as a mean over the trials.

    It is the score of the metric where it has one per example, signed so that larger is better;
    otherwise the negative squared error, and of classes the probability of the truth.

    Returns:
        Values of shape (examples,).
    """
    predictions, trials = tested
    scores = example_scores(metric, predictions, trials)
    if scores is not None:
        return np.asarray(metric.sign * scores.mean(axis=0))
    by_row = np.mean([_row_quality(predictions, predictions.outputs[t]) for t in trials], axis=0)
    return np.asarray(by_row.reshape(-1, predictions.steps).mean(axis=1))


def _row_quality(predictions: Predictions, output: NDArray[Any]) -> Floats:
    if predictions.kind != "regression":
        return quality(predictions, output)
    errors = np.asarray(predictions.points(output), float) - predictions.truth
    return np.asarray(-(errors.reshape(len(errors), -1) ** 2).mean(axis=1))


def block_length(series: Floats) -> int:
    """Returns the length of blocks with which the variance of a mean is estimated best.

    The rule is that of Politis and White, "Automatic Block-Length Selection for the Dependent
    Bootstrap", Econometric Reviews 23, 2004, for circular blocks, with the correction of Patton,
    Politis and White, Econometric Reviews 28, 2009.

    Args:
        series: Values in the order of time, of shape (times,).

    Returns:
        A whole number from 1 to the smaller of 3 √times and times / 3; 1 if the values do not
        depend on each other.
    """
    count = len(series)
    centred = np.asarray(series, float) - np.mean(series)
    variance = float(centred @ centred) / count
    if count < 10 or variance == 0:
        return 1
    run = max(5, ceil(sqrt(log10(count))))
    most = min(ceil(sqrt(count)) + run, count - 1)
    covariances = np.array([centred[: count - k] @ centred[k:] for k in range(most + 1)]) / count
    lags = _last_lag(covariances / variance, run, 2 * sqrt(log10(count) / count))
    if lags == 0:
        return 1
    lags = min(2 * lags, most)
    k = np.arange(1, lags + 1)
    flat_top = np.minimum(1.0, 2 * (1 - k / lags))
    slope = 2 * float(flat_top * k @ covariances[1 : lags + 1])
    spectrum = variance + 2 * float(flat_top @ covariances[1 : lags + 1])
    if spectrum <= 0:
        return 1
    length = float((1.5 * slope**2 / spectrum**2 * count) ** (1 / 3))
    return max(1, ceil(min(length, 3 * sqrt(count), count / 3)))


def _last_lag(correlations: Floats, run: int, limit: float) -> int:
    """Returns the lag after which a run of correlations is not clearly different from 0."""
    small = np.abs(correlations[1:]) < limit
    for lag in range(len(small) - run + 1):
        if small[lag : lag + run].all():
            return lag
    return int(np.flatnonzero(~small)[-1]) + 1


def with_dependence(
    predictions: Predictions, *, times: Any = None, groups: Any = None
) -> Predictions:
    """Returns predictions with the times or the groups of their examples.

    Raises:
        BadInputError: Their number is not that of the examples.
    """
    if times is not None:
        times = checked_rows("times", times, predictions.examples)
        first, last = spans_of(times).T
        return replace(predictions, times=first, ends=last if times.ndim == 2 else None)
    if groups is not None:
        groups = checked_rows("groups", groups, predictions.examples)
    return replace(predictions, groups=groups)

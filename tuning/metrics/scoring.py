"""Scores the predictions of models on the test split by a metric."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.record import Predictions
from tuning.metrics.metric import Metric
from tuning.metrics.units import Units, sample_counts

Floats = NDArray[np.floating[Any]]


def score(metric: Metric, predictions: Predictions, output: "NDArray[Any]") -> float:
    """Returns the value of a metric for the predictions of one model.

    Args:
        metric: Metric to compute.
        predictions: Predictions that hold the truth.
        output: Predictions of the model, for example an entry of ``predictions.outputs``.

    Returns:
        The value; NaN if a prediction is not finite.
    """
    if not np.isfinite(output).all():
        return math.nan
    judged = _judged(metric, predictions, output)
    value = metric.compute(predictions.truth, judged, _row_weights(predictions))
    return value / predictions.scales.get(metric.name, 1.0)


def scores(metric: Metric, predictions: Predictions, trials: Sequence[str]) -> list[float]:
    """Returns the value of a metric for each trial; see ``score``."""
    return [score(metric, predictions, predictions.outputs[name]) for name in trials]


def example_scores(
    metric: Metric, predictions: Predictions, trials: Sequence[str]
) -> Floats | None:
    """Returns the score of each example by each trial, whose weighted mean is the value.

    Returns:
        Scores of shape (trials, examples); None if the metric is no mean over examples.
    """
    if metric.per_row is None:
        return None
    outputs = [_judged(metric, predictions, predictions.outputs[name]) for name in trials]
    rows = [metric.per_row(predictions.truth, output) for output in outputs]
    by_step = np.asarray(rows, dtype=float).reshape(len(trials), -1, predictions.steps)
    scale = predictions.scales.get(metric.name, 1.0)
    return np.asarray(by_step.mean(axis=2) / scale)


def resampled_scores(metric: Metric, predictions: Predictions, trial: str, units: Units) -> Floats:
    """Returns the value of a metric for bootstrap samples of the examples.

    The samples are the same for all models, so two models are compared on the same ones: Efron and
    Tibshirani, "An Introduction to the Bootstrap", 1993. The values of the latest predictions are
    kept, because a model is compared with several others.

    Args:
        metric: Metric to compute.
        predictions: Predictions of the models.
        trial: Name of the model's trial.
        units: Units of the examples that a sample has as a whole.

    Returns:
        Values of shape (samples,); NaN for a sample on which the metric is not defined.
    """
    if _latest.predictions is not predictions:
        _latest.predictions, _latest.values = predictions, {}
    key = metric.name, trial, units.kind, units.length
    if key not in _latest.values:
        batches = [
            _on_samples(metric, predictions, trial, counts) for counts in sample_counts(units)
        ]
        scale = predictions.scales.get(metric.name, 1.0)
        _latest.values[key] = np.concatenate(batches) / scale
    return _latest.values[key]


@dataclass
class _Latest:
    """The values of bootstrap samples of the predictions that were resampled last."""

    predictions: Predictions | None = None
    values: dict[tuple[str, str, str, int], Floats] = field(default_factory=dict)


_latest = _Latest()


def scales_of(metrics: Sequence[Metric], targets: Any) -> dict[str, float]:
    """Returns the numbers by which scaled metrics are divided, by name of the metric.

    Args:
        metrics: Metrics of a study.
        targets: Training targets in the order of time, of shape (examples, …).

    Raises:
        ValueError: A number cannot be computed from the targets.
    """
    return {metric.name: metric.scale(targets) for metric in metrics if metric.scale is not None}


def _on_samples(
    metric: Metric, predictions: Predictions, trial: str, counts: NDArray[np.int64]
) -> Floats:
    truth = predictions.truth
    output = _judged(metric, predictions, predictions.outputs[trial])
    own = _row_weights(predictions)
    rows = np.repeat(counts, predictions.steps, axis=1)
    if metric.resampled is not None:
        row_weights = rows * (1.0 if own is None else own)
        return np.asarray(metric.resampled(truth, output, row_weights))
    values = []
    for count in rows:
        chosen = np.repeat(np.arange(len(truth)), count)
        weights = None if own is None else own[chosen]
        values.append(_value_or_nan(metric, truth[chosen], output[chosen], weights))
    return np.array(values)


def _value_or_nan(metric: Metric, truth: Any, output: Any, weights: Any) -> float:
    # A sample may lack a class; the whole split, which was checked, has all of them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return metric.compute(truth, output, weights)
        except ValueError:
            return math.nan


def _judged(metric: Metric, predictions: Predictions, output: "NDArray[Any]") -> "NDArray[Any]":
    """Returns what a metric judges: quantiles, or one number per target."""
    return output if metric.quantiles else predictions.points(output)


def _row_weights(predictions: Predictions) -> Floats | None:
    if predictions.weights is None:
        return None
    return np.repeat(predictions.weights, predictions.steps)

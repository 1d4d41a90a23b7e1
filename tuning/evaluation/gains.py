"""The gain of one configuration over another on the test split, for any metric."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.record import Predictions
from tuning.evaluation.statistics import Gain, gain_of
from tuning.metrics.metric import Metric
from tuning.metrics.scoring import example_scores, resampled_scores, scores

Floats = NDArray[np.floating[Any]]
# The predictions of a record, and the names of a configuration's trials in it.
Tested = tuple[Predictions, Sequence[str]]


def gain(metric: Metric, baseline: Tested, best: Tested, confidence: float) -> Gain:
    """Estimates the gain of ``best`` over ``baseline``; a positive gain is better.

    The variance due to the choice of examples comes from the scores of the examples if the metric
    is their mean, and otherwise from a bootstrap of the examples, paired because all models see
    the same ones.

    Args:
        metric: Metric of the comparison.
        baseline: Predictions and trials of the first configuration.
        best: Predictions and trials of the second configuration, for the same examples.
        confidence: Confidence level of the interval, for example 0.95.

    Returns:
        The gain in the unit of the metric. Its interval is infinite if a configuration has one
        seed only, or if a model's predictions are not finite.
    """
    first, second = (
        metric.sign * np.array(scores(metric, predictions, trials))
        for predictions, trials in (baseline, best)
    )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return Gain(math.nan, -math.inf, math.inf, 1.0, math.inf, math.inf, 0.0)
    variance = example_variance(metric, baseline, best)
    return gain_of(first, second, variance, baseline[0].examples, confidence)


def example_variance(metric: Metric, baseline: Tested, best: Tested) -> float:
    """Returns the variance of a difference of means that is due to the choice of examples.

    Each model's value has a part that all models share, because they see the same examples, and a
    part of its own. Only the shared part counts here: the own part is in the variance between
    seeds already. So it is the mean covariance of two different models of ``best``, plus that of
    ``baseline``, minus twice that of a model of each; a random-effects model with two crossed
    factors, as in Searle, Casella and McCulloch, "Variance Components", 1992, chapter 5.
    """
    by_example = [example_scores(metric, *tested) for tested in (baseline, best)]
    first, second = by_example
    if first is not None and second is not None:
        deviations = _from_scores(np.concatenate([first, second]), baseline[0].weights)
    else:
        deviations = _from_samples(metric, baseline, best)
    covariance = deviations @ deviations.T
    count = len(baseline[1])
    within = _mean_of_pairs(covariance[:count, :count]), _mean_of_pairs(covariance[count:, count:])
    shared = float(within[0] + within[1] - 2 * covariance[:count, count:].mean())
    return max(shared, 0.0)


def _from_scores(by_example: Floats, weights: "NDArray[Any] | None") -> Floats:
    """Returns deviations of shape (models, examples), whose products sum to covariances."""
    examples = by_example.shape[1]
    if weights is None:
        weights = np.ones(examples)
    # The variance of a ratio of sums: Cochran, "Sampling Techniques", 1977, section 2.11.
    means = np.average(by_example, axis=1, weights=weights)[:, None]
    scale = (examples / (examples - 1)) ** 0.5 / weights.sum()
    return np.asarray(weights * (by_example - means) * scale)


def _from_samples(metric: Metric, *tested: Tested) -> Floats:
    """Returns deviations of shape (models, bootstrap samples), like ``_from_scores``."""
    samples = np.stack(
        [
            resampled_scores(metric, predictions, name)
            for predictions, trials in tested
            for name in trials
        ]
    )
    # On a sample without one of the classes, a metric may not be defined.
    samples = samples[:, np.isfinite(samples).all(axis=0)]
    centred = samples - samples.mean(axis=1, keepdims=True)
    return np.asarray(centred / (samples.shape[1] - 1) ** 0.5)


def _mean_of_pairs(covariance: Floats) -> float:
    """Returns the mean of the covariances of two different models; of one model its variance."""
    count = len(covariance)
    if count == 1:
        return float(covariance[0, 0])
    return float((covariance.sum() - np.trace(covariance)) / (count * (count - 1)))

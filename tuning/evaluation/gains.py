"""The gain of one configuration over another on the test split, for any metric."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.evaluation.dependence import Tested, units_of
from tuning.evaluation.intervals import Gain, Rows, gain_of
from tuning.metrics.metric import Metric
from tuning.metrics.scoring import example_scores, resampled_scores, scores
from tuning.metrics.units import Units, deviations

# Largest share of bootstrap samples on which a metric may not be defined.
MOST_UNDEFINED = 0.05

Floats = NDArray[np.floating[Any]]


def gain(
    metric: Metric, baseline: Tested, best: Tested, confidence: float, *, paired: bool = False
) -> Gain:
    """Estimates the gain of ``best`` over ``baseline``; a positive gain is better.

    The variance due to the choice of examples comes from the scores of the examples if the metric
    is their mean, and otherwise from a bootstrap of the examples, paired because all models see
    the same ones. Examples that depend on each other are taken by groups, or by blocks of times.

    Args:
        metric: Metric of the comparison.
        baseline: Predictions and trials of the first configuration.
        best: Predictions and trials of the second configuration, for the same examples.
        confidence: Confidence level of the interval, for example 0.95.
        paired: Whether both have the same seeds in the same order, each with training rows of its
            own.

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
    units = units_of(metric, baseline, best)
    rows = Rows(units.kind, units.count, units.length)
    variance = example_variance(metric, baseline, best, units)
    overlaps = baseline[0].overlap, best[0].overlap
    return gain_of(first, second, variance, rows, confidence, overlaps=overlaps, paired=paired)


def example_variance(metric: Metric, baseline: Tested, best: Tested, units: Units) -> float:
    """Returns the variance of a difference of means that is due to the choice of examples.

    Each model's value has a part that all models share, because they see the same examples, and a
    part of its own. Only the shared part counts here: the own part is in the variance between
    seeds already. So it is the mean covariance of two different models of ``best``, plus that of
    ``baseline``, minus twice that of a model of each; a random-effects model with two crossed
    factors, as in Searle, Casella and McCulloch, "Variance Components", 1992, chapter 5.
    """
    if units.draws <= 1:
        return math.inf
    by_example = [example_scores(metric, *tested) for tested in (baseline, best)]
    first, second = by_example
    if first is not None and second is not None:
        contributions = _contributions(np.concatenate([first, second]), baseline[0].weights)
        parts = deviations(contributions, units)
    else:
        parts = _from_samples(metric, units, baseline, best)
    if not np.isfinite(parts).all():
        return math.inf
    covariance = parts @ parts.T
    count = len(baseline[1])
    within = _mean_of_pairs(covariance[:count, :count]), _mean_of_pairs(covariance[count:, count:])
    shared = float(within[0] + within[1] - 2 * covariance[:count, count:].mean())
    return max(shared, 0.0)


def _contributions(by_example: Floats, weights: "NDArray[Any] | None") -> Floats:
    """Returns what each example adds to the mean of each model, of shape (models, examples)."""
    if weights is None:
        weights = np.ones(by_example.shape[1])
    # The variance of a ratio of sums: Cochran, "Sampling Techniques", 1977, section 2.11.
    means = np.average(by_example, axis=1, weights=weights)[:, None]
    return np.asarray(weights * (by_example - means) / weights.sum())


def _from_samples(metric: Metric, units: Units, *tested: Tested) -> Floats:
    """Returns deviations of shape (models, samples), whose products sum to covariances."""
    samples = np.stack(
        [
            resampled_scores(metric, predictions, name, units)
            for predictions, trials in tested
            for name in trials
        ]
    )
    # On a sample without one of the classes, a metric may not be defined. Where that is frequent,
    # the class stands in few units, and the other samples hardly vary.
    defined = np.isfinite(samples).all(axis=0)
    if defined.mean() < 1 - MOST_UNDEFINED:
        return np.full((len(samples), 1), np.inf)
    samples = samples[:, defined]
    centred = samples - samples.mean(axis=1, keepdims=True)
    # A sample of few draws varies too little, by the factor (n - 1) / n of a variance.
    few = units.draws / (units.draws - 1)
    return np.asarray(centred * (few / (samples.shape[1] - 1)) ** 0.5)


def _mean_of_pairs(covariance: Floats) -> float:
    """Returns the mean of the covariances of two different models; of one model its variance."""
    count = len(covariance)
    if count == 1:
        return float(covariance[0, 0])
    return float((covariance.sum() - np.trace(covariance)) / (count * (count - 1)))

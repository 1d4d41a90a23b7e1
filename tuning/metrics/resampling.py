"""Values of a metric on many weighted samples of the same rows, computed together.

Metrics are recomputed for hundreds of bootstrap samples, so every function here takes the weights
of all samples as one array of shape ``(samples, rows)``.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def of_means(
    moments: Callable[[Any, Any], Any], combine: Callable[[Floats], Floats]
) -> Callable[[Any, Any, Any], Floats]:
    """Returns a function that computes a metric which depends on weighted means only.

    Args:
        moments: Function of truth and prediction that returns what is averaged, of shape
            ``(rows, moments)``; the array may be sparse.
        combine: Function of the means, of shape ``(moments, samples)``, that returns the values,
            of shape ``(samples,)``.
    """

    def resampled(truth: Any, prediction: Any, weights: Floats) -> Floats:
        columns = moments(truth, prediction)
        return combine((columns.T @ weights.T) / weights.sum(axis=1))

    return resampled


def roc_auc(truth: Any, prediction: Any, weights: Floats) -> Floats:
    """Returns the area under the ROC curve; NaN for a sample in which a class is missing.

    It is the share of pairs of a positive and a negative row in which the positive one has the
    higher score, where a tie counts half: Hanley and McNeil, Radiology 143, 1982.

    Args:
        truth: Classes 0 or 1, of shape ``(rows,)``.
        prediction: Scores of shape ``(rows,)``.
        weights: Weights of shape ``(samples, rows)``.
    """
    positive, negative = _tied_weights(truth, prediction, weights)
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore"):
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return np.asarray((positive * below).sum(axis=1) / pairs)


def average_precision(truth: Any, prediction: Any, weights: Floats) -> Floats:
    """Returns the sum of the precisions, weighted by the steps of the recall; see ``roc_auc``."""
    positive, negative = _tied_weights(truth, prediction, weights)
    hits = np.cumsum(positive[:, ::-1], axis=1)
    chosen = hits + np.cumsum(negative[:, ::-1], axis=1)
    with np.errstate(invalid="ignore"):
        precision = np.where(chosen > 0, hits / chosen, 0.0)
        total = positive.sum(axis=1)
        return np.asarray((positive[:, ::-1] * precision).sum(axis=1) / total)


def one_against_one(truth: Any, prediction: Any, weights: Floats) -> Floats:
    """Returns the mean of ``roc_auc`` over all pairs of classes: Hand and Till, 2001.

    Of each pair it is the mean of both directions, each by the probability of its own class.
    """
    values = []
    for first, second in combinations(range(np.shape(prediction)[1]), 2):
        rows = np.flatnonzero((truth == first) | (truth == second))
        for own in (first, second):
            positive, score = truth[rows] == own, prediction[rows, own]
            values.append(roc_auc(positive, score, weights[:, rows]))
    return np.asarray(np.mean(values, axis=0))


def over_columns(function: Callable[[Any, Any, Any], Floats]) -> Callable[[Any, Any, Any], Floats]:
    """Returns a function that averages a binary metric over classes, each against the rest.

    The truth is of shape ``(rows,)`` with classes, or of shape ``(rows, labels)``.
    """

    def resampled(truth: Any, prediction: Any, weights: Floats) -> Floats:
        if np.ndim(prediction) == 1:
            return function(truth, prediction, weights)
        columns = np.shape(prediction)[1]
        values = [
            function(truth[:, c] if np.ndim(truth) == 2 else truth == c, prediction[:, c], weights)
            for c in range(columns)
        ]
        return np.asarray(np.mean(values, axis=0))

    return resampled


def _tied_weights(truth: Any, prediction: Any, weights: Floats) -> tuple[Floats, Floats]:
    """Sums the weights of positive and negative rows of equal score, by ascending score."""
    order = np.argsort(prediction, kind="stable")
    scores, is_positive = np.asarray(prediction)[order], np.asarray(truth)[order] == 1
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    sorted_weights = weights[:, order]
    return (
        np.add.reduceat(sorted_weights * is_positive, starts, axis=1),
        np.add.reduceat(sorted_weights * ~is_positive, starts, axis=1),
    )

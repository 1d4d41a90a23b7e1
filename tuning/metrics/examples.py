"""Examples of the test split on which two models differ most."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.record import Predictions
from tuning.metrics.classification import is_right

# Number of examples per pair of models and per direction of the change, for the report.
KEPT = 10


def quality(predictions: Predictions, output: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Returns how good each prediction is: larger is better.

    For classes it is the probability of the truth (with several labels, the mean over them); for
    numbers the negative absolute error, as a mean over the targets.

    Returns:
        Values of shape (rows,).
    """
    truth = predictions.truth
    if predictions.kind == "regression":
        errors = -np.abs(predictions.points(output) - truth)
        return np.asarray(errors if errors.ndim == 1 else errors.mean(axis=1))
    if predictions.kind == "multiclass":
        return np.asarray(output[np.arange(len(truth)), truth])
    chosen = np.where(truth == 1, output, 1 - output)
    return np.asarray(chosen if chosen.ndim == 1 else chosen.mean(axis=1))


def changed_examples(
    predictions: Predictions, before: str, after: str, *, better: bool, count: int = KEPT
) -> list[int]:
    """Finds the examples whose prediction differs most between two models.

    Args:
        predictions: Predictions with one row per example.
        before: Name of the first trial.
        after: Name of the second trial.
        better: Whether to find the examples that the second model predicts better, otherwise those
            that it predicts worse. Of classes, only examples that exactly one of the models
            predicts right are found.
        count: Maximum number of examples.

    Returns:
        Positions in the test split; the largest change comes first.
    """
    first, second = predictions.outputs[before], predictions.outputs[after]
    change = quality(predictions, second) - quality(predictions, first)
    change = change if better else -change
    if predictions.kind == "regression":
        found = np.flatnonzero(change > 0)
    else:
        right = [is_right(predictions.truth, output) for output in (first, second)]
        found = np.flatnonzero(right[1] & ~right[0] if better else right[0] & ~right[1])
    return [int(index) for index in found[np.argsort(-change[found], kind="stable")][:count]]

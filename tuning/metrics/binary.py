"""Metrics of binary classifiers: accuracy, log loss, and examples on which two models differ."""

from collections.abc import Sequence

import numpy as np

from tuning.core.record import Predictions

# Number of examples per pair of models and per direction of the flip, for the report.
KEPT = 10


def scores(labels: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Returns accuracy and log loss of one model on the test split."""
    p = np.clip(probability.astype(float), 1e-7, 1 - 1e-7)
    loss = -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p)))
    return {
        "test_accuracy": float(np.mean((probability >= 0.5) == (labels == 1))),
        "test_loss": float(loss),
    }


def flips(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray, right: bool, count: int = KEPT
) -> list[int]:
    """Finds the examples that only one of two models predicts correctly.

    Args:
        labels: True classes, 0 or 1, of shape (examples,).
        before: Probabilities of class 1 from the first model, of shape (examples,).
        after: Probabilities of class 1 from the second model, of shape (examples,).
        right: Whether to find the examples that only the second model predicts correctly;
            otherwise those that only the first model predicts correctly.
        count: Maximum number of examples.

    Returns:
        Positions in the test split; the largest change of the probability comes first.
    """
    truth = labels == 1
    ok_before, ok_after = (before >= 0.5) == truth, (after >= 0.5) == truth
    flipped = np.flatnonzero(~ok_before & ok_after if right else ok_before & ~ok_after)
    size = np.abs(after - before)[flipped]
    return [int(index) for index in flipped[np.argsort(-size, kind="stable")][:count]]


def correct_examples(predictions: Predictions, trials: Sequence[str]) -> np.ndarray:
    """Returns whether each model predicts each example correctly; shape (trials, examples)."""
    truth = predictions.labels == 1
    return np.stack([(predictions.probabilities[name] >= 0.5) == truth for name in trials])

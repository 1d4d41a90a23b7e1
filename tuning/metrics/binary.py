"""How well binary classifiers do: accuracy, log loss, and where two of them differ."""

from collections.abc import Sequence

import numpy as np

from tuning.core.record import Predictions

# Examples kept, of each kind, for every pair of models that the report may show.
KEPT = 10


def scores(labels: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Accuracy and log loss of one model on the test split."""
    p = np.clip(probability.astype(float), 1e-7, 1 - 1e-7)
    loss = -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p)))
    return {
        "test_accuracy": float(np.mean((probability >= 0.5) == (labels == 1))),
        "test_loss": float(loss),
    }


def flips(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray, right: bool, count: int = KEPT
) -> list[int]:
    """The examples that a change of models flips, the surest first.

    Args:
        labels: True classes.
        before: Probabilities of class 1 by the first model.
        after: By the second.
        right: Those that become right, or else those that become wrong.
        count: At most so many.

    Returns:
        Positions in the test split.
    """
    truth = labels == 1
    ok_before, ok_after = (before >= 0.5) == truth, (after >= 0.5) == truth
    flipped = np.flatnonzero(~ok_before & ok_after if right else ok_before & ~ok_after)
    size = np.abs(after - before)[flipped]
    return [int(index) for index in flipped[np.argsort(-size, kind="stable")][:count]]


def correct_examples(predictions: Predictions, trials: Sequence[str]) -> np.ndarray:
    """Which test examples the trials' models get right, of shape (trials, examples)."""
    truth = predictions.labels == 1
    return np.stack([(predictions.probabilities[name] >= 0.5) == truth for name in trials])

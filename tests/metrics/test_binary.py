"""Accuracy, log loss and flips: the values that a hand gives."""

import numpy as np
import pytest

from tuning.core.record import Predictions
from tuning.metrics.binary import correct_examples, flips, scores

LABELS = np.array([0, 1, 1, 0])
BEFORE = np.array([0.1, 0.4, 0.9, 0.6])
AFTER = np.array([0.2, 0.8, 0.3, 0.5])


def test_scores_are_accuracy_and_log_loss() -> None:
    measured = scores(LABELS, BEFORE)
    assert measured["test_accuracy"] == 0.5
    assert measured["test_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.9, 0.4]).mean())
    assert scores(LABELS, np.array([0.0, 1.0, 1.0, 0.0]))["test_loss"] < 1e-6


def test_correct_examples_have_a_row_per_trial() -> None:
    predictions = Predictions(LABELS, {"a": BEFORE, "b": AFTER})
    expected = [[True, True, False, False], [True, False, True, False]]
    assert correct_examples(predictions, ["b", "a"]).tolist() == expected


def test_flips_are_those_of_one_direction_with_the_surest_first() -> None:
    assert flips(LABELS, BEFORE, AFTER, right=True) == [1]
    assert flips(LABELS, BEFORE, AFTER, right=False) == [2]
    assert flips(LABELS, BEFORE, AFTER, right=True, count=0) == []

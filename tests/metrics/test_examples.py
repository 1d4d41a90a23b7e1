"""Right rows, their scores, and the examples on which two models differ: values by hand."""

from typing import Any

import numpy as np
import pytest

from tuning.core.record import Kind, Predictions
from tuning.metrics.catalogue import make_metric
from tuning.metrics.classification import is_right
from tuning.metrics.examples import changed_examples, quality
from tuning.metrics.scoring import example_scores, score

TRUTH = np.array([0, 1, 1, 0])
BEFORE = np.array([0.1, 0.4, 0.9, 0.6])
AFTER = np.array([0.2, 0.8, 0.3, 0.5])


def predictions(truth: Any, before: Any, after: Any, kind: Kind = "binary") -> Predictions:
    outputs = {"before": np.asarray(before), "after": np.asarray(after)}
    return Predictions(np.asarray(truth), outputs, kind)


BINARY = predictions(TRUTH, BEFORE, AFTER)
MULTICLASS = predictions(
    [2, 0, 1],
    [[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.5, 0.45, 0.05]],
    [[0.1, 0.2, 0.7], [0.4, 0.5, 0.1], [0.1, 0.8, 0.1]],
    "multiclass",
)
MULTILABEL = predictions(
    [[1, 0], [0, 1], [1, 1]],
    [[0.9, 0.1], [0.2, 0.4], [0.6, 0.7]],
    [[0.9, 0.8], [0.2, 0.9], [0.8, 0.9]],
    "multilabel",
)
REGRESSION = predictions([1.0, 2.0, 3.0], [1.5, 2.0, 0.0], [1.1, 2.5, 1.0], "regression")


def test_accuracy_and_log_loss_are_what_a_hand_gives() -> None:
    assert score(make_metric("accuracy"), BINARY, BEFORE) == 0.5
    log_loss = make_metric("log_loss")
    expected = -np.log([0.9, 0.4, 0.9, 0.4]).mean()
    assert score(log_loss, BINARY, BEFORE) == pytest.approx(expected)
    assert score(log_loss, BINARY, np.array([0.0, 1.0, 1.0, 0.0])) < 1e-6


@pytest.mark.parametrize(
    ("given", "before", "after"),
    [
        # A probability of exactly one half is class 1.
        (BINARY, [True, False, True, False], [True, True, False, False]),
        (MULTICLASS, [False, True, False], [True, False, True]),
        # Of several labels, every one must be right.
        (MULTILABEL, [True, False, True], [False, True, True]),
    ],
)
def test_a_row_is_right_or_wrong(given: Predictions, before: Any, after: Any) -> None:
    assert is_right(given.truth, given.outputs["before"]).tolist() == before
    assert is_right(given.truth, given.outputs["after"]).tolist() == after
    shares = example_scores(make_metric("accuracy"), given, ["after", "before"])
    assert shares is not None
    assert shares.tolist() == [after, before], "a row per trial, in the order that is asked for"


def test_the_score_of_a_sequence_is_the_mean_over_its_steps() -> None:
    steps = Predictions(TRUTH, {"before": BEFORE}, steps=2)
    found = example_scores(make_metric("accuracy"), steps, ["before"])
    assert found is not None
    assert found.tolist() == [[0.5, 0.5]]
    assert steps.examples == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (BINARY, [0.9, 0.4, 0.9, 0.4]),
        (MULTICLASS, [0.3, 0.6, 0.45]),
        (MULTILABEL, [0.9, 0.6, 0.65]),
        (REGRESSION, [-0.5, 0.0, -3.0]),
        (
            predictions([[1.0, 2.0]], [[2.0, 4.0]], [[1.0, 2.0]], "regression"),
            [-1.5],  # the mean over the targets
        ),
    ],
)
def test_the_quality_is_the_probability_of_the_truth_or_the_error(
    given: Predictions, expected: list[float]
) -> None:
    assert quality(given, given.outputs["before"]).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("given", "better", "worse"),
    [
        (BINARY, [1], [2]),
        (MULTICLASS, [0, 2], [1]),
        (MULTILABEL, [1], [0]),
        (REGRESSION, [2, 0], [1]),
    ],
)
def test_changes_are_those_of_one_direction_with_the_largest_first(
    given: Predictions, better: list[int], worse: list[int]
) -> None:
    assert changed_examples(given, "before", "after", better=True) == better
    assert changed_examples(given, "before", "after", better=False) == worse
    assert changed_examples(given, "before", "after", better=True, count=1) == better[:1]
    assert changed_examples(given, "before", "after", better=True, count=0) == []
    assert changed_examples(given, "before", "before", better=True) == []

"""Truth and predictions that a function of the user returns."""

from typing import Any

import numpy as np
import pytest

from tuning.core.errors import BadInputError
from tuning.core.record import Predictions
from tuning.metrics.catalogue import make_metric
from tuning.metrics.given import encode_classes, predicted_labels, read_output
from tuning.metrics.scoring import score

RANDOM = np.random.default_rng(0)
CLASSES = RANDOM.integers(0, 3, 50)
TABLE = RANDOM.dirichlet([1, 1, 1], 50)
NAMES = np.array(["ape", "bee", "cow"])[CLASSES]
BINARY = RANDOM.integers(0, 2, 50)
SHARE = RANDOM.random(50)
NUMBERS = RANDOM.normal(size=50)


def value(given: Any, metric: str) -> float:
    read = read_output(given, make_metric(metric), "test")
    return score(make_metric(metric), Predictions(read.truth, {}, read.kind), read.output)


def test_the_value_is_that_of_scikit_learn() -> None:
    from sklearn import metrics

    guesses = RANDOM.integers(0, 3, 50)
    labels, shares = RANDOM.integers(0, 2, (50, 4)), RANDOM.random((50, 4))
    for given, name, expected in (
        ((NUMBERS, NUMBERS + 1), "rmse", 1.0),
        ((NUMBERS[:, None], NUMBERS + 1), "mae", 1.0),
        ((CLASSES, TABLE), "accuracy", metrics.accuracy_score(CLASSES, TABLE.argmax(1))),
        ((CLASSES, TABLE), "log_loss", metrics.log_loss(CLASSES, TABLE)),
        ((NAMES, TABLE), "roc_auc", metrics.roc_auc_score(CLASSES, TABLE, multi_class="ovr")),
        ((CLASSES, guesses), "f1_macro", metrics.f1_score(CLASSES, guesses, average="macro")),
        ((NAMES, NAMES[::-1]), "accuracy", metrics.accuracy_score(NAMES, NAMES[::-1])),
        ((BINARY, SHARE), "roc_auc", metrics.roc_auc_score(BINARY, SHARE)),
        ((BINARY, np.stack([1 - SHARE, SHARE], 1)), "brier", np.mean((SHARE - BINARY) ** 2)),
        ((BINARY.astype(bool), SHARE > 0.5), "accuracy", np.mean((SHARE > 0.5) == BINARY)),
        ((labels, shares), "average_precision", metrics.average_precision_score(labels, shares)),
    ):
        assert value(given, name) == pytest.approx(expected), (name, given)


def test_numbers_per_example_have_their_mean() -> None:
    assert value(NUMBERS, "mean_score") == pytest.approx(NUMBERS.mean())
    assert make_metric("mean_cost").direction == "minimize"


@pytest.mark.parametrize(
    ("given", "metric", "message"),
    [
        (NUMBERS, "rmse", r"must be a pair \(truth, predictions\)"),
        ((NUMBERS, NUMBERS[:9]), "rmse", "one prediction per row"),
        ((NUMBERS, TABLE), "rmse", "they must match"),
        ((CLASSES, CLASSES), "log_loss", "needs probabilities"),
        ((CLASSES + 1, TABLE), "accuracy", "has the class 3, but .* 3 classes"),
        ((BINARY, SHARE + 5), "accuracy", "should be probabilities, but one is"),
        ((NAMES[NAMES != "cow"], TABLE[NAMES != "cow"]), "accuracy", "has 2 classes and"),
        ((CLASSES, SHARE), "accuracy", "they must match"),
        (["a", "b"], "mean_score", "must hold numbers"),
    ],
)
def test_another_form_is_refused(given: Any, metric: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        value(given, metric)


def test_predicted_classes_have_one_form_for_all_models() -> None:
    truth = np.array(["a", "b", "d"])
    encoded = encode_classes(
        truth, {"x": np.array(["a", "b", "b"]), "y": np.array(["c", "b", "d"])}
    )
    for each, expected in ((encoded["x"], 2 / 3), (encoded["y"], 2 / 3)):
        assert (each.kind, each.classes) == ("multiclass", ("a", "b", "c", "d"))
        predictions = Predictions(each.truth, {}, each.kind)
        assert score(make_metric("accuracy"), predictions, each.output) == pytest.approx(expected)
    assert (encoded["x"].truth == encoded["y"].truth).all()
    two = encode_classes(np.array([0, 1, 1]), {"x": np.array([0, 1, 2]), "y": np.array([0, 1, 1])})
    assert {each.kind for each in two.values()} == {"multiclass"}


def test_rows_of_one_class_keep_their_class() -> None:
    assert value((np.ones(3, int), np.array([0.9, 0.8, 0.7])), "accuracy") == 1.0


def test_only_predicted_classes_are_labels() -> None:
    accuracy, rmse = make_metric("accuracy"), make_metric("rmse")
    assert predicted_labels((NAMES, NAMES), accuracy) is not None
    assert predicted_labels((CLASSES, CLASSES), accuracy) is not None
    assert predicted_labels((CLASSES, TABLE), accuracy) is None
    assert predicted_labels((BINARY, SHARE), accuracy) is None
    assert predicted_labels((CLASSES, CLASSES), rmse) is None
    assert predicted_labels((NUMBERS, NUMBERS), make_metric("builtins:abs", "minimize")) is None


def test_a_metric_of_the_user_gets_numbers_or_classes() -> None:
    metric = make_metric("builtins:abs", "minimize")
    assert read_output((NUMBERS, NUMBERS), metric, "test").kind == "regression"
    assert read_output((CLASSES, TABLE), metric, "test").kind == "multiclass"
    assert read_output((BINARY, SHARE), metric, "test").kind == "binary"

"""Metrics of classifiers, computed by scikit-learn from probabilities.

A class is predicted where the probability of class 1 (binary), or of a label (multilabel), is at
least 0.5; with several classes, the most probable one is predicted.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.metrics import resampling
from tuning.metrics.metric import BINARY, CLASSIFICATION, MULTICLASS, Metric, by_sklearn

Floats = NDArray[np.floating[Any]]
Average = str  # binary, macro, micro, weighted: as in scikit-learn


def predicted_classes(prediction: Any, *, multiclass: bool) -> Any:
    """Returns the predicted classes of probabilities, in the form of the truth."""
    return np.argmax(prediction, axis=1) if multiclass else (prediction >= 0.5).astype(np.int64)


def _classes(truth: Any, prediction: Any) -> Any:
    return predicted_classes(prediction, multiclass=np.ndim(prediction) > np.ndim(truth))


def accuracy() -> Metric:
    """Share of rows with the right class; with several labels, with all labels right."""

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(truth, _classes(truth, prediction), sample_weight=weights))

    return Metric("accuracy", "maximize", True, CLASSIFICATION, compute, per_row=is_right)


def is_right(truth: Any, prediction: Any) -> Any:
    """Returns whether each row is classified correctly, of shape ``(rows,)``."""
    right = np.asarray(_classes(truth, prediction) == truth)
    return right if right.ndim == 1 else right.all(axis=1)


def balanced_accuracy() -> Metric:
    """Mean over the classes of the share of rows with the right class."""

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        from sklearn.metrics import balanced_accuracy_score

        classes = _classes(truth, prediction)
        return float(balanced_accuracy_score(truth, classes, sample_weight=weights))

    def combine(means: Floats) -> Floats:
        hits, true, _ = np.split(means, 3)
        return _mean_where(_ratio(hits, true), true > 0)

    return Metric(
        "balanced_accuracy",
        "maximize",
        True,
        BINARY | MULTICLASS,
        compute,
        resampled=resampling.of_means(partial(_counts, both_classes=True), combine),
    )


def top_k(k: int = 5) -> Metric:
    """Share of rows whose class is among the ``k`` most probable ones.

    Args:
        k: Number of classes that count as right, from 1.
    """
    if k < 1:
        raise ValueError(f"k must be a whole number from 1; got {k}")

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        from sklearn.metrics import top_k_accuracy_score

        labels = range(prediction.shape[1])
        return float(
            top_k_accuracy_score(truth, prediction, k=k, labels=labels, sample_weight=weights)
        )

    def per_row(truth: Any, prediction: Any) -> Any:
        # Ties are resolved as scikit-learn does.
        order = np.argsort(prediction, axis=1, kind="mergesort")[:, ::-1]
        return (order[:, :k] == np.asarray(truth)[:, None]).any(axis=1)

    return Metric(f"top_k(k={k})", "maximize", True, MULTICLASS, compute, per_row=per_row)


def f1(average: Average) -> Metric:
    """Harmonic mean of precision and recall."""
    return _of_counts("f1", average, lambda hits, true, chosen: _ratio(2 * hits, true + chosen))


def precision(average: Average) -> Metric:
    """Share of rows predicted as a class that have it."""
    return _of_counts("precision", average, lambda hits, true, chosen: _ratio(hits, chosen))


def recall(average: Average) -> Metric:
    """Share of rows of a class that are predicted as it."""
    return _of_counts("recall", average, lambda hits, true, chosen: _ratio(hits, true))


def roc_auc(multi_class: str) -> Metric:
    """Area under the ROC curve; with several classes or labels, the mean over them.

    Args:
        multi_class: ``ovr`` to compare each class with the rest, ``ovo`` to compare each pair of
            classes: Hand and Till, Machine Learning 45, 2001.
    """

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        from sklearn.metrics import roc_auc_score

        options: dict[str, Any] = {}
        if np.ndim(prediction) > np.ndim(truth):
            options = {"multi_class": multi_class, "labels": range(prediction.shape[1])}
        if multi_class == "ovo" and weights is not None:
            raise ValueError("roc_auc_ovo knows no weights; choose roc_auc, or leave them out")
        return float(roc_auc_score(truth, prediction, sample_weight=weights, **options))

    if multi_class == "ovo":
        pairs = resampling.one_against_one
        return Metric("roc_auc_ovo", "maximize", True, MULTICLASS, compute, resampled=pairs)
    fast = resampling.over_columns(resampling.roc_auc)
    return Metric("roc_auc", "maximize", True, CLASSIFICATION, compute, resampled=fast)


def average_precision() -> Metric:
    """Area under the curve of precision and recall; the mean over several classes or labels."""
    compute = by_sklearn("average_precision_score")
    fast = resampling.over_columns(resampling.average_precision)
    return Metric("average_precision", "maximize", True, CLASSIFICATION, compute, resampled=fast)


def log_loss() -> Metric:
    """Mean negative logarithm of the probability of the truth.

    With several labels it is the mean over the labels of the binary value, the loss that Keras
    calls binary cross-entropy.
    """

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        from sklearn.metrics import log_loss as sklearn_log_loss

        if np.ndim(truth) == 2:
            return float(np.average(log_losses(truth, prediction), weights=weights))
        several = np.ndim(prediction) == 2
        labels = range(prediction.shape[1]) if several else (0, 1)
        return float(sklearn_log_loss(truth, prediction, labels=labels, sample_weight=weights))

    return Metric("log_loss", "minimize", False, CLASSIFICATION, compute, per_row=log_losses)


def log_losses(truth: Any, prediction: Any) -> Any:
    """Returns the negative logarithm of the probability of each row's truth, of shape (rows,)."""
    if np.ndim(prediction) > np.ndim(truth):
        chosen = np.asarray(prediction)[np.arange(len(truth)), np.asarray(truth)]
    else:
        chosen = np.where(truth == 1, prediction, 1 - np.asarray(prediction))
    smallest = np.finfo(chosen.dtype).eps  # as scikit-learn clips
    losses = -np.log(np.maximum(chosen.astype(float), smallest))
    return losses if losses.ndim == 1 else losses.mean(axis=1)


def brier() -> Metric:
    """Mean squared difference of probability and truth: Brier, Monthly Weather Review 78, 1950.

    With several classes, the squares are summed over the classes; with several labels, averaged.
    """

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        from sklearn.metrics import brier_score_loss

        if np.ndim(truth) == 2:
            return float(np.average(per_row(truth, prediction), weights=weights))
        several = np.ndim(prediction) == 2
        labels = list(range(prediction.shape[1])) if several else [0, 1]
        options = {} if several else {"pos_label": 1}
        return float(
            brier_score_loss(truth, prediction, labels=labels, sample_weight=weights, **options)
        )

    def per_row(truth: Any, prediction: Any) -> Any:
        if np.ndim(prediction) > np.ndim(truth):
            one_hot = np.asarray(truth)[:, None] == np.arange(prediction.shape[1])
            return ((np.asarray(prediction) - one_hot) ** 2).sum(axis=1)
        squares = (np.asarray(prediction) - truth) ** 2
        return squares if squares.ndim == 1 else squares.mean(axis=1)

    return Metric("brier", "minimize", False, CLASSIFICATION, compute, per_row=per_row)


def _of_counts(
    name: str, average: Average, score: Callable[[Floats, Floats, Floats], Floats]
) -> Metric:
    """Returns F1, precision or recall: a function of the counts of hits, truth and predictions."""

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        from sklearn import metrics

        function = getattr(metrics, f"{name}_score")
        classes = _classes(truth, prediction)
        return float(
            function(truth, classes, average=average, zero_division=0.0, sample_weight=weights)
        )

    def combine(means: Floats) -> Floats:
        hits, true, chosen = np.split(means, 3)
        if average == "micro":
            return score(hits.sum(axis=0), true.sum(axis=0), chosen.sum(axis=0))
        values = score(hits, true, chosen)
        if average == "weighted":
            return _ratio((values * true).sum(axis=0), true.sum(axis=0))
        return _mean_where(values, true + chosen > 0)

    counts = partial(_counts, both_classes=average != "binary")
    return Metric(
        name if average == "binary" else f"{name}_{average}",
        "maximize",
        True,
        BINARY if average == "binary" else CLASSIFICATION,
        compute,
        resampled=resampling.of_means(counts, combine),
    )


def _counts(truth: Any, prediction: Any, *, both_classes: bool) -> Any:
    """Returns, per row and class, whether the class is hit, true and predicted; sparse.

    Args:
        truth: Truth of each row.
        prediction: Probabilities of each row.
        both_classes: Whether class 0 of a binary classifier counts, too.
    """
    from scipy import sparse

    columns = np.shape(prediction)[1] if np.ndim(prediction) == 2 else 2
    true, chosen = (_one_hot(each, columns) for each in (truth, _classes(truth, prediction)))
    if np.ndim(prediction) == 1 and not both_classes:
        true, chosen = true[:, [1]], chosen[:, [1]]
    return sparse.hstack([true.multiply(chosen), true, chosen]).tocsr()


def _one_hot(classes: Any, columns: int) -> Any:
    from scipy import sparse

    if np.ndim(classes) == 2:
        return sparse.csr_array(np.asarray(classes, dtype=float))
    rows = len(classes)
    ones = (np.ones(rows), (np.arange(rows), np.asarray(classes)))
    return sparse.csr_array(ones, shape=(rows, columns))


def _ratio(above: Floats, below: Floats) -> Floats:
    """Divides; the result is 0 where ``below`` is 0, as in scikit-learn."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _mean_where(values: Floats, present: NDArray[np.bool_]) -> Floats:
    return _ratio((values * present).sum(axis=0), present.sum(axis=0).astype(float))


AVERAGES: dict[str, Callable[[], Metric]] = {
    f"{name}_{average}" if average != "binary" else name: partial(make, average)
    for name, make in (("f1", f1), ("precision", precision), ("recall", recall))
    for average in ("binary", "macro", "micro", "weighted")
}

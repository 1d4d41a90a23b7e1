"""Turns the outputs of a model and the labels of a task into predictions and their truth."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError
from tuning.metrics.outputs import OutputForm

# Float32 probabilities of many classes sum to 1 only roughly, those of half precision even less.
_SUM_TOLERANCE = 0.02


def probabilities_or_values(form: OutputForm, raw: Any) -> NDArray[Any]:
    """Turns a model's raw output into predictions, as ``tuning.metrics.metric`` describes them.

    Args:
        form: Form of the output.
        raw: The judged output for some examples, of shape (examples, …).

    Returns:
        Predictions with one row per example, or per step of an example.

    Raises:
        BadInputError: The output is said to be probabilities, but some values are none.
    """
    values = np.asarray(raw)
    examples = len(values)
    if form.quantiles:
        return values.reshape(examples, -1, form.quantiles)
    if form.kind == "regression":
        rows = values.reshape(examples, -1)
        return rows[:, 0] if rows.shape[1] == 1 else rows
    rows = values.reshape(-1, form.units)
    if form.meaning == "logits":
        rows = _softmax(rows) if _is_softmax(form) else _sigmoid(rows)
    else:
        rows = _checked(form, rows)
    if form.kind != "binary":
        return rows
    return rows[:, -1]  # of two-way softmax, the probability of class 1


def truth_of(form: OutputForm, labels: Any, part: str) -> NDArray[Any]:
    """Turns labels into the truth of each row, as ``tuning.metrics.metric`` describes it.

    Args:
        form: Form of the output.
        labels: The judged labels, of shape (examples, …).
        part: Name of the part of the data, for messages.

    Raises:
        BadInputError: The labels do not fit the output; the message says why.
    """
    array = np.asarray(labels)

    def refuse(problem: str, cure: str = "") -> BadInputError:
        return BadInputError(
            f"task: the labels of the part {part!r} {problem}; the model's output {form.name!r} "
            f"is {form.kind} with {form.units} unit{'s' if form.units > 1 else ''}{cure}"
        )

    if array.dtype.kind not in "buif":
        raise refuse(f"are of type {array.dtype}")
    if array.size == 0:
        raise refuse("are empty")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise refuse("contain values that are not finite")
    if form.kind == "regression":
        rows = array.reshape(len(array), -1).astype(np.float64)
        if form.rows_per_example not in (None, rows.shape[1] / form.units_of_labels):
            cure = "; if the labels are classes, choose a metric of classes, such as accuracy"
            raise refuse(f"have the shape {array.shape}", cure if form.units > 1 else "")
        return rows[:, 0] if rows.shape[1] == 1 else rows
    rows = _class_rows(form, array, refuse)
    if form.rows_per_example not in (None, len(rows) / len(array)):
        raise refuse(f"have the shape {array.shape}")
    whole = rows.astype(np.int64)
    if (whole != rows).any():
        raise refuse(f"contain {rows[whole != rows].flat[0].item()!r}, which is no class")
    highest = 1 if form.kind in ("binary", "multilabel") else form.units - 1
    wrong = whole[(whole < 0) | (whole > highest)]
    if wrong.size:
        raise refuse(f"contain {wrong[0].item()!r}; classes are whole numbers from 0 to {highest}")
    return np.asarray(whole)


def _class_rows(form: OutputForm, array: NDArray[Any], refuse: Any) -> NDArray[Any]:
    """Returns the classes of one-hot or integer labels; for several labels, their rows."""
    if form.kind == "multilabel":
        if array.shape[-1] != form.units:
            raise refuse(f"have the shape {array.shape}")
        return array.reshape(-1, form.units)
    # A sequence with as many steps as classes has integer labels of the same shape, too.
    if form.units > 1 and array.ndim == len(form.steps) + 2 and array.shape[-1] == form.units:
        one_hot = array.reshape(-1, form.units)
        if ((one_hot != 0) & (one_hot != 1)).any() or (one_hot.sum(axis=1) != 1).any():
            raise refuse("have a value per class, but some are not one-hot")
        return np.asarray(one_hot.argmax(axis=1))
    return array.reshape(-1)


def check_shapes(form: OutputForm, raw: Any, labels: Any, part: str) -> None:
    """Checks that there is one label per prediction.

    Raises:
        BadInputError: The numbers differ; the message names both shapes.
    """
    predicted = probabilities_or_values(form, raw)
    truth = truth_of(form, labels, part)
    columns = 1 if truth.ndim == 1 else truth.shape[1]
    expected = 1 if predicted.ndim == 1 or form.kind == "multiclass" else predicted.shape[1]
    if len(predicted) != len(truth) or columns != expected:
        raise BadInputError(
            f"task: the model's output {form.name!r} has the shape {np.shape(raw)}, but the "
            f"labels of the part {part!r} have {np.shape(labels)}; they must match"
        )


def _is_softmax(form: OutputForm) -> bool:
    return form.kind == "multiclass" or (form.kind == "binary" and form.units == 2)


def _checked(form: OutputForm, rows: NDArray[Any]) -> NDArray[Any]:
    finite = rows[np.isfinite(rows)]
    if finite.size and (finite.min() < 0 or finite.max() > 1):
        outside = finite[(finite < 0) | (finite > 1)][0]
        raise BadInputError(
            f"task: the model's output {form.name!r} should be probabilities, but one is "
            f"{outside:.4g}; give the last layer an activation, or write compare: {{outputs: "
            "logits}"
        )
    if not _is_softmax(form):
        return rows
    sums = rows.sum(axis=1, keepdims=True, dtype=np.float64)
    errors = np.abs(sums[np.isfinite(sums)] - 1)
    if errors.size and errors.max() > _SUM_TOLERANCE:
        raise BadInputError(
            f"task: the probabilities of the model's output {form.name!r} must sum to 1, but one "
            f"sum is {float(sums[np.argmax(np.abs(sums - 1))][0]):.4g}; end the model in a softmax"
        )
    # scikit-learn refuses sums that are further from 1 than half precision is.
    return rows / sums if errors.size and errors.max() > 1e-6 else rows


def _sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    from scipy.special import expit

    return np.asarray(expit(logits.astype(np.float64)))


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    from scipy.special import softmax

    return np.asarray(softmax(logits.astype(np.float64), axis=1))

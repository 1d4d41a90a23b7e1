"""Truth and predictions that a function of the user returns, in the forms that metrics judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError
from tuning.core.record import Kind
from tuning.metrics.metric import CLASSIFICATION, REGRESSION, Metric

# Metrics that need probabilities; of predicted classes they say little.
_PROBABILITIES = ("roc_auc", "average_precision", "log_loss", "brier", "top_k")


@dataclass(frozen=True)
class GivenOutput:
    """Predictions of some rows and their truth, as ``tuning.metrics.metric.Metric`` takes them.

    Attributes:
        kind: Kind of prediction.
        truth: Truth of each row.
        output: Prediction of each row.
        classes: Names of the classes if the truth was texts; otherwise empty.
    """

    kind: Kind
    truth: NDArray[Any]
    output: NDArray[Any]
    classes: tuple[str, ...] = ()


def read_output(value: Any, metric: Metric, part: str) -> GivenOutput:
    """Reads what a function returns for a part of the data.

    Args:
        value: Pair of truth and predictions, of the same length; or, for the metrics
            ``mean_score`` and ``mean_cost``, a number per example. Classes are predicted by their
            probabilities, in the order of the sorted classes, or by their names or numbers.
        metric: Metric that judges them.
        part: Name of the part, for messages.

    Raises:
        BadInputError: The value has another form; the message says which is needed.
    """
    if metric.name in ("mean_score", "mean_cost"):
        scores = _numbers(value, part)
        return GivenOutput("regression", np.zeros(len(scores)), scores)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise BadInputError(
            f"train: the part {part!r} must be a pair (truth, predictions) for the metric "
            f"{metric.name}; got a {type(value).__name__}. A function that returns a number per "
            "example needs the metric mean_score or mean_cost"
        )
    truth, output = np.asarray(value[0]), np.asarray(value[1])
    if not truth.ndim or len(truth) != len(output) or not len(truth):
        raise BadInputError(
            f"train: the part {part!r} has a truth of shape {truth.shape} and predictions of "
            f"shape {output.shape}; there must be one prediction per row"
        )
    if output.ndim == 2 and output.shape[1] == 1:
        output = output[:, 0]
    if truth.ndim == 2 and truth.shape[1] == 1:
        truth = truth[:, 0]
    if metric.kinds <= REGRESSION or (
        metric.kinds > CLASSIFICATION and _are_numbers(truth, output)
    ):
        if truth.shape != output.shape:
            raise _differ(part, truth, output)
        return GivenOutput("regression", _numbers(truth, part), _numbers(output, part))
    if truth.ndim == 2:
        if truth.shape != output.shape:
            raise _differ(part, truth, output)
        return GivenOutput("multilabel", truth.astype(np.int64), _numbers(output, part))
    return _classes(truth, output, metric, part)


def _differ(part: str, truth: NDArray[Any], output: NDArray[Any]) -> BadInputError:
    return BadInputError(
        f"train: the part {part!r} has a truth of shape {truth.shape} and predictions of shape "
        f"{output.shape}; they must match"
    )


def _are_numbers(truth: NDArray[Any], output: NDArray[Any]) -> bool:
    """Whether a metric of the user, which judges any kind, gets numbers rather than classes."""
    return truth.dtype.kind == "f" and output.shape == truth.shape


def _classes(truth: NDArray[Any], output: NDArray[Any], metric: Metric, part: str) -> GivenOutput:
    has_names = truth.dtype.kind not in "biuf"
    named = truth.astype(str) if has_names else truth.astype(np.int64)
    if output.ndim == 1 and output.dtype.kind in "biuUSO":
        return _predicted_classes(named, output, metric, part, has_names)
    if output.ndim == 1:
        classes, inverse = np.unique(named, return_inverse=True)
        numbers = inverse if has_names else named
        if not set(np.unique(named)) <= {0, 1} and not (has_names and len(classes) == 2):
            raise _differ(part, truth, output)
        kind: Kind = "binary"
    else:
        numbers = named
        classes = np.unique(named)
        if has_names:
            if len(classes) != output.shape[1]:
                raise BadInputError(
                    f"train: the part {part!r} has {len(classes)} classes and probabilities of "
                    f"{output.shape[1]}; they must match"
                )
            numbers = np.searchsorted(classes, named)
        elif numbers.min() < 0 or numbers.max() >= output.shape[1]:
            raise BadInputError(
                f"train: the truth of the part {part!r} has the class {int(numbers.max())}, but "
                f"there are probabilities of {output.shape[1]} classes"
            )
        kind = "binary" if output.shape[1] == 2 else "multiclass"
        output = output[:, 1] if kind == "binary" else output
    values = _numbers(output, part)
    finite = values[np.isfinite(values)]
    if finite.size and (finite.min() < 0 or finite.max() > 1):
        raise BadInputError(
            f"train: the predictions of the part {part!r} should be probabilities, but one is "
            f"{float(finite[(finite < 0) | (finite > 1)][0]):.4g}"
        )
    names = tuple(map(str, classes)) if has_names else ()
    return GivenOutput(kind, np.asarray(numbers, dtype=np.int64), values, names)


def _predicted_classes(
    truth: NDArray[Any], output: NDArray[Any], metric: Metric, part: str, has_names: bool
) -> GivenOutput:
    if metric.name.startswith(_PROBABILITIES):
        raise BadInputError(
            f"train: {metric.name} needs probabilities, but the part {part!r} has predicted "
            "classes; return those of predict_proba"
        )
    predicted = output.astype(str) if has_names else output.astype(np.int64)
    return encode_classes(truth, {"": predicted})[""]


def encode_classes(
    truth: NDArray[Any], predicted: Mapping[str, NDArray[Any]]
) -> dict[str, GivenOutput]:
    """Turns predicted classes into probabilities of 0 and 1, in one form for all models.

    Args:
        truth: Class of each row, as texts or as whole numbers from 0.
        predicted: Predicted class of each row, by name of the model.

    Returns:
        Outputs by name of the model, over the classes that occur in the truth or in any of them.
    """
    classes = np.unique(np.concatenate([truth, *predicted.values()]))
    has_names = truth.dtype.kind not in "biu"
    if not has_names:
        classes = np.arange(max(int(classes.max()) + 1, 2))
    right = np.searchsorted(classes, truth)
    names = tuple(map(str, classes)) if has_names else ()
    encoded = {}
    for name, labels in predicted.items():
        chosen = np.searchsorted(classes, labels)
        if len(classes) <= 2:
            encoded[name] = GivenOutput("binary", right, chosen.astype(float), names)
        else:
            table = np.eye(len(classes))[chosen]
            encoded[name] = GivenOutput("multiclass", right, table, names)
    return encoded


def predicted_labels(value: Any, metric: Metric) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Returns truth and prediction if both are classes, as texts or whole numbers; else None.

    What they are encoded to depends on the classes that other models predict.
    """
    if not isinstance(value, tuple | list) or len(value) != 2 or not metric.kinds & CLASSIFICATION:
        return None
    truth, output = (np.asarray(each) for each in value)
    truth, output = (e[:, 0] if e.ndim == 2 and e.shape[1] == 1 else e for e in (truth, output))
    if truth.ndim != 1 or output.ndim != 1 or output.dtype.kind not in "biuUSO":
        return None
    if metric.kinds > CLASSIFICATION and _are_numbers(truth, output):
        return None
    if truth.dtype.kind in "biuf":
        return truth.astype(np.int64), output.astype(np.int64)
    return truth.astype(str), output.astype(str)


def _numbers(value: Any, part: str) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise BadInputError(
            f"train: the part {part!r} must hold numbers; got {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.float64)

"""The table of small studies: a task, what the study says of it, and its metric by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sklearn.metrics as sk

from tests.kinds import tasks

# Truth and raw output of a model on the test rows; returns the test metric.
ByHand = Callable[[Any, Any], float]


@dataclass(frozen=True)
class Case:
    """A small study.

    Attributes:
        task: Name of the class in ``tests.kinds.tasks``.
        metric: Metric of the comparison.
        by_hand: Function that computes it from the truth and the raw output of a model.
        objective: Objective of the search.
        compare: Further fields of ``compare``.
        study: Further fields of the study.
        backend: Keras backend.
        slow: Whether only the run of everything includes it.
    """

    task: str
    metric: str
    by_hand: ByHand
    objective: str = "val_accuracy"
    compare: dict[str, Any] = field(default_factory=dict)
    study: dict[str, Any] = field(default_factory=dict)
    backend: str = "jax"
    slow: bool = True


def flat(raw: Any) -> Any:
    return np.asarray(raw).reshape(-1)


def logistic(z: Any) -> Any:
    return 1 / (1 + np.exp(-flat(z).astype(float)))


def exponentials(z: Any) -> Any:
    shifted = np.exp(z.astype(float) - z.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def hard(raw: Any) -> Any:
    return (flat(raw) >= 0.5).astype(int)


def accuracy(y: Any, raw: Any) -> float:
    return float(sk.accuracy_score(flat(y), hard(raw)))


def weighted_accuracy(y: Any, raw: Any) -> float:
    return float(np.average(flat(y) == hard(raw), weights=np.where(y == 1, 0.5, 2.0)))


def coded(y: Any) -> Any:
    return np.unique(y, return_inverse=True)[1]


def naive_scale() -> float:
    riders = tasks.Windows().load("search", {"window": 12})["train"][1].astype(float)
    return float(np.abs(riders[24:] - riders[:-24]).mean())


CASES = [
    Case("Sigmoid", "accuracy", accuracy, slow=False),
    Case("Logits", "roc_auc", lambda y, z: sk.roc_auc_score(y, logistic(z))),
    Case(
        "LogitsOfOwnLoss",
        "brier",
        lambda y, z: sk.brier_score_loss(y, logistic(z)),
        compare={"outputs": "logits"},
        objective="val_loss",
    ),
    Case("TwoWaySoftmax", "f1", lambda y, p: sk.f1_score(y, p.argmax(axis=1))),
    Case("Column", "average_precision", lambda y, p: sk.average_precision_score(flat(y), flat(p))),
    Case(
        "BooleansAndClassWeights",
        "balanced_accuracy",
        lambda y, p: sk.balanced_accuracy_score(y.astype(int), hard(p)),
        study={"training": {"class_weight": "balanced"}},
    ),
    Case("Texts", "log_loss", lambda y, p: sk.log_loss(coded(y), flat(p))),
    Case("Weighted", "accuracy", weighted_accuracy, objective="val_loss"),
    Case("Subclassed", "accuracy", accuracy),
    Case("WithLambda", "precision", lambda y, p: sk.precision_score(y, hard(p))),
    Case(
        "WithOwnLayer", "recall_macro", lambda y, p: sk.recall_score(y, hard(p), average="macro")
    ),
    Case("SequentialWithNormalisation", "accuracy", accuracy),
    Case(
        "ThreeClasses",
        "f1_macro",
        lambda y, p: sk.f1_score(coded(y), p.argmax(axis=1), average="macro"),
    ),
    Case("OneHot", "log_loss", lambda y, p: sk.log_loss(y.argmax(axis=1), p)),
    Case(
        "LogitsOfClasses",
        "top_k(k=2)",
        lambda y, z: sk.top_k_accuracy_score(y, exponentials(z), k=2, labels=range(3)),
    ),
    Case(
        "Images",
        "accuracy",
        lambda y, p: sk.accuracy_score(y, p.argmax(axis=1)),
        compare={"additional_metrics": ["f1_macro", "log_loss"]},
    ),
    Case("Mapped", "roc_auc_ovo", lambda y, p: sk.roc_auc_score(y, p, multi_class="ovo")),
    Case("KerasDataset", "roc_auc", lambda y, p: sk.roc_auc_score(y, p, multi_class="ovr")),
    Case(
        "TensorFlowDataset",
        "accuracy",
        lambda y, p: sk.accuracy_score(y, p.argmax(axis=1)),
        backend="tensorflow",
    ),
    Case("SeveralLabels", "f1_macro", lambda y, p: sk.f1_score(y, p >= 0.5, average="macro")),
    Case(
        "Regression",
        "rmse",
        lambda y, p: sk.root_mean_squared_error(y, flat(p)),
        objective="val_loss",
        compare={"additional_metrics": ["mae", "r2"]},
        slow=False,
    ),
    Case("OwnTraining", "mae", lambda y, p: sk.mean_absolute_error(y, flat(p)), "val_mae"),
    Case("TwoInputs", "r2", lambda y, p: sk.r2_score(y, flat(p)), "val_loss"),
    Case("TupleOfInputs", "mse", lambda y, p: sk.mean_squared_error(y, flat(p)), "val_loss"),
    Case("TwoTargets", "rmse", sk.root_mean_squared_error, "val_loss"),
    Case(
        "TwoOutputs",
        "mae",
        lambda y, p: sk.mean_absolute_error(y["progress"], flat(p["progress"])),
        "val_progress_mae",
        compare={"output": "progress"},
        study={"objective": {"metric": "val_progress_mae", "direction": "minimize"}},
    ),
    Case("Counts", "r2", lambda y, p: sk.r2_score(y, flat(p)), "val_loss"),
    Case(
        "Quantile",
        "pinball(quantile=0.9)",
        lambda y, p: sk.mean_pinball_loss(y, flat(p), alpha=0.9),
        "val_loss",
    ),
    Case(
        "Windows",
        "mase(period=24)",
        lambda y, p: sk.mean_absolute_error(y, flat(p)) / naive_scale(),
        "val_mae",
        study={
            "space": {
                "units": {"type": "int", "low": 4, "high": 16, "step": 4},
                "window": {"type": "choice", "values": [6, 12, 24]},
            },
            "baseline": {"units": 4, "window": 6},
        },
    ),
    Case(
        "Horizon",
        "smape",
        lambda y, p: float(np.mean(2 * np.abs(y - p) / (np.abs(y) + np.abs(p)))),
        "val_loss",
    ),
    Case("Steps", "accuracy", accuracy),
    Case(
        "AddedLoss",
        "tests.kinds.tasks:cost",
        lambda y, p: tasks.cost(y, flat(p)),
        "val_loss",
        compare={"direction": "minimize"},
    ),
]

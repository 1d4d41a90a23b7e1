"""The metrics that a study can name, and how their names are read."""

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tuning.core.errors import BadInputError
from tuning.metrics import classification, regression
from tuning.metrics.metric import CLASSIFICATION, REGRESSION, Direction, Metric

# Functions that make a metric; their arguments are the parameters in parentheses.
METRICS: dict[str, Callable[..., Metric]] = {
    "accuracy": classification.accuracy,
    "balanced_accuracy": classification.balanced_accuracy,
    "top_k": classification.top_k,
    **classification.AVERAGES,
    "roc_auc": partial(classification.roc_auc, "ovr"),
    "roc_auc_ovo": partial(classification.roc_auc, "ovo"),
    "average_precision": classification.average_precision,
    "log_loss": classification.log_loss,
    "brier": classification.brier,
    "mae": regression.mae,
    "mse": regression.mse,
    "rmse": regression.rmse,
    "r2": regression.r2,
    "mape": regression.mape,
    "smape": regression.smape,
    "mase": regression.mase,
    "pinball": regression.pinball,
    "mean_score": regression.mean_score,
    "mean_cost": regression.mean_cost,
}

# Functions of scripts and notebooks, by the names under which studies know them.
_OFFERED: dict[str, Callable[..., Any]] = {}
_FUNCTION = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
_CALL = re.compile(r"^(\w+)\s*(?:\((.*)\))?$")


def make_metric(text: str, direction: Direction | None = None) -> Metric:
    """Returns the metric of a name such as ``rmse``, ``top_k(k=3)`` or ``my_module:cost``.

    A function of the user is imported only when it is called.

    Args:
        text: Name as in a study file.
        direction: Direction as in a study file; required for a function of the user, and for
            other metrics only accepted if it is right.

    Raises:
        ValueError: There is no such metric, or a parameter or the direction is wrong. The message
            says what is accepted.
    """
    text = text.strip()
    if _FUNCTION.match(text):
        return _user_metric(text, direction)
    match = _CALL.match(text)
    name = match.group(1) if match else text
    if match is None or name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f"there is no metric {text!r}; {hint}There are {', '.join(METRICS)}, and your own as "
            "module:function"
        )
    metric = METRICS[name](**_parameters(name, match.group(2) or ""))
    if direction not in (None, metric.direction):
        raise ValueError(
            f"direction is {direction}, but {metric.name} is to {metric.direction}; leave it out"
        )
    return metric


def _parameters(name: str, text: str) -> dict[str, int | float | str]:
    """Reads ``k=5`` into keyword arguments of the types that the metric's function declares."""
    declared = inspect.signature(METRICS[name]).parameters
    values: dict[str, int | float | str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals and len(declared) == 1:  # top_k(5)
            key, value = next(iter(declared)), key
        if key not in declared:
            accepted = f"has only {', '.join(declared)}" if declared else "has no parameters"
            raise ValueError(f"{name} {accepted}; got {part!r}")
        kind = type(declared[key].default)
        try:
            values[key] = kind(value)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise ValueError(f"{name}: {key} must be {what}; got {value!r}") from None
    return values


def _user_metric(text: str, direction: Direction | None) -> Metric:
    if direction is None:
        raise ValueError(
            f"{text} is your own function, so its direction must be said: direction: maximize, or "
            "direction: minimize"
        )

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        function = import_function(text)
        options = {}
        if weights is not None:
            names = inspect.signature(function).parameters
            key = next((name for name in ("sample_weight", "weights") if name in names), None)
            if key is None:
                raise BadInputError(
                    f"metric: {text} takes no weights, but the test rows have some; give it a "
                    "parameter sample_weight"
                )
            options[key] = weights
        return float(function(truth, prediction, **options))

    return Metric(text, direction, False, CLASSIFICATION | REGRESSION, compute)


def import_function(text: str) -> Callable[..., Any]:
    """Imports the function that ``module:function`` names.

    Raises:
        BadInputError: The module or the function cannot be imported.
    """
    if text in _OFFERED:
        return _OFFERED[text]
    module, _, name = text.partition(":")
    try:
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        cure = "write it as package.module:function"
        if module == "__main__":
            cure = f"a script defined it: tuning.load_study(run_id, metric={name}) takes it again"
        raise BadInputError(f"metric: {text!r} cannot be imported ({error}); {cure}") from error
    return function


def offer_function(text: str, function: Callable[..., Any]) -> None:
    """Makes a function known under ``module:function`` where the module cannot be imported."""
    _OFFERED[text] = function


def check_keys(metrics: Sequence[Metric]) -> None:
    """Refuses metrics whose names in MLflow are the same.

    Raises:
        ValueError: Two metrics have the same name in MLflow.
    """
    by_key: dict[str, str] = {}
    for metric in metrics:
        other = by_key.setdefault(metric.key, metric.name)
        if other != metric.name:
            raise ValueError(f"{other} and {metric.name} have the same name in MLflow")

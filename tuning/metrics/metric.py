"""A metric of predictions: its value, its direction, and how it is written."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tuning.core.record import Kind

Direction = Literal["maximize", "minimize"]
CLASSIFICATION: frozenset[Kind] = frozenset({"binary", "multiclass", "multilabel"})
BINARY: frozenset[Kind] = frozenset({"binary"})
MULTICLASS: frozenset[Kind] = frozenset({"multiclass"})
REGRESSION: frozenset[Kind] = frozenset({"regression"})

# Significant digits of a value that is no share, and of a standard deviation of such values.
DIGITS = 4
SPREAD_DIGITS = 2


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric of the predictions of one model.

    All functions take the truth and the prediction of each row, in one of these forms:

    ==========  ======================  ===================================================
    kind        truth                   prediction
    ==========  ======================  ===================================================
    binary      0 or 1, ``(rows,)``     probability of class 1, ``(rows,)``
    multiclass  class, ``(rows,)``      probability of each class, ``(rows, classes)``
    multilabel  0 or 1, ``(rows, k)``   probability of each label, ``(rows, k)``
    regression  number, ``(rows,)``     number, ``(rows,)``; or both ``(rows, targets)``
    ==========  ======================  ===================================================

    Attributes:
        name: Name as in the study file, with its parameters, for example ``top_k(k=5)``.
        direction: Whether larger or smaller values are better.
        is_share: Whether the value is a share, which is written in percent and its differences in
            percentage points.
        kinds: Kinds of prediction that the metric can judge.
        compute: Function of truth, prediction and weights that returns the value. The weights are
            of shape ``(rows,)``, or None for equal weights.
        per_row: Function of truth and prediction that returns a score per row, whose weighted mean
            is the value; None if the value is no such mean.
        resampled: Function of truth, prediction and weights of shape ``(samples, rows)`` that
            returns the value of each sample; None to call ``compute`` per sample.
        quantiles: Quantiles that the model's last axis predicts, in this order; then a prediction
            is of shape ``(rows, targets, quantiles)``. Empty if it is one number per target.
        scale: Function of the training targets that returns the number by which the value is
            divided; None if the value is not scaled.
    """

    name: str
    direction: Direction
    is_share: bool
    kinds: frozenset[Kind]
    compute: "Callable[[Any, Any, Any], float]"
    per_row: "Callable[[Any, Any], Any] | None" = None
    resampled: "Callable[[Any, Any, Any], Any] | None" = None
    scale: "Callable[[Any], float] | None" = None
    quantiles: tuple[float, ...] = ()

    @property
    def key(self) -> str:
        """Name for MLflow, without parentheses: ``top_k_5`` for ``top_k(k=5)``."""
        return metric_key(self.name)

    @property
    def sign(self) -> int:
        """1 if larger values are better, otherwise -1."""
        return 1 if self.direction == "maximize" else -1

    @property
    def unit(self) -> str:
        """Unit of a gain with a leading space: `` points`` for shares, otherwise empty."""
        return " points" if self.is_share else ""

    def write(self, value: float) -> str:
        """Writes a value, for example ``85.90%`` or ``53.12``."""
        return f"{100 * value:.2f}%" if self.is_share else significant(value)

    def write_spread(self, value: float) -> str:
        """Writes a standard deviation of values, without a unit."""
        return f"{100 * value:.2f}" if self.is_share else significant(value, SPREAD_DIGITS)

    def write_gain(self, gain: float) -> str:
        """Writes a gain with its sign and without its unit, for example ``+0.42``."""
        if self.is_share:
            return f"{100 * gain:+.2f}"
        return ("" if gain < 0 or math.isnan(gain) else "+") + significant(gain)

    def write_interval(self, low: float, high: float) -> str:
        """Writes an interval of gains without its unit, for example ``-0.31 to +1.40``."""
        return f"{self.write_gain(low)} to {self.write_gain(high)}"


def by_sklearn(function: str, **options: Any) -> "Callable[[Any, Any, Any], float]":
    """Returns the function of truth, prediction and weights of this name in scikit-learn.

    It is imported when it is called, because a study file names metrics before there is any work.
    """

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        from sklearn import metrics

        value = getattr(metrics, function)(truth, prediction, sample_weight=weights, **options)
        return float(value)

    return compute


def metric_key(name: str) -> str:
    """Returns the name of a metric for MLflow, which refuses parentheses, commas and ``=``.

    The module of a user's function and the names of the parameters are left out.
    """
    head, _, tail = name.partition("(")
    values = [part.partition("=")[2].strip() for part in tail.rstrip(")").split(",") if part]
    return "_".join([head.partition(":")[2] or head, *values])


def rounded(value: float) -> float:
    """Rounds to eight significant digits, because MLflow's pages show every digit."""
    return float(f"{value:.8g}")


def significant(value: float, digits: int = DIGITS) -> str:
    """Writes a number with significant digits, for example four: ``53.12`` or ``1.235e-05``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)))
    if not -DIGITS <= exponent < 9:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(digits - 1 - exponent, 0)}f}"

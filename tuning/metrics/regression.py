"""Metrics of numbers: regression and forecasts.

With several targets, a metric is the mean over the targets, as in scikit-learn.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.metrics import resampling
from tuning.metrics.metric import REGRESSION, Metric, by_sklearn

Floats = NDArray[np.floating[Any]]


def mae() -> Metric:
    """Mean absolute error."""
    compute = by_sklearn("mean_absolute_error")
    return Metric("mae", "minimize", False, REGRESSION, compute, per_row=_absolute_errors)


def mean_score() -> Metric:
    """Mean of a score per example, which a function of the user computes itself."""
    return Metric("mean_score", "maximize", False, REGRESSION, _mean, per_row=_given)


def mean_cost() -> Metric:
    """Mean of a cost per example, which a function of the user computes itself."""
    return Metric("mean_cost", "minimize", False, REGRESSION, _mean, per_row=_given)


def _mean(truth: Any, prediction: Any, weights: Any) -> float:
    return float(np.average(prediction, weights=weights))


def _given(truth: Any, prediction: Any) -> Any:
    return prediction


def mse() -> Metric:
    """Mean squared error."""
    compute = by_sklearn("mean_squared_error")
    return Metric("mse", "minimize", False, REGRESSION, compute, per_row=_squared_errors)


def rmse() -> Metric:
    """Square root of the mean squared error."""
    compute = by_sklearn("root_mean_squared_error")

    def moments(truth: Any, prediction: Any) -> Any:
        return (_columns(truth) - _columns(prediction)) ** 2

    def combine(means: Floats) -> Floats:
        return np.asarray(np.sqrt(means).mean(axis=0))

    fast = resampling.of_means(moments, combine)
    return Metric("rmse", "minimize", False, REGRESSION, compute, resampled=fast)


def r2() -> Metric:
    """Coefficient of determination: 1 minus the squared error over the variance of the truth."""
    compute = by_sklearn("r2_score")

    def moments(truth: Any, prediction: Any) -> Any:
        y = _columns(truth)
        centred = y - y.mean(axis=0)  # else the variance loses its digits
        return np.hstack([(y - _columns(prediction)) ** 2, centred, centred**2])

    def combine(means: Floats) -> Floats:
        errors, first, second = np.split(means, 3)
        return np.asarray((1 - errors / (second - first**2)).mean(axis=0))

    fast = resampling.of_means(moments, combine)
    return Metric("r2", "maximize", False, REGRESSION, compute, resampled=fast)


def mape() -> Metric:
    """Mean absolute error relative to the truth; a truth of 0 makes it huge."""
    compute = by_sklearn("mean_absolute_percentage_error")

    def per_row(truth: Any, prediction: Any) -> Any:
        y = _columns(truth)
        errors = np.abs(y - _columns(prediction))
        return (errors / np.maximum(np.abs(y), np.finfo(np.float64).eps)).mean(axis=1)

    return Metric("mape", "minimize", True, REGRESSION, compute, per_row=per_row)


def smape() -> Metric:
    """Mean of ``2 |y - p| / (|y| + |p|)``, and 0 where both are 0.

    The formula is that of Makridakis, Spiliotis and Assimakopoulos, "The M4 Competition",
    International Journal of Forecasting 36, 2020. It is a share from 0 to 2.
    """

    def per_row(truth: Any, prediction: Any) -> Any:
        y, p = _columns(truth), _columns(prediction)
        size = np.abs(y) + np.abs(p)
        errors = np.divide(2 * np.abs(y - p), size, out=np.zeros_like(size), where=size > 0)
        return errors.mean(axis=1)

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        return float(np.average(per_row(truth, prediction), weights=weights))

    return Metric("smape", "minimize", True, REGRESSION, compute, per_row=per_row)


def pinball(quantile: float = 0.5, quantiles: str = "") -> Metric:
    """Mean pinball loss, which a forecast of the quantile minimises.

    Args:
        quantile: Quantile between 0 and 1.
        quantiles: Several quantiles with ``-`` between them, such as ``0.1-0.5-0.9``, in the order
            of the model's last axis. The loss is the mean over them: Koenker and Bassett,
            Econometrica 46, 1978. Empty for one quantile.
    """
    if quantiles:
        return _pinball_of_several(quantiles)
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must lie between 0 and 1; got {quantile}")

    def per_row(truth: Any, prediction: Any) -> Any:
        error = _columns(truth) - _columns(prediction)
        return np.maximum(quantile * error, (quantile - 1) * error).mean(axis=1)

    name = f"pinball(quantile={quantile:g})"
    compute = by_sklearn("mean_pinball_loss", alpha=quantile)
    return Metric(name, "minimize", False, REGRESSION, compute, per_row=per_row)


def _pinball_of_several(text: str) -> Metric:
    try:
        levels = np.array([float(each) for each in text.split("-")])
    except ValueError:
        raise ValueError(f"quantiles must be numbers with - between them; got {text!r}") from None
    if len(levels) < 2 or not (np.diff(levels) > 0).all() or levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError(f"quantiles must rise between 0 and 1, at least two; got {text!r}")

    def per_row(truth: Any, prediction: Any) -> Any:
        y = _columns(truth)[:, :, None]
        forecast = np.asarray(prediction, float)
        if forecast.ndim < 3:  # a simple model with one number for all quantiles
            forecast = _columns(forecast)[:, :, None]
        error = y - forecast
        return np.maximum(levels * error, (levels - 1) * error).mean(axis=(1, 2))

    def compute(truth: Any, prediction: Any, weights: Any) -> float:
        return float(np.average(per_row(truth, prediction), weights=weights))

    name = "pinball(quantiles=" + "-".join(f"{level:g}" for level in levels) + ")"
    kinds, chosen = REGRESSION, tuple(map(float, levels))
    return Metric(name, "minimize", False, kinds, compute, per_row=per_row, quantiles=chosen)


def mase(period: int = 1) -> Metric:
    """Mean absolute error, divided by that of the naive forecast on the training targets.

    The naive forecast of a row is the target ``period`` rows before: Hyndman and Koehler, "Another
    look at measures of forecast accuracy", International Journal of Forecasting 22, 2006. So the
    training rows must be in the order of time.

    Args:
        period: Number of rows in a season; 1 without seasons.
    """
    if period < 1:
        raise ValueError(f"period must be a whole number from 1; got {period}")

    def scale(targets: Any) -> float:
        y = _columns(targets)
        if len(y) <= period:
            raise ValueError(f"mase needs more than {period} training rows; there are {len(y)}")
        naive = float(np.abs(y[period:] - y[:-period]).mean())
        if naive == 0:
            raise ValueError("mase needs training targets that change; all are equal")
        return naive

    name = f"mase(period={period})"
    compute = by_sklearn("mean_absolute_error")
    return Metric(
        name, "minimize", False, REGRESSION, compute, per_row=_absolute_errors, scale=scale
    )


def _absolute_errors(truth: Any, prediction: Any) -> Any:
    return np.abs(_columns(truth) - _columns(prediction)).mean(axis=1)


def _squared_errors(truth: Any, prediction: Any) -> Any:
    return ((_columns(truth) - _columns(prediction)) ** 2).mean(axis=1)


def _columns(values: Any) -> Floats:
    """Returns numbers of shape ``(rows, targets)`` in double precision."""
    array = np.asarray(values, dtype=np.float64)
    return array.reshape(len(array), -1)

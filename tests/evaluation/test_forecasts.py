"""The test of Diebold and Mariano: against a paired t-test, and its level in simulations."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.evaluation.test_dependence import autoregressive
from tuning.core.record import Predictions
from tuning.evaluation.forecasts import (
    autocorrelation,
    diebold_mariano,
    errors_by_clock,
    errors_by_step,
    quantile_coverage,
)
from tuning.metrics.catalogue import make_metric


def forecasts(first: Any, second: Any, times: bool = True) -> Predictions:
    """Forecasts of zeros with the given errors."""
    known = np.arange(len(first)) if times else None
    outputs = {"first": first, "second": second}
    return Predictions(np.zeros(len(first)), outputs, "regression", times=known)


def compared(predictions: Predictions, metric: str) -> Any:
    pair = (predictions, ["first"]), (predictions, ["second"])
    return diebold_mariano(make_metric(metric), *pair)


@pytest.mark.parametrize("metric", ["mae", "r2"])
def test_without_memory_it_is_a_paired_t_test(metric: str) -> None:
    random = np.random.default_rng(8)
    first, second = random.normal(0, 1.1, 400), random.normal(0, 1.0, 400)
    found = compared(forecasts(first, second), metric)
    losses = [np.abs(first), np.abs(second)] if metric == "mae" else [first**2, second**2]
    expected = stats.ttest_rel(*losses)
    assert found.lags == 0
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)


def test_it_changes_sign_with_the_order_of_the_models() -> None:
    random = np.random.default_rng(1)
    first, second = autoregressive(random, 300, 0.7), 0.7 * autoregressive(random, 300, 0.7)
    better, worse = (
        compared(forecasts(*pair), "rmse") for pair in ((first, second), (second, first))
    )
    assert better.statistic == pytest.approx(-worse.statistic) and better.statistic > 0
    assert better.lags > 0


def test_rows_without_times_and_equal_forecasts_have_none() -> None:
    values = np.random.default_rng(1).normal(size=50)
    assert compared(forecasts(values, values + 1, times=False), "mae") is None
    assert compared(forecasts(values, values), "mae") is None


def test_it_keeps_its_level_where_a_t_test_does_not() -> None:
    rejected, naive = 0, 0
    for study in range(300):
        random = np.random.default_rng([6, study])
        first, second = (autoregressive(random, 400, 0.8) for _ in range(2))
        rejected += compared(forecasts(first, second), "mae").p_value < 0.05
        naive += stats.ttest_rel(np.abs(first), np.abs(second)).pvalue < 0.05
    # Few long blocks make it reject a little too often, as all such tests do.
    assert rejected / 300 < 0.13
    assert naive / 300 > 0.2


HOURS = np.datetime64("2011-01-03T00") + np.arange(24 * 14).astype("timedelta64[h]")


def horizon(errors: Any, **known: Any) -> Predictions:
    """Forecasts of two steps of two series; ``errors`` is of shape (times, steps, series)."""
    flat = errors.reshape(len(errors), -1)
    return Predictions(
        np.zeros_like(flat),
        {"one": flat, "two": 3 * flat},
        "regression",
        **{"times": HOURS, "ends": HOURS + 1, "shape": errors.shape[1:], **known},
    )


def test_errors_by_step_are_means_over_rows_series_and_trials() -> None:
    errors = np.ones((len(HOURS), 2, 2)) * [[1, 2], [-5, 5]]
    found = errors_by_step(horizon(errors), ["one", "two"])
    assert found is not None and found.tolist() == [1.5 * 2, 5 * 2]
    flat = horizon(errors, ends=None, shape=(4,))
    assert errors_by_step(flat, ["one"]) is None


def test_errors_by_clock_follow_the_time_that_is_forecast() -> None:
    hour = (np.arange(len(HOURS))[:, None] + [0, 1]) % 24  # of each step
    errors = np.repeat(hour[:, :, None], 2, axis=2).astype(float)
    found = errors_by_clock(horizon(errors), ["one"])
    assert found is not None
    name, labels, values = found
    assert (name, labels[23]) == ("hour of the day", "23")
    assert values.tolist() == list(range(24))
    sparse = horizon(errors[::12], times=HOURS[::12], ends=HOURS[::12] + 1)
    found = errors_by_clock(sparse, ["one"])
    assert found is not None, "two hours are forecast, twice a day"
    assert (found[1], found[2].tolist()) == (["0", "1", "12", "13"], [0, 1, 12, 13])
    days = np.datetime64("2011-01-03") + np.arange(21)  # it begins on a Monday
    daily = Predictions(np.zeros(21), {"one": np.arange(21.0) % 7}, "regression", times=days)
    found = errors_by_clock(daily, ["one"])
    assert found is not None and found[1][0] == "Mon" and found[2].tolist() == list(range(7))
    numbers = Predictions(np.zeros(9), {"one": np.ones(9)}, "regression", times=np.arange(9))
    assert errors_by_clock(numbers, ["one"]) is None


def test_the_autocorrelation_of_errors_is_found() -> None:
    errors = autoregressive(np.random.default_rng(3), 4_000, 0.8)
    found = autocorrelation(forecasts(errors, errors), "first", 3)
    assert found == pytest.approx([0.8, 0.64, 0.51], abs=0.05)
    assert autocorrelation(forecasts(errors, errors, times=False), "first", 3) is None


def test_the_coverage_of_quantiles_is_the_share_of_truths_below() -> None:
    truth = np.random.default_rng(0).uniform(size=(2_000, 2))
    levels = np.broadcast_to([0.1, 0.5, 0.8], (2_000, 2, 3))
    predictions = Predictions(
        truth, {"one": levels, "two": levels}, "regression", quantiles=(0.1, 0.5, 0.9)
    )
    found = quantile_coverage(predictions, ["one", "two"])
    assert found == pytest.approx([0.1, 0.5, 0.8], abs=0.03)
    assert predictions.points(levels)[0].tolist() == [0.5, 0.5]

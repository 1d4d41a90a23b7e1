"""The test of Diebold and Mariano: against a paired t-test, and its level in simulations."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.evaluation.test_dependence import autoregressive
from tuning.core.record import Predictions
from tuning.evaluation.forecasts import diebold_mariano
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

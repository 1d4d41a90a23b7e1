"""Test rows that depend on each other: groups, blocks of times, and the length of a block."""

from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from tuning.core.record import Predictions
from tuning.evaluation.dependence import block_length, units_of
from tuning.evaluation.gains import example_variance, gain
from tuning.evaluation.intervals import Rows, gain_of
from tuning.metrics.catalogue import make_metric
from tuning.metrics.units import deviations, sample_counts

MAE, R2 = make_metric("mae"), make_metric("r2")
NAMES = (["first-1", "first-2"], ["second-1", "second-2"])


def autoregressive(random: Any, count: int, memory: float) -> np.ndarray:
    noise = random.normal(size=count + 200) * (1 - memory**2) ** 0.5
    return np.asarray(lfilter([1], [1, -memory], noise)[200:])


def drawn(random: Any, count: int, memory: float, **known: Any) -> Predictions:
    """Two configurations whose errors depend on their neighbours."""
    truth = autoregressive(random, count, memory)
    common, outputs = autoregressive(random, count, memory), {}
    for size, names in zip((1.1, 1.0), NAMES, strict=True):
        own = autoregressive(random, count, memory)
        for name in names:
            noise = 0.4 * autoregressive(random, count, memory)
            seed = 1 + 0.03 * random.normal()
            outputs[name] = truth + size * seed * (0.6 * common + 0.6 * own + noise)
    return Predictions(truth, outputs, "regression", **known)


def pair(predictions: Predictions) -> tuple[Any, Any]:
    return (predictions, NAMES[0]), (predictions, NAMES[1])


# The lengths are those of ``arch.bootstrap.optimal_block_length`` 8.0, which estimates
# autocovariances by regressions, so that short ones differ a little.
@pytest.mark.parametrize(
    ("memory", "expected"),
    [(-0.5, 11.34), (0.3, 8.23), (0.6, 14.86), (0.8, 37.66), (0.9, 46.58), (0.95, 54.49)],
)
def test_the_length_of_blocks_is_that_of_politis_and_white(memory: float, expected: int) -> None:
    series = autoregressive(np.random.default_rng(5), 1_000, memory)
    assert block_length(series) == pytest.approx(expected + 0.5, abs=2)


def test_independent_and_constant_values_need_no_blocks() -> None:
    assert block_length(np.zeros(100)) == 1
    assert block_length(np.arange(5.0)) == 1
    assert block_length(np.random.default_rng(1).normal(size=500)) <= 3


def test_rows_of_a_group_and_of_a_time_are_taken_together() -> None:
    random = np.random.default_rng(0)
    groups = np.array([f"{row % 7}" for row in range(70)])
    units = units_of(MAE, *pair(drawn(random, 70, 0.0, groups=groups)))
    assert (units.kind, units.count, units.length) == ("group", 7, 1)
    times = np.repeat(np.datetime64("2011-01-01") + np.arange(35), 2)
    units = units_of(
        MAE, *pair(drawn(random, 70, 0.0, times=times, ends=times + np.timedelta64(3, "D")))
    )
    assert (units.kind, units.count) == ("time", 35)
    assert units.length >= 4
    assert list(units.index[:4]) == [0, 0, 1, 1]


def test_forecasts_that_overlap_share_a_block_but_there_are_three_blocks_at_least() -> None:
    random = np.random.default_rng(0)
    predictions = drawn(random, 60, 0.0, times=np.arange(60), ends=np.arange(60) + 49)
    assert units_of(R2, *pair(predictions)).length == 20


@pytest.mark.parametrize("metric", [MAE, R2])
def test_the_order_of_rows_and_the_size_of_numbers_do_not_matter(metric: Any) -> None:
    random = np.random.default_rng(2)
    first = drawn(random, 300, 0.8, times=np.arange(300))
    order = random.permutation(300)
    shuffled = Predictions(
        first.truth[order],
        {name: output[order] for name, output in first.outputs.items()},
        "regression",
        times=np.arange(300)[order] * 3.5,
    )
    found = [gain(metric, *pair(each), 0.95) for each in (first, shuffled)]
    assert found[0].low == pytest.approx(found[1].low)
    assert found[0].rows == found[1].rows
    assert found[0].rows is not None and found[0].rows.block_length > 5


def test_groups_of_equal_rows_count_once() -> None:
    """Every row five times in one group is as much evidence as every row once."""
    once = drawn(np.random.default_rng(3), 80, 0.0)
    five = Predictions(
        np.repeat(once.truth, 5),
        {name: np.repeat(output, 5) for name, output in once.outputs.items()},
        "regression",
        groups=np.repeat(np.arange(80), 5),
    )
    single, grouped = gain(MAE, *pair(once), 0.95), gain(MAE, *pair(five), 0.95)
    assert grouped.example_error == pytest.approx(single.example_error)
    assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high))
    naive = gain(MAE, *pair(Predictions(five.truth, five.outputs, "regression")), 0.95)
    assert naive.example_error < 0.6 * single.example_error


def test_block_sums_are_what_a_bootstrap_of_blocks_converges_to() -> None:
    predictions = drawn(np.random.default_rng(4), 240, 0.8, times=np.arange(240))
    units = units_of(MAE, *pair(predictions))
    scores = np.abs(predictions.outputs["first-1"] - predictions.truth)
    parts = deviations(((scores - scores.mean()) / len(scores))[None], units)
    exact = float((parts**2).sum())
    means = np.concatenate([(counts @ scores) / 240 for counts in sample_counts(units)])
    few = units.draws / (units.draws - 1)
    assert exact == pytest.approx(means.var(ddof=1) * few, rel=0.2)
    assert all(counts.sum() == 240 * len(counts) for counts in sample_counts(units))


def test_one_group_tells_nothing_about_others() -> None:
    predictions = drawn(np.random.default_rng(0), 40, 0.0, groups=np.zeros(40))
    found = gain(R2, *pair(predictions), 0.95)
    assert found.low == -np.inf and found.high == np.inf
    units = units_of(R2, *pair(predictions))
    assert example_variance(R2, *pair(predictions), units) == np.inf


def test_the_spread_between_cuts_is_corrected_for_rows_in_common() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 6))
    rows = Rows("example", 100)
    paired = gain_of(first, second, 0.0, rows, overlaps=(0.75, 0.75), paired=True)
    differences = second - first
    assert paired.seed_error == pytest.approx(
        differences.std(ddof=1) * (1 / 6 + 0.75 / 0.25) ** 0.5
    )
    assert paired.degrees_of_freedom == pytest.approx(5)
    apart = gain_of(first, second, 0.0, rows, overlaps=(0.75, 1.0))
    expected = first.var(ddof=1) * (1 / 6 + 3) + second.var(ddof=1) / 6
    assert apart.seed_error == pytest.approx(expected**0.5)
    assert (paired.overlap, apart.overlap) == (0.75, 0.75)
    assert gain_of(first, second, 0.0, rows).overlap == 1.0


def test_a_class_in_few_groups_leaves_the_interval_unknown() -> None:
    """Without its only group a sample has no positive row, and the other samples hardly vary."""
    random = np.random.default_rng(0)
    truth = np.zeros(400, dtype=int)
    truth[20:40] = 1
    outputs = {
        name: np.clip(0.3 * truth + random.uniform(0, size, 400), 0, 1)
        for size, names in zip((1.0, 0.6), NAMES, strict=True)
        for name in names
    }
    auc = make_metric("roc_auc")
    alone = gain(auc, *pair(Predictions(truth, outputs)), 0.95)
    grouped = gain(auc, *pair(Predictions(truth, outputs, groups=np.arange(400) // 20)), 0.95)
    assert np.isfinite(alone.low) and grouped.low == -np.inf
    spread = random.permutation(400) // 20
    assert np.isfinite(gain(auc, *pair(Predictions(truth, outputs, groups=spread)), 0.95).low)


def test_what_either_record_knows_of_the_rows_counts() -> None:
    random = np.random.default_rng(0)
    known = drawn(random, 80, 0.0, groups=np.arange(80) // 8)
    old = Predictions(known.truth, known.outputs, "regression")
    first, second = NAMES
    for records in ((old, known), (known, old)):
        units = units_of(MAE, (records[0], first), (records[1], second))
        assert (units.kind, units.count) == ("group", 10)
